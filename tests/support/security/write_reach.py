"""Functions of core that the interface calls and that change data, found in the source so that none
is forgotten.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]
FILE_WRITES = frozenset(
    {
        "unlink",
        "write_text",
        "write_bytes",
        "mkdir",
        "rmtree",
        "copytree",
        "copyfile",
        "touch",
        "symlink_to",
    }
)
STORE_WRITES = frozenset(
    {
        "create",
        "transition",
        "update",
        "rename",
        "requeue",
        "delete",
        "add_metrics",
        "drop_metrics_after",
        "hold",
        "adopt",
    }
)
WRITERS = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})  # a statement that begins so


def names(path: Path) -> dict[str, str]:
    """Map each local name imported from core to its ``module`` or ``module.function``."""
    result: dict[str, str] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "core":
            result |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
    return result


def module_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


@cache
def functions() -> dict[str, ast.FunctionDef]:
    """Return every function of core by module and name; a method by its class."""
    result = {}
    for path in sorted((ROOT / "core").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                result[f"{module_of(path)}.{node.name}"] = node
            if isinstance(node, ast.ClassDef):
                result |= {
                    f"{module_of(path)}.{node.name}.{item.name}": item
                    for item in node.body
                    if isinstance(item, ast.FunctionDef)
                }
    return result


def mentioned(tree: ast.AST, known: dict[str, str], module: str) -> Iterator[str]:
    """Return the functions of core that the code calls or passes on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield known.get(node.id, f"{module}.{node.id}")
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in known
        ):
            yield f"{known[node.value.id]}.{node.attr}"


def writes(tree: ast.AST) -> bool:
    """Return whether the code itself changes a file or the database."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            receiver = ast.unparse(node.value).rpartition(".")[2]
            if node.attr in FILE_WRITES or (receiver == "disk" and node.attr != "read"):
                return True
            if receiver == "store" and node.attr in STORE_WRITES:
                return True
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.split(" ")[0] in WRITERS
        ):
            return True
    return False


@cache
def writing() -> frozenset[str]:
    """Return all functions of core that change something, directly or through others."""
    every = functions()
    known = {module_of(path): names(path) for path in (ROOT / "core").rglob("*.py")}
    modules = {
        name: max((module for module in known if name.startswith(f"{module}.")), key=len)
        for name in every
    }
    calls = {
        name: set(mentioned(tree, known[modules[name]], modules[name])) & every.keys()
        for name, tree in every.items()
    }
    result = {name for name, tree in every.items() if writes(tree)}
    while more := {
        name for name, called in calls.items() if name not in result and called & result
    }:
        result |= more
    return frozenset(result)


def from_the_interface() -> set[str]:
    """Return the functions of core that change something and that a page names; methods of the
    store by their own name.
    """
    result, direct = set(), set()
    for path in [*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "Home.py"]:
        tree = ast.parse(path.read_text())
        result |= set(mentioned(tree, names(path), module_of(path)))
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and ast.unparse(node.value).endswith("store")
                and node.attr in {*STORE_WRITES, "transaction"}
            ):
                direct.add(f"{module_of(path)}: store.{node.attr}")
    return (result & writing()) | direct
