import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load

from core.data.dataset import Dataset
from core.errors import ArtifactDamaged, ConfigError, Stopped
from core.evaluation.embedding_map import prepare_umap
from core.inference.tracer import Tracer
from core.jobs import actions
from core.jobs.context import JobContext
from core.jobs.launching import launch, read_request
from core.jobs.tasks.embed_texts import (
    MapRequest,
    MapSubject,
    draw_sample,
    find_map_paths,
    read_map,
)
from core.jobs.workers import embed
from core.progress import Phase, Progress
from core.settings import BUNDLED_RUNS, Settings
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.small_news import prepare_small_news
from tests.support.stopped_context import StoppedContext
from tests.support.tiny_models import write_bert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]


@pytest.fixture
def dataset(settings: Settings, tmp_path: Path) -> Dataset:
    return prepare_small_news(settings, tmp_path / "news")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_bert(tmp_path / "model"))


def request(dataset: Dataset, model: str, **changes: object) -> MapRequest:
    return MapRequest(
        fingerprint=dataset.fingerprint, subjects=(MapSubject(model=model),), rows=40, method="PCA"
    ).model_copy(update=changes)


def make(
    store: Store,
    required: MapRequest,
    new_context: type[JobContext] = JobContext,
    compile_umap: Callable[[Path], None] = prepare_umap,
) -> Job:
    job = launch(store, required, "UMAP")
    store.transition(job, JobState.STARTING)
    with new_context(store, store.read_job(job.id)) as context:
        context.set_running()
        embed.run_map(context, compile_umap)
        context.end(JobState.COMPLETED)
    return store.read_job(job.id)


def test_a_map_has_a_point_a_text_and_numbers_for_every_layer(
    store: Store, dataset: Dataset, model: str
) -> None:
    required = request(dataset, model)
    make(store, required)

    (place,) = find_map_paths(store, required, dataset.classes)
    result = read_map(place, required)

    assert result.frame["row"].tolist() == draw_sample(dataset, required)["row"].tolist()
    assert result.frame["label"].value_counts().tolist() == [10] * 4
    assert (len(result.layers), result.layer) == (3, 2)
    assert result.full.knn.n == result.flat.knn.n == 40


def test_kept_states_are_those_of_the_walker(store: Store, dataset: Dataset, model: str) -> None:
    required = request(dataset, model)
    make(store, required)
    (place,) = find_map_paths(store, required, dataset.classes)
    texts = draw_sample(dataset, required)["text"].tolist()

    expected = Tracer(Path(model), dataset.classes, attention="sdpa").hidden_states(
        None, texts, required.max_tokens
    )

    assert np.array_equal(load(place.states.read_bytes())["states"], expected)


def test_another_method_layer_or_pooling_does_not_encode_again(
    store: Store, dataset: Dataset, model: str
) -> None:
    make(store, request(dataset, model))
    (first,) = find_map_paths(store, request(dataset, model), dataset.classes)
    written = first.states.stat().st_mtime_ns

    for changes in ({"method": "t-SNE"}, {"layer": 1}, {"pooling": "mean of all tokens"}):
        required = request(dataset, model, **changes)
        make(store, required)
        assert all(place.done for place in find_map_paths(store, required, dataset.classes))
    assert first.states.stat().st_mtime_ns == written


def test_umap_gets_ready_while_texts_are_encoded_and_what_keeps_it_from_that_ends_the_map(
    store: Store, dataset: Dataset, model: str
) -> None:
    encoding, preparing = threading.Event(), threading.Event()

    class MeetingContext(JobContext):
        """Encodes no text until UMAP is being prepared."""

        def report(self, progress: Progress) -> None:
            if progress.phase == Phase.ENCODING:
                encoding.set()
                assert preparing.wait(30), "nothing was begun"
            super().report(progress)

    def fail(cache: Path) -> None:
        preparing.set()
        assert encoding.wait(30), "nothing was encoded"
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        make(store, request(dataset, model, method="UMAP"), MeetingContext, fail)


def test_damaged_states_are_made_again(store: Store, dataset: Dataset, model: str) -> None:
    make(store, request(dataset, model))
    (place,) = find_map_paths(store, request(dataset, model), dataset.classes)
    place.states.write_bytes(b"no")

    make(store, request(dataset, model, layer=1))

    assert "states" in load(place.states.read_bytes())


def test_a_damaged_map_says_so(store: Store, dataset: Dataset, model: str) -> None:
    required = request(dataset, model)
    make(store, required)
    (place,) = find_map_paths(store, required, dataset.classes)
    place.scores.write_text(json.dumps({"first token": 3}))

    with pytest.raises(ArtifactDamaged, match="damaged"):
        read_map(place, required)


def test_a_layer_that_is_not_there_is_refused(store: Store, dataset: Dataset, model: str) -> None:
    with pytest.raises(ConfigError, match="has no layer 9"):
        make(store, request(dataset, model, layer=9))


def test_a_stop_ends_the_encoding(store: Store, dataset: Dataset, model: str) -> None:
    with pytest.raises(Stopped):
        make(store, request(dataset, model), StoppedContext)


def test_a_run_and_its_base_get_maps_of_their_own(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.create(JobKind.TRAIN, "run", {}, "key")
    shutil.copytree(BUNDLED_RUNS / "example" / "adapter", store.get_folder(run) / "adapter")
    store.transition(run, JobState.STARTING)
    store.update(run, result_json=json.dumps({"classes": ["a", "b", "c", "d"]}))
    both = request(
        dataset,
        "minilm",
        subjects=(MapSubject(model="minilm"), MapSubject(model="minilm", run=run.id)),
    )

    base, trained = find_map_paths(store, both, dataset.classes)

    assert base.map != trained.map and base.states != trained.states
    assert (base.adapter, trained.adapter) == (None, store.get_folder(run) / "adapter")
    assert trained.classes == ("a", "b", "c", "d")


def test_asking_twice_gives_one_job_until_it_is_over(
    store: Store, dataset: Dataset, model: str
) -> None:
    first, second = (launch(store, request(dataset, model), "UMAP") for _ in range(2))
    assert first.id == second.id

    actions.stop(store, first)

    assert launch(store, request(dataset, model), "UMAP").id != first.id


def test_a_damaged_request_says_so_and_keeps_no_one_from_asking(
    store: Store, dataset: Dataset, model: str
) -> None:
    with pytest.raises(ArtifactDamaged, match="Compute the map again"):
        read_request(store.create(JobKind.EMBED, "map", {"rows": 3}, "key"), MapRequest)

    assert launch(store, request(dataset, model), "UMAP").state is JobState.QUEUED
