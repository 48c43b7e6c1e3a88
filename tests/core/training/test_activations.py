import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from core.config import RunConfig
from core.errors import Stopped
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.settings import Settings
from core.training.activations import (
    ActivationStore,
    Batches,
    Layout,
    StoredActivations,
    measure_folder,
)
from core.training.events import Event
from core.training.session import TrainingSession
from tests.support.tiny_models import write_bert
from tests.support.training_lab import Heard, Lab

LENGTHS = np.array([2, 1, 3])
LAYOUT = Layout(LENGTHS, 4, torch.bfloat16)
BYTES = 6 * 4 * 2 + 3 * 4  # of values, and of checksums
BF16_TOLERANCE = 0.02  # nats, as between bf16 and fp32


@dataclass
class Source:
    """Values to store, with a count of how often they were computed."""

    layout: Layout = LAYOUT
    value: float = 1.0
    computed: int = 0
    waited: list[None] = field(default_factory=list)

    def __call__(self) -> Batches:
        self.computed += 1
        lengths = self.layout.lengths
        for row in reversed(range(len(lengths))):
            values = torch.arange(lengths[row] * 4).view(1, -1, 4) + 10 * row + self.value
            yield np.array([row]), values.to(self.layout.dtype)

    def open(self, store: ActivationStore, key: str = "key") -> StoredActivations | None:
        return store.open(key, self.layout, self, lambda: self.waited.append(None))


def read(stored: StoredActivations | None, *rows: int) -> torch.Tensor | None:
    assert stored is not None
    return stored.read(np.array(rows))


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.activations")
    return path


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_values_are_those_that_were_written(tmp_path: Path, dtype: torch.dtype) -> None:
    source = Source(Layout(LENGTHS, 4, dtype))

    values = read(source.open(ActivationStore(tmp_path)), 2, 1)

    assert values is not None and values.dtype == dtype
    assert values[0].flatten().tolist() == [21.0 + place for place in range(12)]
    assert values[1].flatten().tolist() == [11.0, 12.0, 13.0, 14.0, *[0.0] * 8]  # padded
    assert measure_folder(tmp_path) == 6 * 4 * dtype.itemsize + 12


def test_a_stored_set_is_not_computed_again(tmp_path: Path) -> None:
    source = Source()
    source.open(ActivationStore(tmp_path))

    values = read(source.open(ActivationStore(tmp_path)), 1)

    assert source.computed == 1
    assert values is not None and values.flatten().tolist() == [11.0, 12.0, 13.0, 14.0]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1  # of the first text
    path.write_bytes(data)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(3)


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damage_while_a_run_reads_is_noticed(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    stored = Source().open(ActivationStore(tmp_path))
    damage(only_file(tmp_path))

    assert read(stored, 0) is None
    assert read(stored, 1) is None  # nothing is read from a damaged file
    assert len(caplog.records) == 1 and "computed again" in caplog.text
    assert not list(tmp_path.glob("*.activations"))


@pytest.mark.parametrize(
    "damage", [truncate, lambda path: path.write_bytes(b""), lambda path: path.unlink()]
)
def test_a_set_that_cannot_be_opened_is_computed_again(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    source = Source()
    source.open(ActivationStore(tmp_path))
    damage(only_file(tmp_path))

    values = read(source.open(ActivationStore(tmp_path)), 1)

    assert source.computed == 2
    assert values is not None and values[0, 0, 0] == 11


def test_the_set_unused_for_longest_is_removed_first(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path, limit_bytes=2 * BYTES)
    for age, key in enumerate(("old", "middle")):
        assert Source().open(store, key)
        os.utime(tmp_path / f"{key}.activations", (age + 1, age + 1))
    assert Source().open(store, "old")  # used again

    assert Source().open(store, "new")

    assert {path.stem for path in tmp_path.glob("*.activations")} == {"old", "new"}
    assert measure_folder(tmp_path) <= store.limit_bytes


def test_a_set_above_half_of_the_limit_is_not_stored(tmp_path: Path) -> None:
    source = Source()

    assert source.open(ActivationStore(tmp_path, limit_bytes=2 * BYTES - 1)) is None
    assert source.computed == 0


def test_a_full_disk_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Source().open(ActivationStore(tmp_path, spare_bytes=2**60)) is None
    assert "MB of the disk are free" in caplog.text


def test_a_folder_that_cannot_be_written_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")

    assert Source().open(ActivationStore(tmp_path / "file")) is None
    assert "are not stored" in caplog.text


def test_of_two_workers_one_computes_and_the_other_waits(tmp_path: Path) -> None:
    first, second, begun, waiting = Source(), Source(), threading.Event(), threading.Event()

    def compute_slowly() -> Batches:
        begun.set()
        assert waiting.wait(60)
        yield from first()

    worker = threading.Thread(
        target=lambda: ActivationStore(tmp_path).open("key", LAYOUT, compute_slowly, lambda: None)
    )
    worker.start()
    assert begun.wait(60)
    stored = ActivationStore(tmp_path).open("key", LAYOUT, second, waiting.set)
    worker.join()

    assert (first.computed, second.computed) == (1, 0)
    assert read(stored, 1) is not None


def test_a_worker_that_waits_can_be_stopped(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped("The run was stopped.")

    def open_again() -> Batches:
        with pytest.raises(Stopped):
            ActivationStore(tmp_path).open("key", LAYOUT, Source(), stop)
        yield from Source()()

    assert ActivationStore(tmp_path).open("key", LAYOUT, open_again, lambda: None)


@pytest.fixture
def deep_lab(tmp_path: Path, lab: Lab, settings: Settings) -> Lab:
    folder = write_bert(tmp_path / "bert", layers=3)
    return Lab(find_model(str(folder), settings, hub=False), lab.data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "activations"


def train(
    lab: Lab,
    config: RunConfig,
    store: ActivationStore | None,
    report: Callable[[Event], None] = lambda event: None,
    should_stop: Callable[[], bool] = lambda: False,
    changes: Mapping[str, object] = MappingProxyType({}),
) -> Heard:
    heard = Heard()

    def hear(event: Event) -> None:
        heard(event)
        report(event)

    chosen = config.model_copy(update={"layers": "last third", "epochs": 2, **changes})
    session = TrainingSession(chosen, lab.model, lab.data, hear, should_stop, activations=store)
    session.train()
    return heard


def probabilities(heard: Heard) -> list[NDArray[np.float64]]:
    tables = [event.predictions for event in heard.validations]
    tables += [event.predictions for event in heard.evaluations]
    return [table.filter(regex=r"^p\d").to_numpy() for table in tables]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-6), ("bf16", BF16_TOLERANCE)])
@pytest.mark.parametrize("layers", ["last half", "last third"])
def test_losses_and_predictions_are_those_without_a_store(
    deep_lab: Lab, config: RunConfig, folder: Path, precision: str, tolerance: float, layers: str
) -> None:
    choices = {"precision": precision, "layers": layers, "dropout": 0.1}
    computed = train(deep_lab, config, None, changes=choices)
    stored = train(deep_lab, config, ActivationStore(folder), changes=choices)
    again = train(deep_lab, config, ActivationStore(folder), changes=choices)

    assert stored.losses == pytest.approx(computed.losses, abs=tolerance)
    for result, expected in zip(probabilities(stored), probabilities(computed), strict=True):
        assert result == pytest.approx(expected, abs=tolerance)
    assert again.losses == stored.losses
    assert len(list(folder.glob("*.activations"))) == 4  # train, validation twice, test
    frozen = [progress for progress in again.progress if progress.phase is Phase.FROZEN]
    assert {progress.done for progress in frozen} == {0}  # nothing was computed


@pytest.mark.parametrize("changes", [{"layers": "all"}, {"base_dropout": True}, {"seed": 4}])
def test_only_what_never_changes_is_shared(
    deep_lab: Lab, config: RunConfig, folder: Path, changes: dict[str, object]
) -> None:
    train(deep_lab, config, ActivationStore(folder), changes=changes)

    stored = len(list(folder.glob("*.activations")))
    assert stored == (4 if "seed" in changes else 0)


def test_another_base_model_has_its_own_file(
    deep_lab: Lab, config: RunConfig, folder: Path, tmp_path: Path, settings: Settings
) -> None:
    other = write_bert(tmp_path / "other", layers=3, hidden=16)
    train(deep_lab, config, ActivationStore(folder))

    train(
        Lab(find_model(str(other), settings, hub=False), deep_lab.data),
        config,
        ActivationStore(folder),
    )

    assert len(list(folder.glob("*.activations"))) == 8


def test_a_run_survives_the_loss_of_its_files(
    deep_lab: Lab, config: RunConfig, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def destroy(event: Event) -> None:
        if isinstance(event, Progress) and event.phase is Phase.TRAINING and event.done == 3:
            for path in folder.glob("*.activations"):
                flip(path)

    computed = train(deep_lab, config, None)
    with caplog.at_level(logging.WARNING):
        damaged = train(deep_lab, config, ActivationStore(folder), destroy)

    assert damaged.losses == pytest.approx(computed.losses, abs=1e-6)
    assert "computed again" in caplog.text


def test_a_stop_leaves_no_file(deep_lab: Lab, config: RunConfig, folder: Path) -> None:
    begun: list[Event] = []

    def note(event: Event) -> None:
        if isinstance(event, Progress) and event.phase is Phase.FROZEN:
            begun.append(event)

    with pytest.raises(Stopped):
        train(deep_lab, config, ActivationStore(folder), note, lambda: bool(begun))

    assert [path.name for path in folder.glob("*")] in ([], ["store.lock"])
