import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.data.dataset import Dataset
from core.jobs.tasks.embed_texts import (
    POOLINGS,
    MapPath,
    MapRequest,
    MapSubject,
    draw_sample,
    find_map_paths,
)
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/embeddings.py"


def asked(dataset: Dataset, *runs: str) -> MapRequest:
    """Return the request of the page with its defaults."""
    return MapRequest(
        fingerprint=dataset.fingerprint,
        subjects=(
            MapSubject(model="minilm"),
            *(MapSubject(model="minilm", run=run) for run in runs),
        ),
    )


def write_map(place: MapPath, request: MapRequest, dataset: Dataset, hits: int) -> None:
    """Write points along a line, in the order of the sample."""
    rows = draw_sample(dataset, request)
    at = np.arange(len(rows), dtype=np.float32)
    frame = rows[["row", "label"]].assign(x=at - at.mean(), y=at % 3)
    frame.attrs["flat"] = [hits, len(rows), 0.1]
    files.write_parquet(place.map, frame)
    files.write_json(
        place.scores,
        {
            pooling: [[hits - 6 + layer, len(rows), 0.25] for layer in range(7)]
            for pooling in POOLINGS
        },
    )


@pytest.fixture
def base_map(store: Store, dataset: Dataset) -> MapRequest:
    request = asked(dataset)
    write_map(find_map_paths(store, request, dataset.classes)[0], request, dataset, 30)
    return request


def test_without_prepared_data_the_page_offers_to_prepare_it(open_app: Open, store: Store) -> None:
    assert open_app(PAGE).button(key="prepare").label == "Prepare data"


def test_a_map_that_is_not_there_can_be_made(
    open_app: Open, store: Store, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    assert "This map does not exist yet." in page_text(app)

    app.button(key="make-map").click().run()

    (job,) = store.list_jobs(JobKind.EMBED)
    assert MapRequest.model_validate(job.request) == asked(dataset)
    assert "Waiting in the queue." in page_text(app)


def start(store: Store, request: MapRequest) -> Job:
    job = store.create(JobKind.EMBED, "Map", request.model_dump(mode="json"), "key")
    store.transition(job, JobState.STARTING, started_at=store.clock() - 20)
    return store.read_job(job.id)


def test_a_map_running_says_how_far_it_is_and_can_be_stopped(
    open_app: Open, store: Store, dataset: Dataset
) -> None:
    job = start(store, asked(dataset))
    store.update(job, phase_at=store.clock() - 10)
    store.transition(job, JobState.RUNNING, phase="encoding texts", done=500, total=2000)

    app = open_app(PAGE)

    assert re.match(
        r"Encoding texts · 500 of 2,000 .* about 3\d s left", app.get("progress")[0].proto.text
    )
    assert "The projection follows." in page_text(app)
    app.button(key="stop-map").click().run()
    assert store.read_job(job.id).state is JobState.STOPPING


def test_a_failed_map_says_why_and_can_be_made_again(
    open_app: Open, store: Store, dataset: Dataset
) -> None:
    store.transition(
        start(store, asked(dataset)),
        JobState.FAILED,
        message="Too little memory.",
        fix="Close other programs.",
    )

    app = open_app(PAGE)

    assert "Too little memory." in page_text(app)
    assert app.button(key="make-map").label == "Create map"


def test_a_stopped_map_says_so(open_app: Open, store: Store, dataset: Dataset) -> None:
    job = start(store, asked(dataset))
    store.transition(job, JobState.STOPPING)
    store.transition(job, JobState.CANCELLED)

    assert "The map was stopped." in page_text(open_app(PAGE))


def test_the_number_stands_above_the_picture(open_app: Open, base_map: MapRequest) -> None:
    app = open_app(PAGE)

    assert not app.exception and not app.error, app.error
    assert app.subheader[0].value.startswith("Nearest-neighbor accuracy: 75.0 % ± ")
    assert "chance is 25.0 %" in page_text(app)
    assert "silhouette 0.250" in page_text(app)
    assert app.get("vega_lite_chart")[0].proto.alt.startswith("Untrained, 40 texts: World 10, ")


def test_a_run_stands_next_to_the_untrained_base(
    open_app: Open, store: Store, dataset: Dataset, finished: Job
) -> None:
    request = asked(dataset, finished.id)
    for place, hits in zip(find_map_paths(store, request, dataset.classes), (20, 36), strict=True):
        write_map(place, request, dataset, hits)

    app = open_app(PAGE, of=finished.id)

    assert app.subheader[0].value.startswith("Nearest-neighbor accuracy: 50.0 % ± ")
    assert "90.0 % ± " in app.subheader[0].value
    names = [chart.proto.alt.partition(",")[0] for chart in app.get("vega_lite_chart")]
    assert names[:2] == ["Untrained", "finished-run"]


def choose(app: AppTest, key: str, selection: dict[str, object]) -> AppTest:
    app.session_state[key] = {"selection": selection}
    return app.run()


def test_a_box_lists_its_texts_until_it_is_let_go(
    open_app: Open, base_map: MapRequest, dataset: Dataset
) -> None:
    app = choose(open_app(PAGE), "map-0", {"box": {"x": [-20, -15.6], "y": [-5, 5]}, "picked": []})
    listed = next(frame.value for frame in app.dataframe if "text" in frame.value)

    assert "4 texts selected" in page_text(app)  # x from -19.5 to -16.5
    assert (
        set(listed["row"]) == set(draw_sample(dataset, base_map)["row"].iloc[:4])
        or len(listed) == 4
    )

    assert "texts selected" not in page_text(choose(app, "map-0", {"box": {}, "picked": []}))


def test_a_click_lists_one_text_as_it_is(
    open_app: Open, base_map: MapRequest, dataset: Dataset
) -> None:
    app = choose(open_app(PAGE), "map-0", {"box": {}, "picked": [{"row": 5}]})
    app.session_state["map-texts-table"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    app.run()

    assert "1 text selected" in page_text(app)
    assert app.text[-1].value == "Sports news, item 5 of the test split: **bold** <b>tags</b>"
    assert "bold" not in page_text(app), "a text went through Markdown"


def test_a_damaged_map_can_be_made_again(
    open_app: Open, store: Store, dataset: Dataset, base_map: MapRequest
) -> None:
    find_map_paths(store, base_map, dataset.classes)[0].map.write_bytes(b"no")

    assert open_app(PAGE).button(key="make-map").label == "Create map"


def test_a_model_that_is_not_here_says_what_to_do(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE, of="base:distilbert")

    assert "This model is not on this machine." in app.warning[0].value


def test_the_first_token_before_the_first_layer_is_no_map(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.selectbox(key="layer-of").set_value(0).run()

    assert "all texts coincide" in page_text(app)


def test_many_classes_have_a_map_too(
    open_app: Open, store: Store, dataset: Dataset, base_map: MapRequest
) -> None:
    card = files.read_json(dataset.folder / "dataset.json")
    assert isinstance(card, dict)
    files.write_json(
        dataset.folder / "dataset.json", card | {"classes": [*dataset.classes, "**e**", "f"]}
    )

    app = open_app(PAGE)

    assert not app.exception and not app.error
    assert "chance is 16.7 %" in page_text(app)
