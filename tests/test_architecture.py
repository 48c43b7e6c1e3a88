"""The rules of docs/architecture.md that a machine can hold: who imports whom, how long things may
be, what the server loads.
"""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ML = frozenset(
    {"torch", "transformers", "peft", "datasets", "evaluate", "accelerate", "sentence_transformers"}
)
ML_MODULES = (  # the only places that may import an ML library
    "core/data/load.py",
    "core/training/",
    "core/inference/attribution.py",
    "core/inference/batched_lora.py",
    "core/inference/classifier.py",
    "core/inference/tracer.py",
    "core/jobs/workers/",
    "core/transfer/export/",
)
SOURCES = sorted(
    [path for folder in ("core", "ui", "pages") for path in (ROOT / folder).rglob("*.py")]
    + [ROOT / "Home.py"]
)
PACKAGES = sorted({path.parent for path in SOURCES} - {ROOT, ROOT / "pages"})


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_only_named_modules_import_ml(path: Path) -> None:
    imported = sorted(ML & {name.split(".")[0] for name in imports(path)})

    assert not imported or relative(path).startswith(ML_MODULES), f"{imported} in the wrong place"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_modules_and_functions_stay_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    limit = 120 if relative(path).startswith("pages/") else 600

    assert len(lines) <= limit, f"{len(lines)} lines, {limit} allowed"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines, 60 allowed"


@pytest.mark.parametrize("package", PACKAGES, ids=relative)
def test_a_package_is_small_and_says_what_it_is_for(package: Path) -> None:
    modules = [path for path in package.glob("*.py") if path.stem not in ("__init__", "__main__")]

    assert len(modules) <= 15
    assert ast.get_docstring(ast.parse((package / "__init__.py").read_text()))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_sql_is_written_in_storage_only(path: Path) -> None:
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany")
    ]

    assert not calls or relative(path).startswith("core/storage/"), f"line {calls}"


def test_the_project_has_few_modules() -> None:
    modules = [path for path in SOURCES if path != ROOT / "Home.py"]

    assert len(modules) <= 329


def test_names_of_modules_and_public_classes_in_core_are_unique() -> None:
    modules, classes = Counter[str](), Counter[str]()
    for path in SOURCES:
        if relative(path).startswith("core/") and path.stem != "__init__":
            modules[path.stem] += 1
            body = ast.parse(path.read_text()).body
            classes.update(node.name for node in body if isinstance(node, ast.ClassDef))

    assert [name for name, count in modules.items() if count > 1] == []
    shared = [name for name, count in classes.items() if count > 1 and not name.startswith("_")]
    assert shared == []


def test_tests_mirror_the_code() -> None:
    """``tests/core/a/test_b_more.py`` tests ``core/a/b.py``; the same for ``ui``."""
    strays = []
    for folder in ("core", "ui"):
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py")):
            package = ROOT / path.parent.relative_to(ROOT / "tests")
            name = path.stem.removeprefix("test_")
            modules = [module.stem for module in package.glob("*.py")]
            if not any(name == module or name.startswith(f"{module}_") for module in modules):
                strays.append(relative(path))

    assert strays == []


def test_imports_form_no_cycle() -> None:
    modules = {
        relative(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in SOURCES
    }
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        targets = {
            target if target in modules else target.rpartition(".")[0] for target in imports(path)
        }
        graph[name] = {target for target in targets if target in modules and target != name}

    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


VISIT = """
import sys
from pathlib import Path
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest
from core.storage.recovery import open_store
from core.settings import Settings

make = PagesManager.__init__
def after_first_visit(manager, *args, **options):
    # a new server runs a file of pages/ directly once; AppTest would do so each time
    make(manager, *args, **options)
    PagesManager.uses_pages_directory = False
PagesManager.__init__ = after_first_visit
store = open_store(Settings())
app = AppTest.from_file("Home.py", default_timeout=120).run()
for page in sorted(Path("pages").glob("*.py")):
    app.query_params["run"] = store.list_jobs()[0].id
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
    environment = {
        **os.environ,
        "LORALAB_HOME": str(home),
        "LORALAB_HUB": "false",
        "HF_HUB_OFFLINE": "1",
    }

    done = subprocess.run(
        [sys.executable, "-c", VISIT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    loaded = set(done.stdout.split("LOADED")[1].split())
    assert "streamlit" in loaded
    assert not ML & loaded, f"the server imported {sorted(ML & loaded)}"
    assert not {"scipy", "sklearn"} & loaded, "60 MB and more that no page needs as it opens"


def test_the_server_keeps_no_heap_of_arrow() -> None:
    ask = (
        "from ui.app import page_frame; import pyarrow;"
        " print(pyarrow.default_memory_pool().backend_name)"
    )

    done = subprocess.run(
        [sys.executable, "-c", ask],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert done.stdout.split()[-1] == "system"


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=relative)
def test_a_benchmark_run_as_a_script_finds_the_project(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    project_imports = re.search(r"^from (core|ui|tests|benchmarks)\b", text, re.MULTILINE)
    if 'if __name__ == "__main__"' not in text or project_imports is None:
        return

    assert "sys.path.insert(" in text[: project_imports.start()]


PATCHERS = re.compile(r"(^|\.)(setattr|setitem|delattr|delitem|patch|patch\.object|patch\.dict)$")
OURS = ("core", "ui", "pages", "Home")
# adds a row to the table of kinds, which is made to get rows
ADDS_ROWS = frozenset({"tests/support/toy_job.py"})


def find_patches(source: str) -> list[str]:
    """List the statements that change a name of this project at run time.

    They pass it to a function of pytest's ``monkeypatch`` or ``unittest.mock``, or assign to it.
    """
    tree = ast.parse(source)
    imported = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (getattr(node, "module", None) or alias.name).split(".")[0] in OURS
    }
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call | ast.Assign | ast.AugAssign | ast.Delete)
        if any(_is_ours(target, imported) for target in _list_changed(node))
    ]


def _list_changed(node: ast.Call | ast.Assign | ast.AugAssign | ast.Delete) -> list[ast.expr]:
    if isinstance(node, ast.Call):
        return node.args[:1] if PATCHERS.search(ast.unparse(node.func)) else []
    targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
    return [target for target in targets if isinstance(target, ast.Attribute | ast.Subscript)]


def _is_ours(target: ast.expr, imported: set[str]) -> bool:
    """Whether the expression is an imported name, a part of one, or its dotted path as text."""
    if isinstance(target, ast.JoinedStr):
        target = target.values[0]
    if isinstance(target, ast.Constant):
        return str(target.value).split(".")[0] in OURS
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return isinstance(target, ast.Name) and target.id in imported


@pytest.mark.parametrize(
    "statement",
    [
        "monkeypatch.setattr(files, 'disk', None)",
        "patch.setattr(files.Disk, 'write', None)",
        "monkeypatch.setattr('core.storage.files.disk', None)",
        "monkeypatch.setattr(f'core.settings.{name}', None)",
        "monkeypatch.setitem(KINDS, 'toy', None)",
        "monkeypatch.delattr(core.settings, 'PROJECT')",
        "mock.patch('ui.home.draw_cards')",
        "mock.patch.object(files, 'disk')",
        "setattr(files, 'disk', None)",
        "files.disk = None",
        "KINDS['toy'] = None",
        "del KINDS['toy']",
    ],
)
def test_a_name_of_this_project_that_is_patched_is_noticed(statement: str) -> None:
    imports = (
        "import core.settings",
        "from core.storage import files",
        "from core.jobs.kinds import KINDS",
    )

    assert len(find_patches("\n".join([*imports, "def test():", f"    {statement}"]))) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "monkeypatch.setenv('core', '1')",
        "monkeypatch.setattr(shutil, 'disk_usage', None)",
        "supervisor.start = None",
        "files.Disk().steps = 0",
    ],
)
def test_other_changes_are_allowed(statement: str) -> None:
    assert find_patches(f"import shutil\nfrom core.storage import files\n{statement}") == []


@pytest.mark.parametrize(
    "path",
    sorted(path for name in ("tests", "benchmarks") for path in (ROOT / name).rglob("*.py")),
    ids=relative,
)
def test_seams_are_arguments_and_no_name_of_this_project_is_patched(path: Path) -> None:
    if relative(path) not in ADDS_ROWS:
        assert find_patches(path.read_text(encoding="utf-8")) == []


def test_tests_run_coroutines_in_a_thread_as_one_in_a_browser_leaves_its_loop_running() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    callers = [
        relative(path)
        for path, text in sorted(texts.items())
        if "asyncio.run(" in text
        and any(
            isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.run"
            for node in ast.walk(ast.parse(text))
        )
    ]

    assert callers == []  # tests/support/event_loop.py has run_in_thread


def test_no_merge_was_left_half_done() -> None:
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    texts = [
        path
        for path in known
        if path.endswith((".py", ".md", ".toml", ".txt", ".css", ".html"))
        and (ROOT / path).exists()
    ]
    marked = [
        path
        for path in texts
        if "\n<<<<<<< " in (ROOT / path).read_text() or "\n>>>>>>> " in (ROOT / path).read_text()
    ]
    assert marked == []
