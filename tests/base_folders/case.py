"""A case: a folder of a base model and its expected result."""

from dataclasses import dataclass
from pathlib import Path

from tests.base_folders.changes import Change, write_tiny


@dataclass(frozen=True, slots=True)
class BaseCase:
    """A folder and its expected result.

    Args:
        name: What is special about the folder.
        changes: The changes that write it.
        refused: Parts of the message, each of which must occur; empty if the folder is accepted.
        mention: A part of what an accepted folder is described with.
        folder: The name of the folder, or the path that a user gives from there.
    """

    name: str
    changes: tuple[Change, ...]
    refused: tuple[str, ...] = ()
    mention: str = ""
    folder: str = "base"

    def write(self, parent: Path) -> Path:
        """Write the folder below ``parent`` and return the path that a user chooses."""
        folder = parent / self.folder.split("/", maxsplit=1)[0]
        folder.mkdir()
        for change in self.changes:
            change(folder)
        return parent / self.folder


def accept(name: str, *changes: Change, mention: str = "", folder: str = "base") -> BaseCase:
    """Return the case of a folder whose predictions equal those of transformers and PEFT."""
    return BaseCase(name, changes, mention=mention, folder=folder)


def refuse(name: str, *changes: Change, words: tuple[str, ...], folder: str = "base") -> BaseCase:
    """Return the case of a folder that cannot be used."""
    return BaseCase(name, changes, words, folder=folder)


BERT, DISTILBERT, ROBERTA = (write_tiny(name) for name in ("bert", "distilbert", "roberta"))
