"""Work of the server at its start, done once so that no visitor waits for it."""

import gc
import importlib
import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from threading import Timer
from typing import Protocol

from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

import ui

PREPARE_AFTER_SECONDS = 2.0  # the first page has the processor until then
YOUNG_OBJECTS = 5_000  # that are new before they are searched for garbage


class Populate(Protocol):
    """Function that writes one section of the theme's options into a message."""

    def __call__(self, msg: CustomThemeConfig, section: str = "theme") -> None:
        """Write the section."""


@asynccontextmanager
async def prepare(_app: object) -> AsyncIterator[None]:
    """Import the modules of all pages in a thread soon after the start of the server."""
    share_theme()
    timer = Timer(PREPARE_AFTER_SECONDS, import_modules)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


def import_modules() -> None:
    """Import the modules of all pages with their libraries, which a first visit would wait for.

    What they consist of is never garbage. With them a search of all objects for garbage took 110 to
    290 ms, two or three times a minute with a class, and it stops all visitors.
    """
    for module in pkgutil.walk_packages(ui.__path__, f"{ui.__name__}."):
        importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def share_theme() -> None:
    """Have Streamlit build the message with the theme once.

    Streamlit 1.67 builds it from all options again for each script and each tick of every visitor:
    15 % of the server's processor time with a class. Other options need a restart of the server.
    """
    app_session._populate_theme_msg = share_messages(app_session._populate_theme_msg)


def share_messages(populate: Populate) -> Populate:
    """Return ``populate`` so that it is called once per section of the theme."""

    @cache
    def build(section: str) -> CustomThemeConfig:
        message = CustomThemeConfig()
        populate(message, section)
        return message

    def merge(msg: CustomThemeConfig, section: str = "theme") -> None:
        if (shared := build(section)).ByteSize():  # an empty one would count as set
            msg.MergeFrom(shared)

    return merge
