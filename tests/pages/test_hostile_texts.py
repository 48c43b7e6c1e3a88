"""Untrusted texts as names, classes, rows, notes and messages stay plain text on every page."""

import json
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from core.data import sources
from core.data.explore.index import ensure_index
from core.data.preparation import prepare
from core.data.sources import Source, SourceKind
from core.evaluation.error_analysis import write_tag
from core.runs import artifacts
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobChanges, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import markdown_of
from tests.support.security.hostile_inputs import Hostile, hostile_texts
from tests.support.security.sizes import FULL
from tests.support.stored_runs import make_finished, make_run, start
from ui import navigation
from ui.session.visit_cookie import ROUTE
from ui.text import plain

IN_A_HOME = 43
ALL = hostile_texts(215 if FULL else 86)
HOMES = [ALL[place : place + IN_A_HOME] for place in range(0, len(ALL), IN_A_HOME)]


def interpreted(app: AppTest, texts: list[Hostile]) -> list[str]:
    return [
        f"{place}: {shown[:200]!r}"
        for place, shown in markdown_of(app)
        for item in texts
        if item.is_interpreted(shown)
    ]


@pytest.mark.parametrize("item", hostile_texts(215), ids=lambda item: item.marker)
def test_every_hostile_text_is_made_plain(item: Hostile) -> None:
    assert not item.is_interpreted(plain(item.text))
    assert item.marker in plain(item.text)
    assert item.is_interpreted(item.text)  # so the check can fail


def plant(
    store: Store, texts: list[Hostile], data: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Job]:
    """Create a home where every text is a name, a class, a row, a note or a message."""
    source = Source(SourceKind.FOLDER, texts[0].text, data)
    words = [item.text for item in texts]
    for split in ("train", "test"):
        rows = [
            {
                "text": f"{words[number % len(words)]} {number}",
                "label": words[1 + number % 3].replace("\0", ""),
            }
            for number in range(120)
        ]
        files.write_bytes(
            data / f"{split}.jsonl", "\n".join(json.dumps(row) for row in rows).encode()
        )
    monkeypatch.setenv("LORALAB_DATA", str(data))
    ensure_index(
        prepare(Settings(), sources.folder_source(data), lambda _: None, lambda: False),
        lambda _: None,
        lambda: False,
    )
    names = iter(words)
    runs = [make_finished(store, source, next(names), classes=words[at : at + 4]) for at in (4, 8)]
    runs.append(make_finished(store, source, next(names), classes=words[4:8]))
    frame = artifacts.read_predictions(store.get_folder(runs[0]), "test")
    shown = pd.DataFrame(frame).assign(
        text=[words[number % len(words)] for number in range(len(frame))]
    )
    files.write_parquet(artifacts.predictions_path(store.get_folder(runs[0]), "test"), shown)
    for row, word in enumerate(words[:10]):
        write_tag(store.get_folder(runs[0]), row, "hard", word)
    failed = start(store, make_run(store, source, next(names), model=words[12]))
    ending: JobChanges = {
        "ended_at": 1.0,
        "cause": "data",
        "message": words[13],
        "fix": words[14],
        "proposal_json": json.dumps({"model": words[15]}),
    }
    store.transition(failed, JobState.FAILED, **ending)
    working = start(store, make_run(store, source, next(names)))
    store.update(working, phase=words[16], done=1, total=2)
    with store.transaction() as db:  # stored before names were cleaned
        for job, word in zip(store.list_jobs(), words[20:], strict=False):
            db.execute("UPDATE jobs SET name = ? WHERE id = ?", (word.replace("\0", ""), job.id))
    return [*runs, failed, working]


@pytest.mark.parametrize("texts", HOMES, ids=lambda texts: texts[0].marker)
def test_no_hostile_text_is_interpreted_on_any_page(
    open_app: Open,
    store: Store,
    texts: list[Hostile],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = plant(store, texts, tmp_path / "data", monkeypatch)
    met: set[str] = set()
    for page in navigation.ENTRIES:
        for run in runs if page == navigation.RUNS else runs[:1]:
            query = {
                "run": run.id,
                "words": texts[17].text,
                "q": texts[18].text,
                "word": texts[19].text,
                "data": texts[20].text,
            }
            app = open_app(page, **{name: value.replace("\0", "") for name, value in query.items()})

            assert not app.exception, (page, app.exception[0].value)
            assert not [item.value for item in app.error if "Something went wrong" in item.value], (
                page
            )
            assert interpreted(app, texts) == [], page
            met |= {
                item.marker
                for item in texts
                for _, shown in markdown_of(app)
                if item.marker in shown
            }
    assert len(met) > 10, "few of the texts are shown, so this test checks little"


@pytest.mark.parametrize("place", ["?run=", "?dataset=", "?clone=", "?compared="])
def test_what_an_address_says_is_not_interpreted(open_app: Open, place: str) -> None:
    page = {
        "?dataset=": navigation.DATA,
        "?clone=": navigation.TRAIN,
        "?compared=": navigation.COMPARE,
    }.get(place, navigation.EVALUATE)
    for item in ALL[:: 1 if FULL else 9]:
        app = open_app(page, **{place.strip("?="): item.text})

        assert interpreted(app, [item]) == []


def test_the_names_of_people_are_not_interpreted(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MODE": "classroom", "CLASS_CODE": "whale", "TEACHER_CODE": "oak"}.items():
        monkeypatch.setenv(f"LORALAB_{name}", value)
    for item in ALL[:: 1 if FULL else 9]:
        app = open_app(navigation.CLASS)
        app.text_input(key="teach-name").set_value(item.text[:40])
        app.text_input(key="teach-code").set_value("oak")
        app.button(key="teach-submit").click().run()

        assert not app.exception
        # the page's own script fetches the cookie
        assert [place for place in interpreted(app, [item]) if ROUTE not in place] == []
