"""Open pages of the app with Streamlit's test driver."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

TIMEOUT_SECONDS = 120  # of one rerun: a busy machine loads torch slowly
HOME_PAGE = Path(__file__).parents[3] / "Home.py"

Open = Callable[..., AppTest]

_new_pages_manager = PagesManager.__init__


def after_first_visit(manager: PagesManager, *args: Any, **options: Any) -> None:
    """Let AppTest continue as on later visits.

    It starts each run as a new server does, which runs a file of ``pages/`` directly and drops the
    click.
    """
    _new_pages_manager(manager, *args, **options)
    PagesManager.uses_pages_directory = False
