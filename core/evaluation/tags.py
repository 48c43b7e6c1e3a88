"""Tags and notes that users attach to texts, stored in the run's folder as ``tags.json``."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

from core.data.files.table import clean
from core.errors import ArtifactDamaged, StateConflict
from core.storage import files
from core.storage.locks import holding

TAGS = ("wrong label", "ambiguous", "hard", "interesting")
LONGEST_NOTE = 500  # characters
PATIENCE_SECONDS = 5.0  # another visitor's write takes milliseconds


@dataclass(frozen=True, slots=True)
class Tag:
    """The tag of test row ``row``. ``at`` is a Unix time."""

    row: int
    tag: str
    note: str = ""
    at: float = 0.0


def read_tags(folder: Path) -> dict[int, Tag]:
    """Read the tags of a run by row; empty if there are none. Raises ArtifactDamaged."""
    path = folder / "tags.json"
    if not path.exists():
        return {}
    content = files.read_json(path)
    if not isinstance(content, list):
        raise _damaged()
    try:
        tags = [
            Tag(int(one["row"]), str(one["tag"]), str(one["note"]), float(one["at"]))
            for one in content
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error
    return {tag.row: tag for tag in tags}


def write_tag(folder: Path, row: int, tag: str, note: str) -> None:
    """Tag a row, replacing an earlier tag. Raises StateConflict for an unknown tag or a note that
    is too long, and ArtifactDamaged.
    """
    if tag not in TAGS:
        raise StateConflict(f"There is no tag {tag!r}.", f"Choose one of {', '.join(TAGS)}.")
    if len(note) > LONGEST_NOTE:
        raise StateConflict(
            f"The note has {len(note):,} characters.", f"Shorten it to {LONGEST_NOTE}."
        )
    _change(folder, row, Tag(row, tag, clean(note).strip(), time.time()))


def remove_tag(folder: Path, row: int) -> None:
    """Remove the tag of a row, if it has one. Raises ArtifactDamaged and StateConflict."""
    _change(folder, row, None)


def _change(folder: Path, row: int, tag: Tag | None) -> None:
    with holding(folder / "tags.lock", PATIENCE_SECONDS) as held:
        if not held:
            raise StateConflict(
                "Another user is writing the tags of this run.", "Try again in a moment."
            )
        tags = read_tags(folder)
        tags.pop(row, None)
        if tag:
            tags[row] = tag
        files.write_json(folder / "tags.json", [asdict(tags[key]) for key in sorted(tags)])


def _damaged() -> ArtifactDamaged:
    return ArtifactDamaged(
        "tags.json of this run is damaged.", "Move it out of the run's folder to start again."
    )
