"""Job folders with random damage: list, command line and pages still work, and other runs are
unchanged.
"""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from benchmarks.promises.row import Row, Size
from core.jobs.supervisor import Supervisor
from core.runs import descriptions
from core.settings import BUNDLED_RUNS, PROJECT, Settings
from core.storage.files import compute_checksum
from core.storage.job import JobKind, JobState
from core.storage.locks import hold_lock
from core.storage.recovery import open_store
from core.storage.store import Store
from tests.support.app.page_app import after_first_visit
from ui.session.error_boundary import UNEXPECTED

RUNS = ("aaaa0001", "bbbb0002", "cccc0003")
DRAW_SECONDS = 60
BEGINNING = UNEXPECTED.partition(" (")[0]
ACCURACY = "accuracy on 300 test texts"  # of the bundled run, whose copies these are
PAGES = sorted(path.name for path in (PROJECT / "pages").glob("*.py"))


def damaged_folders(size: Size) -> Row:
    """Damage one of three finished runs, with or without the database, and open everything."""
    row = Row("one damaged folder stays one")
    _write_runs(size.home / "whole")
    mock.patch.object(PagesManager, "__init__", after_first_visit).start()
    for number in range(size.of(5, 500)):
        home = size.home / str(number)
        shutil.copytree(size.home / "whole", home)
        victim, *others = size.draw.sample(RUNS, len(RUNS))
        description = _damage(home / "jobs" / victim, size.draw)
        if number % 2:  # then the list comes from the folders alone
            for path in home.glob("loralab.db*"):
                path.unlink()
        with _lived_in(home):
            complaint = _look_at_all(home, victim, others, size.draw)
        row.count(
            f"{description}, {'database lost' if number % 2 else 'database whole'}: {complaint}"
            if complaint
            else ""
        )
        shutil.rmtree(home)
    return row


def _write_runs(home: Path) -> None:
    """Write three copies of the bundled run with their own ids, and their database."""
    for name in RUNS:
        shutil.copytree(BUNDLED_RUNS / "example", home / "jobs" / name)
        record = home / "jobs" / name / "job.json"
        record.write_text(
            json.dumps(
                {**json.loads(record.read_text()), "id": name, "name": name, "owner": "local"}
            )
        )
    open_store(Settings(home=home, hub=False))


def _damage(folder: Path, draw: random.Random) -> str:
    """Damage one thing in or around the folder and describe it."""
    path = draw.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    if draw.random() < 0.4:
        path = folder / "job.json"  # all depends on it
    kind = draw.choice(DAMAGES)
    kind(path, draw)
    return f"{kind.__name__.strip('_')} {path.relative_to(folder)}"


def _truncate(path: Path, draw: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def _overwrite(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = draw.randrange(len(content))
    content[start : start + draw.randrange(1, 400)] = draw.randbytes(draw.randrange(1, 400))
    path.write_bytes(content)


def _flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 1, 30))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def _randomize(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.randbytes(draw.choice((0, 1, 5000))))


def _remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def _make_folder_of(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _make_loop_of(path: Path, draw: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def _change_values(path: Path, draw: random.Random) -> None:
    """Change values in valid JSON; in other files, their bytes."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        return _flip(path, draw)
    strange: object = draw.choice(
        (None, -1, 10**30, "", "<b>x</b>", [], {}, True, 1e308, "../../x")
    )
    if isinstance(value, dict) and value:
        value[draw.choice(sorted(value))] = strange
    else:
        value = strange
    path.write_text(json.dumps(value))
    return None


def _change_inner(path: Path, draw: random.Random) -> None:
    """Damage the JSON stored as text in a record: request and result."""
    try:
        record = json.loads(path.read_bytes())
        name = draw.choice(("request_json", "result_json", "proposal_json"))
        inner = json.loads(record.get(name, "{}"))
    except (ValueError, AttributeError, TypeError):
        return _flip(path, draw)
    inner[draw.choice([*sorted(inner), "more"])] = draw.choice(
        (None, -1, "x", [], {"accuracy": "x"}, {"hits": 5, "rows": 2})
    )
    path.write_text(json.dumps({**record, name: json.dumps(inner)}))
    return None


def _add_foreign(path: Path, draw: random.Random) -> None:
    for place, name in (
        (path.parent, "notes.txt"),
        (path.parents[-3], ".x.12345678.part"),
        (path.parent, "\udcff\udcfe"),
    ):
        (place / name).write_bytes(draw.randbytes(50))


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _truncate,
    _overwrite,
    _flip,
    _randomize,
    _remove,
    _make_folder_of,
    _make_loop_of,
    _change_values,
    _change_inner,
    _add_foreign,
)


@contextmanager
def _lived_in(home: Path) -> Iterator[None]:
    """Use this home for pages, holding the supervisor's lock so that visits start no supervisor."""
    before = {name: os.environ.get(name) for name in ("LORALAB_HOME", "LORALAB_HUB")}
    os.environ |= {"LORALAB_HOME": str(home), "LORALAB_HUB": "false"}
    try:
        with hold_lock(home / "supervisor.lock"):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _look_at_all(home: Path, victim: str, others: list[str], draw: random.Random) -> str:
    """Return errors after the command line, the supervisor and some pages read the home."""
    whole = [_contents(home / "jobs" / name) for name in others]
    store = open_store(Settings())
    supervisor = Supervisor(store)
    supervisor.tidy()
    supervisor.step()
    for job in store.list_jobs(JobKind.TRAIN):
        descriptions.describe_run(store, job)
    visits = [
        ("runs.py", victim),
        (draw.choice(PAGES), victim),
        (draw.choice(PAGES), others[0]),
        ("runs.py", others[1]),
    ]
    for page, run in visits:
        if complaint := _visit(page, run, wants_accuracy=page == "runs.py" and run != victim):
            return f"{page} of {'the damaged' if run == victim else 'another'} run: {complaint}"
    return _changed(store, home, others, whole)


def _visit(page: str, run: str, wants_accuracy: bool) -> str:
    app = AppTest.from_file(str(PROJECT / "Home.py"), default_timeout=DRAW_SECONDS)
    app.query_params["run"] = run
    app.switch_page(f"pages/{page}").run()
    if app.exception:
        return f"{app.exception[0].message} {app.exception[0].stack_trace}"
    if unforeseen := [error.value for error in app.error if BEGINNING in error.value]:
        return unforeseen[0]
    if page == "runs.py" and not app.dataframe:
        return "there is no list"
    drawn = " ".join(element.value for element in app.markdown)
    return "its accuracy is not shown" if wants_accuracy and ACCURACY not in drawn else ""


def _changed(store: Store, home: Path, others: list[str], whole: list[dict[str, str]]) -> str:
    states = [store.read_job(name).state for name in others]
    if states != [JobState.COMPLETED] * len(others):
        return f"the others are {states}"
    return (
        ""
        if [_contents(home / "jobs" / name) for name in others] == whole
        else "another run's files have changed"
    )


def _contents(folder: Path) -> dict[str, str]:
    return {
        path.name: compute_checksum(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".job.lock"
    }
