"""The server imports the modules of all pages, and builds the message with the theme once."""

import subprocess
import sys
from pathlib import Path

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from ui.app.server_start import share_messages

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, gc, sys
from ui.app import server_start

async def serve():
    async with server_start.prepare(None):
        before = "ui.runs.detail" in sys.modules
    return before

print(asyncio.run(serve()), "ui.runs.detail" in sys.modules)
server_start.import_modules()
print("ui.runs.detail" in sys.modules, "altair" in sys.modules, "torch" in sys.modules)
print(gc.get_freeze_count() > 10 * len(gc.get_objects()))
"""


def test_the_modules_of_all_pages_are_imported_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    # a server that ends at once imports nothing; what was imported is not searched for garbage
    assert done.stdout.split() == ["False", "False", "True", "True", "False", "True"]


SECTIONS = ("", ".light", ".dark", ".sidebar", ".light.sidebar", ".dark.sidebar")


@pytest.mark.parametrize("part", SECTIONS)
def test_the_shared_theme_is_the_one_that_streamlit_builds(part: str) -> None:
    section = f"theme{part}"
    config.get_config_options(force_reparse=True)
    expected, first, second = CustomThemeConfig(), CustomThemeConfig(), CustomThemeConfig()
    app_session._populate_theme_msg(expected, section)
    populate = share_messages(app_session._populate_theme_msg)

    populate(first, section)
    populate(second, section)

    assert expected.SerializeToString() == first.SerializeToString() == second.SerializeToString()


def test_a_section_of_the_theme_is_built_once() -> None:
    sections = list[str]()

    def build(msg: CustomThemeConfig, section: str = "theme") -> None:
        sections.append(section)
        msg.primary_color = "#0072B2"

    populate, message = share_messages(build), CustomThemeConfig()
    for _ in range(3):
        populate(message)
        populate(message.dark, "theme.dark")

    assert sections == ["theme", "theme.dark"]
    assert message.dark.primary_color == "#0072B2"


def test_a_section_without_options_stays_unset() -> None:
    message = CustomThemeConfig()

    share_messages(lambda msg, section="theme": None)(message.sidebar, "theme.sidebar")

    assert not message.HasField("sidebar")
