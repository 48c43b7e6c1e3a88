"""Charts that people pin to their lab notebook, stored as SVG when they are pinned.

The conversion runs in a process of its own, one at a time, because its JavaScript engine would
leave 150 MB in the server.
"""

import json
import subprocess
import sys
from threading import Lock

import numpy as np

from core.access import Action, require
from core.charts.base import Chart
from core.data.hidden_test import read_hidden_test
from core.errors import ConfigError, LoraLabError, StateConflict
from core.lesson import open_lesson
from core.reports.run_report import finish_svg, make_static_spec
from core.storage import lesson_records
from core.storage.accounts import log_action
from core.storage.lesson_records import Pin
from core.storage.store import Store
from core.translation import mark, translate_plural

MOST_PINS = 12  # of a person in a lesson
MOST_BYTES = 400_000  # of a picture; a chart usually takes 10 to 50 KB
CONVERT = "import sys, vl_convert; sys.stdout.write(vl_convert.vegalite_to_svg(sys.stdin.read()))"
TIMEOUT_SECONDS = 60

_converting = Lock()


def pin_chart(store: Store, chart: Chart, about: str) -> None:
    """Pin the chart, with a line ``about`` where it was seen, to the visitor's notebook of the open
    lesson; the same picture is pinned once.

    Raises NotAllowed, StateConflict without a lesson, and ConfigError for too many pins or a chart
    that is too large.
    """
    require(store.visitor, Action.ANSWER)
    place = open_lesson.find_place(store)
    if place is None:
        raise StateConflict("The lesson has ended.", "Its notebook takes no more charts.")
    pins = lesson_records.list_pins(store, place.id, store.visitor.id)
    if len(pins) >= MOST_PINS:
        raise ConfigError(
            mark("{n} charts are pinned, the limit."),
            mark("Remove one on the page Lesson."),
            n=MOST_PINS,
        )
    svg = _convert(chart)
    if len(svg.encode()) > MOST_BYTES:
        raise ConfigError(
            mark("This chart takes {size:,} KB; the notebook allows {most:,} KB."),
            mark("Show fewer points, or take a screenshot."),
            size=len(svg.encode()) // 1000,
            most=MOST_BYTES // 1000,
        )
    if svg not in {pin.svg for pin in pins}:
        lesson_records.add_pin(store, place, chart.title, about, chart.alt, svg)
        log_action(store, "pin a chart", chart.title)


def list_visible_pins(store: Store, lesson_id: str, person: str) -> tuple[list[Pin], int]:
    """List the charts that a person has pinned, and count those that are not shown now.

    A chart from before a final test was hidden may show scores that include it.
    """
    hidden = read_hidden_test(store.settings)
    pins = lesson_records.list_pins(store, lesson_id, person)
    visible = [pin for pin in pins if not hidden.hides(pin.at)]
    return visible, len(pins) - len(visible)


def describe_hidden_pins(count: int) -> str:
    """Return the sentence on pinned charts that are not shown now."""
    return translate_plural(
        "{n:,} chart was pinned before the final test was hidden. It is back after the reveal.",
        "{n:,} charts were pinned before the final test was hidden. They are back after the"
        " reveal.",
        count,
    )


def remove_pin(store: Store, pin_id: str) -> None:
    """Remove a chart from the visitor's notebook. Raises NotAllowed."""
    require(store.visitor, Action.ANSWER)
    lesson_records.delete_pin(store, pin_id)
    log_action(store, "remove a pinned chart")


def _to_plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


def _convert(chart: Chart) -> str:
    spec = json.dumps(make_static_spec(chart), allow_nan=False, default=_to_plain)
    command = [sys.executable, "-c", CONVERT]
    try:
        with _converting:
            done = subprocess.run(
                command, input=spec, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoraLabError(
            mark("The chart could not be pinned ({cause})."),
            mark("Try again when the machine is less busy."),
            cause=type(error).__name__,
        ) from error
    if done.returncode:
        raise LoraLabError(
            mark("This chart could not be drawn as a picture."), mark("Take a screenshot.")
        )
    return finish_svg(done.stdout)
