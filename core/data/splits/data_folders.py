"""Read folders: data files named by split, or texts of one file each in a folder per class.

<folder>/train.csv, <folder>/test/part-0.parquet
    Tables, which are read as single files are.
<folder>/<class>/<text>.txt, or <folder>/<split>/<class>/<text>.txt
    One table per split. The class is the name of the folder; ``unsup`` holds no labels.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

from core.data.sources import data_files, has_data_files, split_of
from core.data.splits.columns import marks_unlabeled, propose_columns
from core.data.tables.json_values import to_unicode
from core.data.tables.parquet_table import check_parquet_extent
from core.data.tables.read import ChooseColumns, read_table
from core.data.tables.read_report import EncodingChoice, ReadOptions, ReadReport, name_lines
from core.data.tables.table import (
    MAX_FILE_BYTES,
    FileFormat,
    ReportRows,
    ServerLimits,
    Table,
    build_frame,
    check_frame,
    check_size,
    explain_too_large,
    is_small_text,
)
from core.data.tables.text_encoding import ENCODINGS, find_text_encoding
from core.errors import DataError, NotEnoughRoom
from core.storage.resources import call_limited

TEXT_SUFFIXES = ("", ".txt", ".text")
HIDDEN = "._"  # first characters of names such as .git, .ipynb_checkpoints and __MACOSX
TEXT, LABEL, FILE = "text", "label", "file"


def list_tables(path: Path) -> list[tuple[str, Path]]:
    """Return name and path of each table: the file itself, or the tables of a folder.

    The path is a folder for texts in folders of classes. Raises DataError if a folder has neither.
    """
    folder = path.expanduser()
    if not folder.is_dir():
        return [(path.name, path)]
    if has_data_files(folder):
        files = [file for files in data_files(folder).values() for file in files]
        return [(file.relative_to(folder).as_posix(), file) for file in files]
    if any(folder.rglob("*.arrow")):
        raise DataError(
            f"{folder} holds Arrow files, as `save_to_disk` of Hugging Face datasets writes them.",
            "Save each split as Parquet: dataset.to_parquet('train.parquet').",
        )
    while len(inner := _list_folders(folder)) == 1 and _list_folders(inner[0]):
        folder = inner[0]  # the only content of an archive
    splits = [each for each in inner if split_of(Path(each.name))]
    if splits and all(_list_folders(each) for each in splits):
        return [(f"{folder.name}/{each.name}", each) for each in splits]
    if inner:
        return [(folder.name, folder)]
    raise DataError(
        f"{folder} has neither data files nor folders of texts.",
        "Put CSV, TSV, JSON lines or Parquet there, or a folder of .txt files per class.",
    )


def read_source(
    name: str,
    source: bytes | Path,
    options: ReadOptions | None = None,
    choose: ChooseColumns | None = None,
    report: ReportRows | None = None,
) -> Table:
    """Read a table as ``read_table`` does, or the texts in the folders of classes below a folder.
    Raises DataError.
    """
    if isinstance(source, Path) and source.expanduser().is_dir():
        return _read_texts(name, source.expanduser(), options or ReadOptions(), report)
    return read_table(name, source, options, choose, report)


def read_for_server(name: str, source: bytes | Path, options: ReadOptions | None = None) -> Table:
    """Read a table as ``read_source`` does, in a process of limited memory unless it is small.

    Of a table that is too large for the server, only the columns that are likely to be used are
    read. Raises DataError.
    """
    if isinstance(source, bytes) and is_small_text(name, source):
        return read_source(name, source, options)
    size = len(source) if isinstance(source, bytes) else measure_size(source)
    limits = ServerLimits.of(source, size)
    try:
        return call_limited(limits.call, _read_within, limits, name, source, options)
    except NotEnoughRoom as error:
        raise explain_too_large(name) from error


def _read_within(
    limits: ServerLimits, name: str, source: bytes | Path, options: ReadOptions | None
) -> Table:
    """Read a table, or else its columns that are needed. Raises NotEnoughRoom and MemoryError."""
    if isinstance(source, bytes):
        limits.check_ends(source)
    with suppress(NotEnoughRoom, MemoryError):
        return _read_columns(limits, name, source, options, needed_only=False)
    return _read_columns(limits, name, source, options, needed_only=True)


def _read_columns(
    limits: ServerLimits,
    name: str,
    source: bytes | Path,
    options: ReadOptions | None,
    needed_only: bool,
) -> Table:
    check_parquet_extent(name, source, limits, needed_only)
    names: list[str] = []

    def choose(sample: Table) -> set[str]:
        names[:] = sample.columns
        proposal = propose_columns(sample)
        return {proposal.text, proposal.label, proposal.split}

    def check(rows: int, size: int) -> None:
        limits.check(rows, 0, size)

    table = read_source(name, source, options, choose if needed_only else None, check)
    check_frame(limits, table.frame)
    if left_out := len(names) - len(table.columns):
        note = f"Columns that are not read because the table is too large: {left_out:,}."
        table = replace(table, file=replace(table.file, notes=(*table.file.notes, note)))
    return table


def measure_size(source: Path) -> int:
    """Return the bytes that reading a table takes: of the file, or of the texts in a folder."""
    if not source.is_dir():
        return source.stat().st_size
    paths = [path for path in source.rglob("*") if _is_text(path.relative_to(source))]
    return sum(path.stat().st_size for path in paths if path.is_file())


def describe_state(source: Path) -> str:
    """Return number, bytes and latest change of the files in a table, which change if it does.

    Folders count as well: moving a text to another class changes only theirs.
    """
    below = source.rglob("*") if source.is_dir() else ()
    states = [source.stat(), *(each.stat() for each in below if each.exists())]
    size = sum(state.st_size for state in states)
    return f"{len(states)}|{size}|{max(state.st_mtime_ns for state in states)}"


def _list_folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] not in HIDDEN)


def _read_texts(name: str, folder: Path, options: ReadOptions, report: ReportRows | None) -> Table:
    """Return a row per file: its text, its class and its path below ``folder``."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [path for path in paths if _is_text(path.relative_to(folder))]
    if not rows:
        raise DataError(
            f"{name} has no texts in folders of classes.", "Give each class a folder of .txt files."
        )
    size = sum(path.stat().st_size for path in rows)
    check_size(name, size, MAX_FILE_BYTES)
    contents = [path.read_bytes() for path in rows]
    encoding = EncodingChoice(options.encoding)
    if not options.encoding:
        encoding = _find_encoding(name, rows, contents)
    texts, replaced = _decode(name, rows, contents, encoding.name, not options.encoding)
    counts = ReadReport(rows_kept=len(rows), notes=encoding.notes)
    if replaced:
        counts.notes.append(f"Halves of characters or NUL were replaced in {name_lines(replaced)}.")
    read = set(rows)
    if others := [path for path in paths if path not in read]:
        counts.notes.append(f"Other files are not read: {len(others):,}, first {others[0].name!r}.")
    frame = build_frame(
        (
            (number, {TEXT: text, LABEL: _label(path), FILE: path.relative_to(folder).as_posix()})
            for number, (path, text) in enumerate(zip(rows, texts, strict=True), 1)
        ),
        report,
    )
    file = FileFormat(name, "texts", size, encoding.name, notes=tuple(counts.notes))
    return Table(frame, file, counts, encoding.alternatives, texts=(TEXT,))


def _is_text(path: Path) -> bool:
    """Whether a path is ``<class>/<text>.txt``; files of newsgroups are named by a number."""
    suffix = path.suffix.lower()
    return (
        len(path.parts) == 2
        and not any(part[0] in HIDDEN for part in path.parts)
        and (suffix in TEXT_SUFFIXES or suffix[1:].isdigit())
    )


def _label(path: Path) -> str | None:
    return None if marks_unlabeled(path.parent.name) else path.parent.name


def _find_encoding(name: str, paths: Sequence[Path], contents: Sequence[bytes]) -> EncodingChoice:
    """Return UTF-8, or the encoding of the files that are not UTF-8."""
    others = [number for number, content in enumerate(contents) if not _is_utf8(content)]
    try:
        return find_text_encoding(name, BytesIO(b"\n".join(contents[item] for item in others)))
    except DataError as error:
        path = paths[others[0]]
        raise DataError(
            f"{name}: {path.parent.name}/{path.name} is not UTF-8, although most of it is.",
            "Correct the file, or choose the encoding of the files.",
        ) from error


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode(
    name: str, paths: Sequence[Path], contents: Sequence[bytes], encoding: str, mixed: bool
) -> tuple[list[str], list[int]]:
    """Return the text of each file without line ends around it, and the numbers of those that
    changed. Files may be UTF-8 in any case if encodings are ``mixed``.
    """
    texts, changed = [], []
    for number, (path, content) in enumerate(zip(paths, contents, strict=True), 1):
        codec = "utf-8" if mixed and _is_utf8(content) else encoding
        try:
            text = content.decode(codec, "surrogatepass" if codec.startswith("utf-8") else "strict")
        except (UnicodeError, LookupError) as error:
            raise DataError(
                f"{name}: {path.parent.name}/{path.name} is not {ENCODINGS.get(codec, codec)}.",
                "Choose another encoding, or save it as UTF-8.",
            ) from error
        clean = to_unicode(text.replace("\0", ""))
        changed += [number] if clean != text else []
        texts.append(clean.removeprefix("\ufeff").strip("\r\n"))
    return texts, changed
