"""Files for fuzzing a reader: changed broken files, tables of unusual cells, and noise."""

import json

from hypothesis import strategies as st

from tests.support.security.broken_files import READ, REFUSED

NAMES = ("a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.txt", "a")
ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "cp1251",
    "shift_jis",
    "gb18030",
)
SEPARATORS = (",", ";", "\t", "|", ", ", "")
ENDS = ("\n", "\r\n", "\r", "\n\n", "")
CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "",
            " ",
            "NA",
            "nan",
            "null",
            '"',
            '""',
            '"open',
            "=1+1",
            "\0",
            "\ufeff",
            "{",
            "[",
            "1e999",
            "-0",
            "a" * 3000,
        ]
    ),
)
SEEDS = [content for _, content in READ.values()] + [
    content[:20_000] for _, content, _ in REFUSED.values()
]


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Draw delimited text with inconsistent rows, quotes, line ends and encoding."""
    rows = draw(st.lists(st.lists(CELLS, max_size=6), max_size=12))
    separator, end, encoding = (
        draw(st.sampled_from(SEPARATORS)),
        draw(st.sampled_from(ENDS)),
        draw(st.sampled_from(ENCODINGS)),
    )
    return end.join(separator.join(row) for row in rows).encode(encoding, "replace")


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """Draw a known file with a token removed, repeated, or overwritten."""
    content = draw(st.sampled_from(SEEDS))
    start = draw(st.integers(0, max(len(content) - 1, 0)))
    length = draw(st.integers(0, 200))
    inserted = draw(
        st.one_of(
            st.just(b""), st.binary(max_size=40), st.just(content[start : start + length] * 2)
        )
    )
    return content[:start] + inserted + content[start + length :]


@st.composite
def json_lines(draw: st.DrawFn) -> bytes:
    """Draw lines that are nearly JSON objects."""
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CELLS, inner, max_size=3),
        max_leaves=5,
    )
    rows = draw(st.lists(st.dictionaries(CELLS, values, max_size=4) | values, max_size=10))
    whole = "\n".join(json.dumps(row) for row in rows)
    return (
        whole[: draw(st.integers(0, len(whole)))].encode()
        if draw(st.booleans())
        else whole.encode()
    )


def files() -> st.SearchStrategy[tuple[str, bytes]]:
    """Draw a file name and content."""
    return st.tuples(
        st.sampled_from(NAMES), st.one_of(tables(), bent(), json_lines(), st.binary(max_size=400))
    )
