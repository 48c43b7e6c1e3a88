"""Execute the code of an export as printed, in a new process without this project.

``execute`` starts this file as a program. It imports nothing of the project and no library at the
top, so that the program can be started by the Python of any environment that has transformers.
"""

import contextlib
import io
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL_BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = "python train.py"
POLL_SECONDS = 0.1
MOST_SECONDS = 1800  # a base model of a billion parameters takes minutes


@dataclass(frozen=True)
class PrintedExport:
    """An export to execute.

    Args:
        folder: The export. Each of its ``README.md`` and notebooks is executed.
        base: Folder of the base model.
        identity: What the code calls the base model: a Hub id, or ``local/`` and a name.
        revision: Revision of the base model.
        data: What ``train.py`` loads by default: a Hub id, or the name of a folder.
        rows: Rows by split that it shall load instead: (text, class name).
        classes: The class names in the order of their ids.
        texts: Texts to classify.
        batch_sizes: Numbers of texts that are classified at once.
        scripts: Whether ``train.py`` and ``train.ipynb`` are executed, too.
    """

    folder: str
    base: str
    identity: str
    revision: str
    data: str
    rows: dict[str, list[tuple[str, str]]]
    classes: list[str]
    texts: list[str]
    batch_sizes: list[int]
    scripts: bool


@dataclass(frozen=True)
class Executed:
    """A block of code that was executed.

    Args:
        name: Its file, and the number of the block in a model card.
        output: What it printed.
        probabilities: By batch size, if it classifies: a row per text, a column per class.
        error: The last lines of its traceback; empty if it succeeded.
        seconds: How long it took.
    """

    name: str
    output: str
    probabilities: dict[str, list[list[float]]]
    error: str
    seconds: float


def execute(
    export: PrintedExport,
    should_stop: Callable[[], bool] = lambda: False,
    on_code: Callable[[], None] = lambda: None,
    python: str = sys.executable,
    most_seconds: float = MOST_SECONDS,
) -> list[Executed] | None:
    """Execute the code of ``export`` with ``python`` and return what happened; None if stopped.

    ``on_code`` is called after each block of code, in another thread, and must not raise. Raises
    TimeoutError after ``most_seconds``.
    """
    with tempfile.TemporaryDirectory(dir=Path(export.folder).parent) as place:
        _lay_out(export, Path(place))
        log = Path(place) / "log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [python, "-I", __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_build_environment(Path(place)),
                cwd=place,
                text=True,
                encoding="utf-8",
            ) as child,
        ):
            lines: list[str] = []
            reader = threading.Thread(target=_collect, args=(child, lines, on_code))
            reader.start()
            assert child.stdin is not None
            child.stdin.write(json.dumps(asdict(export) | {"place": place}) + "\n")
            child.stdin.flush()  # stays open: its end shows the child that this process has ended
            outcome = _wait(child, should_stop, most_seconds)
            reader.join()
        if outcome == "stopped":
            return None
        if outcome == "too slow":
            raise TimeoutError(f"the code took more than {most_seconds:g} s")
        executed = [Executed(**json.loads(line)) for line in lines]
        if child.returncode:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-3:])
            executed.append(Executed("the process", "", {}, last or "it ended early", 0.0))
        return executed


def _collect(child: "subprocess.Popen[str]", lines: list[str], on_code: Callable[[], None]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        lines.append(line)
        on_code()


def _wait(
    child: "subprocess.Popen[str]", should_stop: Callable[[], bool], most_seconds: float
) -> Literal["ended", "stopped", "too slow"]:
    """Wait for the end of ``child``; kill it on a stop and after ``most_seconds``."""
    began = time.monotonic()
    while child.poll() is None:
        if should_stop():
            child.kill()
            return "stopped"
        if time.monotonic() - began > most_seconds:
            child.kill()
            return "too slow"
        time.sleep(POLL_SECONDS)
    return "ended"


def _build_environment(place: Path) -> dict[str, str]:
    """Return an environment without this project, with the Hub offline and empty caches."""
    foreign = ("PYTHON", "LORALAB", "HF_", "HUGGINGFACE", "TRANSFORMERS")
    kept_variables = {
        name: value for name, value in os.environ.items() if not name.startswith(foreign)
    }
    return kept_variables | {
        "HF_HOME": str(place / "hf"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",  # for a few texts, threads that wait cost more than they save
        "PYTHONIOENCODING": "utf-8",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _lay_out(export: PrintedExport, place: Path) -> None:
    """Link the export into ``place``, and put base model and data where its code expects them."""
    source, work = Path(export.folder), place / "work"
    for path in sorted(source.rglob("*")):
        if path.is_file():
            link = work / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    folders = [work, *(path for path in work.iterdir() if (path / "README.md").is_file())]
    snapshot = place / "hf" / "hub" / f"models--{export.identity.replace('/', '--')}"
    snapshot = snapshot / "snapshots" / export.revision
    is_local = export.identity.startswith("local/")
    targets = [folder / export.identity for folder in folders] if is_local else [snapshot]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(Path(export.base).resolve(), target_is_directory=True)
    data = work / export.data
    data.mkdir(parents=True)
    for split, rows in export.rows.items():
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Execute the export that standard input describes; print an ``Executed`` per line."""
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is not read as a result
    sys.stdout = sys.stderr
    work = Path(request["place"]) / "work"
    for folder in [work, *sorted(path for path in work.iterdir() if path.is_dir())]:
        if (folder / "README.md").is_file():
            os.chdir(folder)
            name = "" if folder == work else f"{folder.name}/"
            _execute_card(request, name, channel)
    os.chdir(work)
    if request["scripts"] and Path("train.py").is_file():
        _execute_scripts(channel)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


def _execute_card(request: dict[str, Any], prefix: str, channel: TextIO) -> None:
    card = Path("README.md").read_text(encoding="utf-8")
    for number, code in enumerate(PYTHON_BLOCK.findall(card), 1):
        name = f"{prefix}README.md, block {number}"
        _report(name, partial(_execute_block, code, name, request), channel)


def _execute_block(code: str, name: str, request: dict[str, Any]) -> dict[str, list[list[float]]]:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, name, "exec"), namespace)
    classify = namespace.get("classify")
    if classify is None:
        return {}
    return {
        str(size): _classify(classify, request["texts"], size, request["classes"])
        for size in request["batch_sizes"]
    }


def _classify(
    classify: Any, texts: Sequence[str], size: int, classes: Sequence[str]
) -> list[list[float]]:
    """Classify ``texts`` in batches with a pipeline of transformers, or with a function."""
    if hasattr(classify, "tokenizer"):
        rows = classify(list(texts), batch_size=size, top_k=None)
        by_name = [{item["label"]: item["score"] for item in row} for row in rows]
        return [[float(row[name]) for name in classes] for row in by_name]
    batches = [classify(list(texts[at : at + size])) for at in range(0, len(texts), size)]
    return [[float(value) for value in row] for row in itertools.chain(*batches)]


def _execute_scripts(channel: TextIO) -> None:
    commands = [COMMAND]
    if Path("README.md").is_file():
        shell = "\n".join(SHELL_BLOCK.findall(Path("README.md").read_text(encoding="utf-8")))
        commands = [line for line in shell.splitlines() if line.startswith(COMMAND)]
    for command in commands:
        _report(command.partition("#")[0].strip(), partial(_execute_command, command), channel)
    _report("train.ipynb", _execute_notebook, channel)


def _execute_command(command: str) -> dict[str, list[list[float]]]:
    _, script, *arguments = shlex.split(command, comments=True)
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
    return {}


def _execute_notebook() -> dict[str, list[list[float]]]:
    sys.argv = ["ipykernel"]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    cells = json.loads(Path("train.ipynb").read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), namespace)
    return {}


def _report(
    name: str, execute: Callable[[], dict[str, list[list[float]]]], channel: TextIO
) -> None:
    """Execute a block of code and print what happened as one line."""
    began, error, probabilities = time.monotonic(), "", {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            probabilities = execute()
        except BaseException:  # the code of the export may do anything, such as exit
            error = traceback.format_exc(limit=-2)[-1000:]
    seconds = time.monotonic() - began
    executed = Executed(name, output.getvalue()[-2000:], probabilities, error, round(seconds, 2))
    channel.write(json.dumps(asdict(executed)) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
