"""Every page with each URL parameter set to a path outside its folder or to nonsense."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.data.dataset import Dataset
from core.settings import Settings
from core.storage.job import Job
from tests.support.app.page_app import Open
from tests.support.security.file_audit import ROOT, opened_elsewhere
from tests.support.security.hostile_inputs import hostile_names
from tests.support.security.sizes import FULL
from ui import navigation

VALUES = [
    name for name in hostile_names(40 if FULL else 16)[:: 1 if FULL else 4] if "\ud800" not in name
]  # an address is UTF-8


def parameters() -> Iterator[str]:
    """List the URL parameters that pages and their parts read, directly or by bound widgets."""
    for path in sorted([*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")]):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            named = {word.arg: word.value for word in node.keywords}
            chosen = ast.unparse(node.func).startswith("navigation.choose")
            bound = "key" in named and ("bind" in named or chosen)
            read = (
                isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value) == "st.query_params"
                and bool(node.args)
            )
            if bound or read:
                key = named["key"] if bound else node.args[0]
                value = (
                    key.value
                    if isinstance(key, ast.Constant)
                    else constant(path, tree, ast.unparse(key))
                )
                if isinstance(value, str):
                    yield value


def constant(path: Path, tree: ast.Module, name: str) -> object:
    """Return the value of ``NAME`` or ``module.NAME`` in the file at ``path``."""
    first, _, rest = name.partition(".")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and rest:
            for alias in node.names:
                if first == (alias.asname or alias.name) and node.module:
                    module = importlib.import_module(f"{node.module}.{alias.name}")
                    return getattr(module, rest, None)
    if rest or path.parent == ROOT / "pages":
        return None
    module = importlib.import_module(
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    )
    return getattr(module, name, None)


NAMES = sorted(set(parameters()))


@pytest.mark.parametrize("where", navigation.ENTRIES)
def test_no_address_breaks_a_page_or_opens_a_file_elsewhere(
    open_app: Open,
    dataset: Dataset,
    finished: Job,
    home: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert {"run", "data", "dataset", "clone", "set", "compared", "words"} <= set(NAMES)
    data = Settings().data
    assert data
    for number, value in enumerate(VALUES):
        monkeypatch.setenv("LORALAB_MODE", "public" if number % 2 else "local")
        query = dict.fromkeys(NAMES, value) | ({"run": finished.id} if number % 4 < 2 else {})
        with opened_elsewhere(home, home.parent, data) as elsewhere:
            app = open_app(where, **query)

        assert not app.exception, (value, app.exception[0].value)
        assert not [item.value for item in app.error if "Something went wrong" in item.value], value
        assert elsewhere == [], value
