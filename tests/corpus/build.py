"""Build the files of the corpus: plain rows, and the formats that carry them."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.corpus.case import Builder, Case, Exact, Files, LeftOut, Outcome, Row, Rows

GOOD = ("good", "great", "lovely", "fine", "superb")
BAD = ("bad", "awful", "boring", "dull", "poor")
SUBJECTS = ("film", "book", "song", "meal", "hotel", "phone", "game")
EACH = 12  # rows of a class: a class needs ten training rows
FIRST = 4  # ordinary rows before the special ones, which therefore start in line 6 after a header


def films(each: int = EACH, names: tuple[str, str] = ("pos", "neg")) -> Rows:
    """Return ordinary rows of two classes in turn."""
    rows: list[Row] = []
    for number in range(each):
        subject = SUBJECTS[number // 5 % len(SUBJECTS)]
        rows.append((names[0], f"a {GOOD[number % 5]} {subject} number {number}"))
        rows.append((names[1], f"a {BAD[number % 5]} {subject} number {number}"))
    return tuple(rows)


def labeled(*names: str, each: int = EACH) -> Rows:
    """Return rows of the given classes in turn, each with a text of its own."""
    return tuple(
        (name, f"a {SUBJECTS[number % 7]} of kind {kind} number {number}")
        for number in range(each)
        for kind, name in enumerate(names)
    )


def mixed(special: Rows, each: int = EACH) -> Rows:
    """Return ordinary rows with ``special`` after the fourth."""
    ordinary = films(each)
    return (*ordinary[:FIRST], *special, *ordinary[FIRST:])


def csv_line(*cells: str, sep: str = ",") -> str:
    """Write one record, quoted where it must be."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=sep, lineterminator="\r\n").writerow(cells)
    return buffer.getvalue().removesuffix("\r\n")


def csv_lines(rows: Rows, sep: str = ",") -> list[str]:
    """Write text and label of each row."""
    return [csv_line(text, label, sep=sep) for label, text in rows]


def lines(
    content: Sequence[str], name: str = "a.csv", encoding: str = "utf-8", end: str = "\n"
) -> Builder:
    """Build one file of lines, the last one ended as well."""
    return lambda: {name: "".join(line + end for line in content).encode(encoding)}


def delimited(
    rows: Rows,
    name: str = "a.csv",
    sep: str = ",",
    encoding: str = "utf-8",
    end: str = "\n",
    header: Sequence[str] = ("text", "label"),
) -> Builder:
    """Build a delimited file with a header; an empty ``header`` writes none."""
    head = [csv_line(*header, sep=sep)] if header else []
    return lines([*head, *csv_lines(rows, sep)], name, encoding, end)


def jsonl(rows: Rows, name: str = "a.jsonl", ascii_only: bool = True) -> Builder:
    """Build JSON lines with strings."""
    objects = [
        json.dumps({"text": text, "label": label}, ensure_ascii=ascii_only) for label, text in rows
    ]
    return lines(objects, name)


def parquet(rows: Rows, name: str = "a.parquet") -> Builder:
    """Build a Parquet file with two columns of strings."""
    return parquet_columns(
        lambda: {"text": [text for _, text in rows], "label": [label for label, _ in rows]}, name
    )


def parquet_columns(columns: Callable[[], dict[str, object]], name: str = "a.parquet") -> Builder:
    """Build a Parquet file; ``columns`` is called when the file is, and may import pyarrow."""

    def build() -> Files:
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and few cases need it

        return {name: parquet_bytes(pa.table(columns()))}

    return build


def parquet_bytes(table: object, **options: object) -> bytes:
    """Write an Arrow table as Parquet."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def zipped(name: str, *builders: Builder) -> Builder:
    """Pack the files of ``builders`` into one ZIP archive."""

    def build() -> Files:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for builder in builders:
                for path, data in builder().items():
                    archive.writestr(path, data)
        return {name: buffer.getvalue()}

    return build


def together(*builders: Builder) -> Builder:
    """Put the files of several builders into one dataset."""

    def build() -> Files:
        files: Files = {}
        for builder in builders:
            files |= builder()
        return files

    return build


def changed(builder: Builder, change: Callable[[bytes], bytes]) -> Builder:
    """Change the bytes of each file."""
    return lambda: {name: change(data) for name, data in builder().items()}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written."""

    name: str = "a.csv"
    sep: str = ","
    end: str = "\n"
    encoding: str = "utf-8"


CSV = Dialect()
TSV = Dialect("a.tsv", "\t")
SEMICOLON = Dialect(sep=";")


def among(
    id: str,
    kind: str,
    special: Sequence[str],
    *outcomes: Outcome,
    dialect: Dialect = CSV,
    report: str = "",
    note: str = "",
) -> Case:
    """Describe a file with a header, four ordinary rows, the lines ``special`` from line 6 on, and
    more ordinary rows.
    """
    ordinary = csv_lines(films(), dialect.sep)
    head = dialect.sep.join(("text", "label"))
    content = [head, *ordinary[:FIRST], *special, *ordinary[FIRST:]]
    build = lines(content, dialect.name, dialect.encoding, dialect.end)
    return Case(id, kind, build, outcomes, report=report, note=note)


def including(
    *special: Row, left_out: tuple[LeftOut, ...] = (), mentions: tuple[str, ...] = ()
) -> Exact:
    """Expect the ordinary rows with ``special`` among them."""
    return Exact(mixed(special), left_out, mentions)
