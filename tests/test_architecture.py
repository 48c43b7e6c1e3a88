"""The rules of docs/architecture.md that a machine can hold: who imports whom, how long things may be, what the server loads."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ML = frozenset({"torch", "transformers", "peft", "datasets", "evaluate", "accelerate", "sentence_transformers"})
ML_MODULES = (  # the only places that may import an ML library
    "core/data/load.py",
    "core/training/",
    "core/inference/classifier.py",
    "core/inference/explain.py",
    "core/inference/mixed.py",
    "core/inference/sentences.py",
    "core/inference/walker.py",
    "core/exporting/",
)
LAYERS = (  # a module may import its own layer and those before it
    (
        "errors",
        "access",
        "settings",
        "disk",
        "connections",
        "spreadsheet",
        "four_bit",
        "files",
        "lines",
        "manifest",
        "locks",
        "states",
        "schema",
        "records",
        "turns",
    ),
    ("signin", "config", "presets", "config_docs", "store", "people", "classroom"),
    ("catalog", "model_folder", "model_shape", "data"),
    ("facts", "findings", "checks", "packing", "work", "memory", "calibration", "estimate", "budget"),
    ("training", "eta", "evaluation", "charts", "inference", "exporting", "importing"),
    ("jobs", "rehearsal", "shipped", "commands", "__main__"),
)
ALLOWED_UPWARD = {("data", "training.events")}  # a preparation speaks of its progress in the same words as a training
SOURCES = sorted([*(ROOT / "core").rglob("*.py"), *(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "Home.py"])


def imports(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer(module: str) -> int:
    part = module.removeprefix("core.").split(".")[0]
    return next(number for number, names in enumerate(LAYERS) if part in names)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_imports_point_one_way(path: Path) -> None:
    inside = relative(path).split("/")[0].removesuffix(".py")
    for name in imports(path):
        top = name.split(".")[0]
        if inside == "core":
            assert top not in {"streamlit", "ui", "pages"}, f"core must not know the interface: {name}"
        if inside == "ui":
            assert top != "pages", f"ui must not import a page: {name}"
        if inside == "core" and top == "core" and name.count("."):
            mine = relative(path).removeprefix("core/").removesuffix(".py").replace("/", ".")
            theirs = name.removeprefix("core.")
            if any(mine.startswith(a) and theirs.startswith(b) for a, b in ALLOWED_UPWARD) or theirs.split(".")[0] == mine.split(".")[0]:
                continue
            assert layer(theirs) <= layer(mine), f"{mine} must not import {theirs}"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_only_named_modules_import_ml(path: Path) -> None:
    found = sorted(ML & {name.split(".")[0] for name in imports(path)})

    assert not found or relative(path).startswith(ML_MODULES), f"{found} in the wrong place"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_stay_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    limit = 120 if relative(path).startswith("pages/") else 250
    assert lines <= limit, f"{lines} lines, {limit} allowed"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 40, f"{node.name} has {length} lines, 40 allowed"


VISIT = """
import sys
from pathlib import Path
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from core.jobs.rebuild import open_store
from core.settings import Settings

make = PagesManager.__init__
def after_first_visit(manager, *args, **options):  # a new server runs a file of pages/ by itself once; AppTest would do so each time
    make(manager, *args, **options)
    PagesManager.uses_pages_directory = False
PagesManager.__init__ = after_first_visit
store = open_store(Settings())
app = AppTest.from_file("Home.py", default_timeout=120).run()
for page in sorted(Path("pages").glob("*.py")):
    app.query_params["run"] = store.jobs()[0].id
    app.switch_page(f"pages/{page.name}").run()
    assert not app.exception, (page, app.exception)
app.switch_page("pages/classify.py").run()
app.text_area(key="text").set_value("The striker scored twice in the final.").run()
app.button(key="classify").click().run()
assert not app.exception and not app.error, (app.exception, app.error)
assert any("Untrained" in element.value for element in app.markdown), "no answer on the page"
print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_the_server_visits_every_page_and_classifies_without_ml(home: Path) -> None:
    environment = {**os.environ, "LORALAB_HOME": str(home), "LORALAB_HUB": "false", "HF_HUB_OFFLINE": "1"}

    done = subprocess.run([sys.executable, "-c", VISIT], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "streamlit" in loaded
    assert not ML & loaded, f"the server imported {sorted(ML & loaded)}"
    assert not {"scipy", "sklearn"} & loaded, "60 MB and more that no page needs as it opens"


def test_the_server_keeps_no_heap_of_arrow() -> None:
    ask = "from ui import frame; import pyarrow; print(pyarrow.default_memory_pool().backend_name)"

    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)

    assert done.stdout.split()[-1] == "system"


def test_no_merge_was_left_half_done() -> None:
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    texts = [path for path in known if path.endswith((".py", ".md", ".toml", ".txt", ".css", ".html"))]
    marked = [path for path in texts if "\n<<<<<<< " in (ROOT / path).read_text() or "\n>>>>>>> " in (ROOT / path).read_text()]
    assert marked == []
