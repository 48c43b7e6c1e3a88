import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from core.errors import ArtifactDamaged, NotEnoughRoom
from core.inference.classifier import Classifier, load_classifier
from core.inference.messages import ClassifyRequest
from core.inference.process import InferenceProcess, Turns, explain, predict
from core.inference.tracer import Tracer
from core.models.catalog import ModelLocation, find_model
from core.settings import Settings
from tests.support.peft_cases import BASES, lora
from tests.support.random_adapters import CLASSES, TEXTS, Write

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def host() -> Iterator[InferenceProcess]:
    host = InferenceProcess(Settings())
    yield host
    host.stop()


@pytest.fixture
def model(base_folder: Path, settings: Settings) -> ModelLocation:
    return find_model(str(base_folder), settings, hub=False)


def test_the_process_predicts_as_the_classifier_does(
    host: InferenceProcess, model: ModelLocation, base_folder: Path, write_adapter: Write
) -> None:
    adapter = write_adapter("one", 1)
    classifier = Classifier(base_folder, CLASSES, seed=7)
    classifier.load_adapter("a", adapter)
    trained, untrained = (
        ClassifyRequest("a", model, adapter, CLASSES, 64),
        ClassifyRequest(None, model, None, CLASSES, 64, seed=7),
    )

    answers = host.classify([trained, untrained], TEXTS)

    assert answers[0] == pytest.approx(classifier.classify("a", TEXTS, 64), abs=1e-6)
    assert answers[1] == pytest.approx(classifier.classify(None, TEXTS, 64, 7), abs=1e-6)


def test_adapters_that_change_the_pooler_in_different_ways_predict_together(
    tmp_path: Path, settings: Settings
) -> None:
    base = BASES["bert"](tmp_path / "base")
    located = find_model(str(base), settings, hub=False)
    requests = []
    for number, changes in enumerate(
        ({}, {"modules_to_save": ["pooler"]}, {"target_modules": ["pooler.dense"]})
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in lora(**changes)(base).items():
            (folder / name).write_bytes(content)
        requests.append(ClassifyRequest(str(number), located, folder, CLASSES, 64))

    together = [prediction.probabilities for prediction in predict(requests, TEXTS[0])]

    expected = [
        load_classifier(request, False).classify(request.run_id, [TEXTS[0]], 64)[0]
        for request in requests
    ]
    assert np.array(together) == pytest.approx(np.array(expected), abs=1e-6)


def test_the_process_traces_as_the_tracer_does(
    host: InferenceProcess, model: ModelLocation, base_folder: Path
) -> None:
    trace = host.trace(ClassifyRequest(None, model, None, CLASSES, 64, seed=7), TEXTS[0])

    assert trace.logits == pytest.approx(
        Tracer(base_folder, CLASSES, seed=7).trace(None, TEXTS[0], 64).logits, abs=1e-5
    )


def test_short_requests_have_the_next_turns() -> None:
    turns, order = Turns(), list[str]()

    def work(name: str, is_long: bool) -> None:
        with turns.take(is_long=is_long):
            order.append(name)

    with ThreadPoolExecutor(4) as pool, turns.take(is_long=True):
        for waiting, (name, is_long) in enumerate(
            [("long 1", True), ("long 2", True), ("short 1", False), ("short 2", False)], 1
        ):
            pool.submit(work, name, is_long)
            while turns.waiting < waiting:
                pass
        assert turns.signal.exists()

    assert order == ["short 1", "short 2", "long 1", "long 2"]
    assert not turns.signal.exists()


def test_an_explanation_pauses_while_a_short_request_waits(
    host: InferenceProcess, model: ModelLocation, tmp_path: Path
) -> None:
    request = ClassifyRequest(None, model, None, CLASSES, 64, seed=7)
    signal_path = tmp_path / "signal"
    assert host.ask(explain, request, TEXTS[0], None, signal_path) is not None

    signal_path.touch()

    assert host.ask(explain, request, TEXTS[0], None, signal_path) is None
    assert host.explain(request, TEXTS[0]).tokens


def test_an_error_is_raised_in_the_server(
    host: InferenceProcess, model: ModelLocation, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactDamaged, match="The adapter of a is missing.") as caught:
        host.classify([ClassifyRequest("a", model, tmp_path, CLASSES, 64)], TEXTS)

    assert caught.value.fix == "Train the run again, or choose another run."


# loky warns if a process ends just as work arrives, and starts another one
pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning")


@pytest.fixture
def light_host() -> Iterator[InferenceProcess]:
    host = InferenceProcess(Settings(), idle_seconds=0.5)
    yield host
    host.stop()


def ask_for_id(host: InferenceProcess, texts: Sequence[str] = ()) -> int:
    """Let the process return its id, without torch.

    For the text "die" the process dies. For a path it dies the first time and creates a file there.
    """

    def answer(texts: list[str]) -> int:  # pickled by value
        if texts == ["die"] or (texts and not os.path.exists(texts[0])):
            open(texts[0], "w").close() if texts != ["die"] else None
            os._exit(1)
        return os.getpid()

    return host.ask(answer, list(texts))


def test_a_process_is_warmed_up_once(model: ModelLocation) -> None:
    host = InferenceProcess(Settings())
    requests = [ClassifyRequest(None, model, None, CLASSES, 64)]

    thread = host.warm_up(requests)
    again = host.warm_up(requests)
    assert thread is not None
    thread.join()

    assert again is None and host.warm and host.warm_up(requests) is None
    host.stop()


def test_the_process_can_be_warmed_up_after_a_thread_could_not_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    host = InferenceProcess(Settings())

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert host.warm_up([]) is None

    assert not host._warming


def test_an_error_while_warming_up_is_left_to_the_first_request(
    host: InferenceProcess, model: ModelLocation, tmp_path: Path
) -> None:
    host.stop()
    damaged = ClassifyRequest("a", model, tmp_path, CLASSES, 64)

    thread = host.warm_up([damaged])
    assert thread is not None
    thread.join()

    with pytest.raises(ArtifactDamaged):
        host.predict([damaged], TEXTS[0])
    assert host.warm


def test_a_killed_process_is_replaced_and_counted(light_host: InferenceProcess) -> None:
    killed = ask_for_id(light_host)
    os.kill(killed, signal.SIGKILL)

    assert ask_for_id(light_host) != killed
    assert light_host.crashes == 1


def test_a_request_whose_process_dies_is_repeated(
    light_host: InferenceProcess, tmp_path: Path
) -> None:
    for number in range(3):
        assert ask_for_id(light_host, [str(tmp_path / str(number))]) > 0

    assert light_host.crashes == 3


def test_other_requests_survive_a_crash(light_host: InferenceProcess, tmp_path: Path) -> None:
    texts = [[str(tmp_path / "dies")], *[[] for _ in range(7)]]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda queries: ask_for_id(light_host, queries), texts))

    assert all(answer > 0 for answer in answers)


def test_a_process_that_dies_twice_is_reported(light_host: InferenceProcess) -> None:
    with pytest.raises(NotEnoughRoom, match="killed twice"):
        ask_for_id(light_host, ["die"])

    assert ask_for_id(light_host) > 0


def test_an_idle_process_ends_and_is_started_again(light_host: InferenceProcess) -> None:
    first = ask_for_id(light_host)
    assert light_host._executor is not None
    deadline = time.monotonic() + 60
    while first in light_host._executor._processes:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.05)

    assert ask_for_id(light_host) != first


SERVER = """
import sys
import threading
from core.models.catalog import find_model
from core.inference.messages import ClassifyRequest
from core.inference.process import InferenceProcess, Turns, explain
from core.settings import Settings

host = InferenceProcess(Settings())
model = find_model(sys.argv[1], Settings(), False)
print(host.classify([ClassifyRequest(None, model, None, ("a", "b"), 32)], ["text"])[0].shape)
host.stop()
print(sorted({"torch", "transformers", "peft", "datasets", "evaluate"} & set(sys.modules)))
"""


def test_the_caller_never_imports_ml(base_folder: Path, home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SERVER, str(base_folder)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.stdout.split("\n")[:2], done.stderr) == (["(1, 2)", "[]"], "")


KILLED = """
import os, signal
from core.inference.process import InferenceProcess
from core.settings import Settings

print(InferenceProcess(Settings()).ask(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_process_ends_soon_after_a_killed_server(home: Path) -> None:
    done = subprocess.run(  # waits until the process has closed the output of the server
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        env=os.environ,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    )

    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=30)
