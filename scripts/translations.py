"""Write the messages of the code into the catalogs of all languages: ``core/languages/*.po``.

Known translations stay, new messages get an empty one, and messages that the code no longer has are
removed. ``tests/core/test_translation.py`` fails until nothing is empty.
"""

import ast
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from core.translation import CATALOGS, ENGLISH, LANGUAGES, CatalogEntry, read_entries  # noqa: E402
from ui import glossary  # noqa: E402

GLOSSARY = glossary.SOURCE.relative_to(ROOT).as_posix()
EXPLAIN = "explain"  # of ui/glossary.py; its arguments are terms of the glossary
REFUSALS = ("NotAllowed", "NameKnown", "StateConflict", "NotEnoughRoom")
# positions of the arguments that are messages; a plural follows its singular
CALLS: Mapping[str, tuple[int, ...]] = {
    "translate": (0,),
    "mark": (0,),
    "translate_plural": (0, 1),
    **dict.fromkeys(REFUSALS, (0, 1)),
    "open_page": (0, 1),  # of ui/app/page_frame.py, like the three below
    "open_data": (0, 1),
    "open_run": (0, 1),
    "draw_empty": (0, 1, 3),
    "Entry": (1,),  # of ui/navigation.py
    "CheckText": (0, 1, 2),  # of core/data/quality/findings.py
    "Failure": (1, 2, 3, 4),  # of core/demo/gallery.py
}


@dataclass
class Messages:
    """Messages of the code by their ids, with the files that have them; f-strings as problems."""

    files: dict[tuple[str, ...], set[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def read(self, path: Path) -> None:
        """Add the messages of a source file."""
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if (called := _name(node.func)) in CALLS:
                arguments = [node.args[n] for n in CALLS[called] if n < len(node.args)]
                self._add(called, arguments, name)
            elif called == EXPLAIN:
                self.add_terms([term for part in node.args for term in _constants(part)])

    def add_terms(self, terms: Iterable[str]) -> None:
        """Add the rows of the glossary that explain ``terms``."""
        for text in (text for term in terms for text in glossary.read_rows()[term]):
            self.files.setdefault((text,), set()).add(GLOSSARY)

    def _add(self, called: str, arguments: list[ast.expr], name: str) -> None:
        self.problems += [
            f"{name}:{part.lineno}: an f-string cannot be translated"
            for part in arguments
            if isinstance(part, ast.JoinedStr)
        ]
        texts = [text for part in arguments for text in _constants(part)]
        for ids in [tuple(texts)] if called == "translate_plural" else [(text,) for text in texts]:
            if all(ids):
                self.files.setdefault(ids, set()).add(name)


def _name(function: ast.expr) -> str:
    return str(getattr(function, "id", None) or getattr(function, "attr", ""))


def _constants(node: ast.expr) -> Iterator[str]:
    """Yield the texts of a literal, and of both branches of a conditional expression."""
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def read_messages() -> Messages:
    """Read the messages of the whole project."""
    messages = Messages()
    for terms in glossary.PAGE_TERMS.values():
        messages.add_terms(terms)
    for folder in ("core", "pages", "ui"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "core/cli" not in path.as_posix():  # the command line is English
                messages.read(path)
    return messages


def write_catalog(language: str, messages: Messages) -> int:
    """Write a catalog in the order of the messages; return how many lack a translation."""
    header, *known = read_entries(language)
    texts = {entry.ids: entry.texts for entry in known}
    entries = [
        CatalogEntry(ids, texts.get(ids, ("",) * len(ids)), (f"#: {', '.join(sorted(files))}",))
        for ids, files in sorted(messages.files.items(), key=lambda item: (min(item[1]), item[0]))
    ]
    lines = [_format(entry) for entry in [header, *entries]]
    (CATALOGS / f"{language}.po").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return sum(not all(entry.texts) for entry in entries)


def _format(entry: CatalogEntry) -> str:
    names = ("msgid", "msgid_plural")
    lines = [*entry.comments, *map("{} {}".format, names, map(_quote, entry.ids))]
    if len(entry.ids) == 1:
        return "\n".join([*lines, f"msgstr {_quote(entry.texts[0])}"])
    return "\n".join([*lines, *(f"msgstr[{n}] {_quote(t)}" for n, t in enumerate(entry.texts))])


def _quote(text: str) -> str:
    """Quote a text; one with line breaks, such as the header, begins on a line of its own."""
    quoted = [json.dumps(line, ensure_ascii=False) for line in text.splitlines(keepends=True)]
    return "\n".join(['""', *quoted] if len(quoted) > 1 else quoted or ['""'])


if __name__ == "__main__":
    all_messages = read_messages()
    for problem in all_messages.problems:
        print(problem)
    for code in LANGUAGES:
        if code != ENGLISH:
            print(f"{code}: {write_catalog(code, all_messages)} without translation")
