"""Add a dataset from files in one go, with what is found where nothing is chosen. The command line does it so."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.building import Choice, build
from core.data.choosing import propose_columns
from core.data.labels import count_labels, near_equal
from core.data.reader import read_file, read_table
from core.data.saved import SavedCard, check_name, read_saved_card, save
from core.data.sources import Split, split_of
from core.data.table import Reading, Table
from core.errors import DataError
from core.settings import Settings


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asks for when adding files. Empty means: as it is found."""

    text: tuple[str, ...] = ()
    label: str = ""
    split: str = ""
    merge: bool = False
    leave_out: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    test_share: float = 0.2
    reading: Reading = Reading()


def add_files(
    settings: Settings, paths: Sequence[Path], name: str, wishes: Wishes, *, origin: str = "", replace: bool = False
) -> SavedCard:
    """Read the files, each a split by its name if there are several, and save them as the dataset ``name``. Raises DataError."""
    check_name(name)
    parts = split_parts([read_table(path.name, read_file(path), wishes.reading) for path in paths])
    proposal = propose_columns(parts[0][1])
    if not (label := wishes.label or proposal.label):
        raise DataError(f"{parts[0][1].found.name} has no column that looks like labels.", "Name it with --label.")
    for _, table in parts:
        table.require(label)
    counts = count_labels(value for _, table in parts for value in table.frame[label])
    classes = near_equal(counts) if wishes.merge else {}
    for found, called in [*wishes.rename, *((left, "") for left in wishes.leave_out)]:
        if found not in counts:
            raise DataError(f"There is no label {found!r}.", f"The labels are {', '.join(list(counts)[:12])}.")
        classes[found] = called
    split = wishes.split or (proposal.split if len(parts) == 1 else "")
    choice = Choice(wishes.text or (proposal.text,), label, classes, split, wishes.test_share)
    source = save(settings, name, build(parts, choice), choice, [table.found for _, table in parts], origin=origin, replace=replace)
    return read_saved_card(settings, source.name)


def split_parts(tables: Sequence[Table]) -> list[tuple[Split, Table]]:
    """Each table with the split that its file's name tells; a single one is train. Train comes first."""
    if len(tables) == 1:
        return [("train", tables[0])]
    parts: list[tuple[Split, Table]] = [(split_of(Path(table.found.name)) or "train", table) for table in tables]
    if all(split != "train" for split, _ in parts):
        names = ", ".join(table.found.name for table in tables)
        raise DataError(f"None of the files is the training split: {names}.", "Put train, validation or test into their names.")
    return sorted(parts, key=lambda part: part[0] != "train")
