"""Measure the promised speed, memory and accuracy of classification on a finished run.

    python -m benchmarks.classify --home HOME RUN [--only batch …] [--json]

Rounds alternate between the compared sides, so that a slow phase of the machine affects all of
them; medians are printed. HOME is a home folder with a finished run on MiniLM. It is only read;
exports are written to a temporary folder.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
import psutil
from numpy.typing import NDArray

from core.config import Precision
from core.inference.messages import ClassifyRequest
from core.inference.process import InferenceProcess
from core.jobs.workers.classify import build_classify_request
from core.runs import artifacts
from core.runs.run import find_run
from core.settings import Settings
from core.storage.store import Store
from core.training.events import LEAST_AGREEMENT

ROUNDS = 5
FILE_ROWS = 1024  # rows of a file
ADAPTERS = 10
KILLS = 20
WORDS = 48  # AG News texts of this length have about 60 tokens


@dataclass(frozen=True)
class Row:
    """One promise: the measured value, the promised one, and whether it holds."""

    name: str
    measured: str
    promised: str
    holds: bool


class Lab:
    """The run with its test texts, and requests for it."""

    def __init__(self, home: Path, run: str, place: Path) -> None:
        self.settings = Settings(home=home, hub=False)
        self.store = Store(self.settings, create=False)
        self.job = find_run(self.store, run)
        self.request: ClassifyRequest = build_classify_request(self.store, self.job, hub=False)
        self.texts: list[str] = artifacts.read_predictions(self.store.get_folder(self.job), "test")[
            "text"
        ].tolist()
        random.Random(1).shuffle(self.texts)
        self.place = place

    def copies(self, count: int) -> list[ClassifyRequest]:
        """Return requests for copies of the run, each with its own adapter folder."""
        assert self.request.adapter is not None
        created = []
        for number in range(count):
            folder = self.place / f"adapter-{number}"
            if not folder.exists():
                shutil.copytree(self.request.adapter, folder)
            created.append(replace(self.request, run_id=f"copy-{number}", adapter=folder))
        return created

    def host(self) -> InferenceProcess:
        """Return a new inference process, not started yet."""
        return InferenceProcess(self.settings)


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def process(host: InferenceProcess) -> psutil.Process:
    return psutil.Process(next(iter(host._executor._processes)))


def memory_mb(host: InferenceProcess) -> float:
    """Return the memory that only this process uses."""
    return process(host).memory_full_info().uss / 2**20


def batch(lab: Lab, rounds: int) -> list[Row]:
    """Compare rows per second of this project, transformers.pipeline and an int8 ONNX model.

    "ours" computes in fp32. Next to it is bf16, in which long files are classified where it is
    faster, if the hand-written layers can compute the model.
    """
    from transformers import pipeline  # noqa: PLC0415 - seconds, for this part alone

    from core.inference.classifier import Classifier  # noqa: PLC0415
    from core.training.fast.matmul import machine_products  # noqa: PLC0415
    from core.training.load_model import fetch  # noqa: PLC0415
    from core.transfer.export import verify, write_files  # noqa: PLC0415
    from core.transfer.export.formats import Format  # noqa: PLC0415

    queries = lab.request
    assert queries.adapter is not None
    base = fetch(queries.model)
    source = write_files.ExportSource(
        base,
        queries.model.identity,
        queries.model.revision,
        queries.adapter,
        queries.classes,
        queries.max_tokens,
        queries.seed,
    )
    folders = {target: lab.place / target for target in (Format.MERGED, Format.ONNX_INT8)}
    for target, folder in folders.items():
        folder.mkdir()
        write_files.write_model(source, target, folder)
    faster = machine_products(lab.settings).onednn_is_faster
    ours = Classifier(base, queries.classes, queries.seed, faster)
    ours.load_adapter("run", queries.adapter)
    pipe = pipeline(
        "text-classification",
        str(folders[Format.MERGED]),
        truncation=True,
        max_length=queries.max_tokens,
    )
    int8 = verify.load_export(source, Format.ONNX_INT8, folders[Format.ONNX_INT8])
    threads = lab.settings.used_threads

    def classify(precision: Precision, texts: list[str]) -> NDArray[np.float32]:
        ours.precision = precision
        return ours.classify("run", texts, queries.max_tokens)

    half = {"bf16": (FILE_ROWS, partial(classify, "bf16"))} if ours.has_bf16 else {}
    sides: dict[str, tuple[int, Callable[[list[str]], object]]] = {
        "ours": (FILE_ROWS, partial(classify, "fp32")),
        **half,
        "batch 1": (192, pipe),
        "batch 64": (192, lambda texts: pipe(texts, batch_size=64)),
        "int8": (
            256,
            lambda texts: verify.predict_texts(int8, folders[Format.ONNX_INT8], texts, threads),
        ),
    }
    for _, answer in sides.values():
        answer(lab.texts[:32])
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, (count, answer) in sides.items():
            texts = lab.texts[number * FILE_ROWS : number * FILE_ROWS + count]
            rates[name].append(count / seconds(partial(answer, texts)))
    each = {name: median(values) for name, values in rates.items()}
    message = ", ".join(f"{name} {rate:.0f}" for name, rate in each.items())

    def row(name: str, over: str, under: str, least: float) -> Row:
        ratio = median(a / b for a, b in zip(rates[over], rates[under], strict=True))
        return Row(
            f"batch, {name} ({message} rows/s)",
            f"{ratio:.2f} times",
            f">= {least} times",
            ratio >= least,
        )

    rows = [
        row("ours against pipeline batch 1", "ours", "batch 1", 4),
        row("ours against pipeline batch 64", "ours", "batch 64", 2),
        row("int8 ONNX against ours", "int8", "ours", 1.5),
    ]
    if half:
        rows += [
            row("bf16 against pipeline batch 1", "bf16", "batch 1", 8),
            row("bf16 against pipeline batch 64", "bf16", "batch 64", 8),
            agreement(*(classify(each, lab.texts[:FILE_ROWS]) for each in ("fp32", "bf16"))),
        ]
    return rows


def agreement(exact: NDArray[np.float32], half: NDArray[np.float32]) -> Row:
    """Compare the labels of probabilities (n, C) in fp32 and in bf16."""
    equal = float((exact.argmax(axis=1) == half.argmax(axis=1)).mean())
    least = LEAST_AGREEMENT
    return Row("labels of bf16 as in fp32", f"{equal:.2%}", f">= {least:.1%}", equal >= least)


def single(lab: Lab, rounds: int) -> list[Row]:
    """Time the first text, one text when warm and ten runs on one text; measure the memory of ten
    adapters.
    """
    host, requests = lab.host(), lab.copies(ADAPTERS)
    texts = iter(lab.texts)
    first = seconds(lambda: host.classify(requests[:1], [next(texts)]))
    for _ in range(5):
        host.classify(requests[:1], [next(texts)])
    before = memory_mb(host)
    host.load(requests)
    for _ in range(5):
        host.classify(requests, [next(texts)])
    after = memory_mb(host)
    item, ten = [], []
    for _ in range(10 * rounds):
        item.append(seconds(lambda: host.classify(requests[:1], [next(texts)])))
        ten.append(seconds(lambda: host.classify(requests, [next(texts)])))
    host.stop()
    alone, all_ten = median(item), median(ten)
    return [
        Row("first text after start", f"{first:.1f} s", "<= 15 s", first <= 15),
        Row("one text, warm", f"{alone * 1e3:.0f} ms", "<= 150 ms", alone <= 0.15),
        Row("ten runs, warm", f"{all_ten * 1e3:.0f} ms", "<= 700 ms", all_ten <= 0.7),
        Row(
            "ten runs against one",
            f"{all_ten / alone:.1f} times",
            "<= 5 times",
            all_ten <= 5 * alone,
        ),
        Row("ten adapters above one", f"{after - before:.1f} MB", "<= 20 MB", after - before <= 20),
    ]


def growth(lab: Lab, rounds: int) -> list[Row]:
    """Measure the memory growth of the process over the last 500 of 1,000 predictions."""
    host, requests = lab.host(), lab.copies(1)
    for text in lab.texts[:500]:
        host.classify(requests, [text])
    half = memory_mb(host)
    for text in lab.texts[500:1000]:
        host.classify(requests, [text])
    whole = memory_mb(host)
    host.stop()
    grown = whole / half - 1
    return [
        Row(
            f"1,000 predictions: growth over the last 500 (of {half:.0f} MB)",
            f"{grown:.2%}",
            "<= 2 %",
            grown <= 0.02,
        )
    ]


def explanation(lab: Lab, rounds: int) -> list[Row]:
    """Time and check integrated gradients of texts of 60 tokens."""
    host = lab.host()
    long = [" ".join(text.split()[:WORDS]) for text in lab.texts if len(text.split()) >= WORDS]
    host.explain(lab.request, long[0])
    took, errors, tokens = [], [], []
    for text in long[1 : 1 + 2 * rounds]:
        began = time.perf_counter()
        explanation = host.explain(lab.request, text)
        took.append(time.perf_counter() - began)
        errors.append(abs(explanation.error))
        tokens.append(len(explanation.tokens))
    host.stop()
    slow, wrong = median(took), max(errors)
    return [
        Row(
            f"integrated gradients, {median(tokens):.0f} tokens",
            f"{slow:.2f} s",
            "<= 3 s",
            slow <= 3,
        ),
        Row("largest convergence error", f"{wrong:.3f} logits", "<= 0.05", wrong <= 0.05),
    ]


def short_first(lab: Lab, rounds: int) -> list[Row]:
    """Classify texts while six people explain texts of 2,900 characters."""
    host, requests, ended = lab.host(), lab.copies(1), threading.Event()
    long = [" ".join(lab.texts[start:])[:2900] for start in range(0, 6 * 20, 20)]
    host.classify(requests, lab.texts[:1])

    def explain(text: str) -> None:
        while not ended.is_set():
            host.explain(requests[0], text)

    people = [threading.Thread(target=explain, args=(text,)) for text in long]
    for person in people:
        person.start()
    took = []
    for text in lab.texts[: 10 * rounds]:
        time.sleep(0.3)
        took.append(seconds(partial(host.classify, requests, [text])))
    ended.set()
    for person in people:
        person.join()
    host.stop()
    slow = max(took)
    measured = f"{median(took):.2f}, at most {slow:.2f} s"
    return [Row("a text while six explain 2,900 characters", measured, "<= 1 s", slow <= 1)]


def kills(lab: Lab, rounds: int) -> list[Row]:
    """Kill the process during a request; a new process must answer this request and the next."""
    host, requests = lab.host(), lab.copies(1)
    host.classify(requests, lab.texts[:1])
    served = next_served = 0
    for _ in range(KILLS):
        victim = process(host).pid
        killer = threading.Timer(random.uniform(0.05, 0.5), os.kill, (victim, signal.SIGKILL))
        killer.start()
        served += (
            len(host.classify(requests, lab.texts[:80])[0]) == 80
        )  # takes a second or more, so the signal arrives during it
        killer.join()
        next_served += len(host.classify(requests, lab.texts[:1])[0]) == 1
    host.stop()
    right = served == next_served == host.crashes == KILLS
    return [
        Row(
            "killed in mid-request",
            f"{host.crashes} noticed, {served} served, {next_served} served next",
            f"{KILLS} times",
            right,
        )
    ]


PARTS: dict[str, Callable[[Lab, int], list[Row]]] = {
    "batch": batch,
    "single": single,
    "growth": growth,
    "explanation": explanation,
    "short_first": short_first,
    "kills": kills,
}


def table(rows: Sequence[Row]) -> str:
    width = max(len(row.name) for row in rows)
    return "\n".join(
        f"{row.name:<{width}}  {row.measured:>12}  {row.promised:<12} "
        f" {'holds' if row.holds else 'SHORT'}"
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(Settings(home=options.home).used_threads))
    with tempfile.TemporaryDirectory() as place:
        lab = Lab(options.home, options.run, Path(place))
        rows: list[Row] = []
        for name in options.only:
            measured = PARTS[name](lab, options.rounds)
            rows += measured
            if not options.json:
                print(table(measured), flush=True)  # at once, as a later part may fail
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))


if __name__ == "__main__":
    main()
