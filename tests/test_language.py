"""The words of docs/glossary.md and plain English, held in code and documents."""

import ast
import csv
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
with (ROOT / "tests" / "refused_words.csv").open(encoding="utf-8", newline="") as table:
    BANNED = [(row["pattern"], row["instead"]) for row in csv.DictReader(table)]
OPENINGS = re.compile(r"(Those|The same|Its|Of|By|What)\b")  # of a docstring: say what it is
VALUE_NAMES = frozenset(
    {"asked", "found", "kept", "made", "one", "said", "taken", "told", "wanted", "what"}
)
DATA = {  # where a banned word is data that must stay as it is
    "core/access.py": r"taster",  # a role, as the database and audit logs hold it
    "core/cli/exploring.py": r"pieces?|neighbours",  # keys of the JSON of ``tokens``, ``embed``
    "core/data/quality/findings.py": r"neighbours",  # the name of a stored file
    "core/data/splits/labels.py": r"unlabelled",  # a label in files of users
    "core/jobs/tasks/backups.py": r"in charge",  # a field of stored requests
    "tests/core/cli/test_exploring_models.py": r"pieces?",  # keys of the JSON of ``tokens``
    "tests/test_language.py": r".*",
    "tests/pages/test_data.py": r"bring",  # the element key "bring-from"
    "tests/pages/test_quality.py": r"neighbours",  # the name of a stored file
    "ui/data/add.py": r"bring",  # the element key "bring-from"
    "ui/inside.py": r"pieces",  # the element key "inside-pieces"
    "ui/tokens.py": r"pieces",  # the element keys "pieces" and "pieces-table"
}
BANNED_PATTERN = re.compile(
    r"(?<![A-Za-z])(" + "|".join(f"(?:{pattern})" for pattern, _ in BANNED) + r")(?![A-Za-z])",
    re.IGNORECASE,
)
TOKENIZER = "WordPiece"  # the proper name of an algorithm
CAMEL_CASE = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class Hit:
    """A line that breaks a rule."""

    path: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


def list_files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]


def package_of(path: str) -> str:
    """Return the package that a failure names for this file: two folders at most."""
    parts = path.split("/")[:-1]
    return "/".join(parts[:2]) or path


def find_words(path: str, text: str) -> Iterator[Hit]:
    for number, line in enumerate(text.splitlines(), 1):
        spaced = CAMEL_CASE.sub(" ", line.replace(TOKENIZER, "")).replace("_", " ")
        for match in BANNED_PATTERN.finditer(spaced):
            if not re.fullmatch(DATA.get(path, r"(?!)"), match[0].lower()):
                yield Hit(path, number, f"{match[0]}: write {advise(match[0])}")


def advise(word: str) -> str:
    """Return what to write instead of a banned word."""
    return next(advice for pattern, advice in BANNED if re.fullmatch(pattern, word, re.IGNORECASE))


def find_names(path: str, text: str) -> Iterator[Hit]:
    for node in ast.walk(ast.parse(text)):
        name = getattr(node, "arg", None) if isinstance(node, ast.arg) else None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if name in VALUE_NAMES:
            yield Hit(path, getattr(node, "lineno", 0), f"{name!r} says nothing about its value")


def find_openings(path: str, text: str) -> Iterator[Hit]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented):
            match = OPENINGS.match(ast.get_docstring(node) or "")
            if match:
                yield Hit(path, node.body[0].lineno, f"a docstring begins with {match[0]!r}")


@cache
def find_hits() -> tuple[Hit, ...]:
    hits: list[Hit] = []
    for path in list_files():
        text = (ROOT / path).read_text(encoding="utf-8")
        hits.extend(find_words(path, text))
        if path.endswith(".py") and path not in DATA:
            hits.extend(find_names(path, text))
            hits.extend(find_openings(path, text))
    return tuple(hits)


@pytest.mark.parametrize("package", sorted({package_of(path) for path in list_files()}))
def test_a_package_uses_the_words_of_the_glossary(package: str) -> None:
    hits = [hit for hit in find_hits() if package_of(hit.path) == package]

    assert not hits, "\n".join(
        str(hit) for hit in sorted(hits, key=lambda hit: (hit.path, hit.line))
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("count the parcels", ["parcels"]),
        ("def wishes_work(): ...", ["wishes"]),
        ("class DoorTeller: ...", []),
        ("besides, a stranger's file", ["stranger's"]),
        ("isTold = 1", ["Told"]),
        ("pieces of toldeqo", ["pieces"]),
    ],
)
def test_words_are_found_in_prose_and_names(line: str, expected: list[str]) -> None:
    assert [hit.reason.split(":")[0] for hit in find_words("x.py", line)] == expected


def test_vague_names_and_openings_are_found() -> None:
    source = '"""Its rows."""\nfound = 1\n\n\ndef f(told: int) -> None:\n    """Of a run."""\n'

    assert [hit.line for hit in find_names("x.py", source)] == [2, 5]
    assert [hit.line for hit in find_openings("x.py", source)] == [1, 6]
