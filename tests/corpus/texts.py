"""Texts are strings exactly as written, whatever they look like."""

import json
from collections.abc import Callable

from tests.corpus.build import (
    FIRST,
    among,
    csv_line,
    csv_lines,
    delimited,
    films,
    including,
    jsonl,
    labeled,
    lines,
    mixed,
    parquet,
)
from tests.corpus.case import Builder, Case, Exact, LeftOut, Refused, Row, Rows

KIND = "texts"
LINE = FIRST + 2  # of the first special row
WORDS = ("NA", "N/A", "None", "null", "NULL", "NaN", "nan", "#N/A", "-", "?", "true", "False")
LIKE: dict[str, tuple[str, ...]] = {
    "dates": tuple(f"2024-01-{day:02}" for day in range(1, 25)),
    "date-times": tuple(f"2024-01-{day:02}T10:00:00Z" for day in range(1, 25)),
    "numbers": tuple(f"{number:04}" for number in range(24)),
    "decimals": tuple(f"{number}.50" for number in range(24)),
    "decimal-commas": tuple(f"{number},5" for number in range(24)),
    "exponents": tuple(f"1e{number}" for number in range(24)),
    "booleans": ("true", "false") * 12,
    "times": tuple(f"{hour:02}:30" for hour in range(24)),
    "missing": ("NA", "null") * 12,
}


def _rows(texts: tuple[str, ...]) -> Rows:
    return tuple((("pos", "neg")[number % 2], text) for number, text in enumerate(texts))


def _all_alike() -> list[Case]:
    builders: dict[str, Callable[[Rows], Builder]] = {
        "csv": delimited,
        "jsonl": jsonl,
        "parquet": parquet,
    }
    formats = {"dates": ("csv", "jsonl", "parquet"), "missing": ("csv", "jsonl")}
    return [
        Case(
            f"text-all-{name}-{form}",
            KIND,
            builders[form](_rows(texts)),
            (Exact(_rows(texts)),),
            report="apache/arrow#46698" if name == "dates" else "",
        )
        for name, texts in LIKE.items()
        for form in formats.get(name, ("csv",))
    ]


def _one(id: str, *texts: str, report: str = "", note: str = "", mentions: str = "") -> Case:
    """Describe CSV with some special texts that a CSV writer has written."""
    rows: tuple[Row, ...] = tuple(("pos", text) for text in texts)
    expected = Exact(mixed(rows), mentions=(mentions,) if mentions else ())
    return Case(f"text-{id}", KIND, delimited(mixed(rows)), (expected,), report=report, note=note)


def _blanks() -> list[Case]:
    written = ("  two blanks before", "two blanks after  ", "\ta tab before")
    as_written = tuple(("pos", text) for text in written)
    stripped = tuple(("pos", text.strip()) for text in written)
    return [
        Case(
            f"text-blanks-around-{form}",
            KIND,
            builder(mixed(as_written)),
            (Exact(mixed(as_written)), Exact(mixed(stripped), mentions=("blanks",))),
            note="kept as written, or stripped and said so",
        )
        for form, builder in (("csv", delimited), ("jsonl", jsonl), ("parquet", parquet))
    ]


def _long() -> list[Case]:
    cases = []
    for name, characters in (("limit", 100_000), ("131073", 131_073), ("200000", 200_000)):
        text = "word " * (characters // 5) + "x" * (characters % 5)
        text = text[:-1] + "."
        left_out = (LeftOut("longer", (LINE,)),)
        outcomes = (including(("pos", text)), including(left_out=left_out))
        cases.append(
            among(
                f"text-of-{name}-characters",
                KIND,
                [f"{text},pos"],
                *(outcomes[:1] if characters <= 100_000 else outcomes),
                report="biolab/orange3#2404",
                note="a limit on the length of a text is acceptable where it is counted",
            )
        )
    return cases


def _unicode() -> list[Case]:
    breaks = [f"first{mark}second" for mark in ("\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c")]
    rows = mixed(tuple(("neg", text) for text in breaks))
    special = [f"{text},neg" for text in breaks]
    report = "wbolster/jsonlines#53"
    return [
        among(
            "text-unicode-line-ends-csv",
            KIND,
            special,
            Exact(rows),
            report=report,
        ),
        Case(
            "text-unicode-line-ends-jsonl",
            KIND,
            jsonl(rows, ascii_only=False),
            (Exact(rows),),
            report=report,
        ),
        _one("emoji", "🙂🙂 great 👩‍👩‍👧", "👍🏽", "❤️ and ❤"),
        _one("unicode-forms", "caf\u00e9 cafe\u0301", "ﬁne ２０２４"),
        _one("right-to-left", "שלום עולם", "مرحبا \u200fabc\u200e"),
        _one("no-break-space", "ten\u00a0euros", "a\u200bb", "soft\u00adhyphen"),
        _one("byte-order-mark-inside", "a \ufeff mark", "\ufeffat the start"),
        _one("replacement-character", "already \ufffd lost", note="as written: no repair"),
        _one("mojibake", "CafÃ© crÃ¨me", note="as written: a repair is offered elsewhere"),
        Case(
            "text-surrogate-pair",
            KIND,
            lines(
                [
                    '{"text": "a \\ud83d\\ude42 face", "label": "pos"}',
                    *(json.dumps({"text": text, "label": label}) for label, text in films()),
                ],
                "a.jsonl",
            ),
            (Exact((("pos", "a 🙂 face"), *films())),),
        ),
        Case(
            "text-lone-surrogate",
            KIND,
            lines(
                [
                    '{"text": "half \\ud83d of a face", "label": "pos"}',
                    *(json.dumps({"text": text, "label": label}) for label, text in films()),
                ],
                "a.jsonl",
            ),
            (
                Exact((("pos", "half \ufffd of a face"), *films()), mentions=("surrogate",)),
                Exact(films(), (LeftOut("surrogate", (1,)),)),
            ),
            report="daaain/claude-code-log#139",
            note="no file can store half a character: replaced or left out, and said so",
        ),
    ]


def _controls() -> list[Case]:
    lost = Exact(mixed((("pos", "beforeafter"),)), mentions=("NUL",))
    space = Exact(mixed((("pos", "before after"),)), mentions=("NUL",))
    return [
        among(
            "text-nul-byte",
            KIND,
            ["before\0after,pos"],
            including(("pos", "before\0after")),
            lost,
            space,
            Refused(("NUL", "line 6")),
            report="pandas-dev/pandas#19886",
            note="kept, removed and said so, or refused",
        ),
        among(
            "text-nul-in-quotes",
            KIND,
            ['"before\0after",pos'],
            including(("pos", "before\0after")),
            lost,
            space,
            Refused(("NUL", "line 6")),
            report="pandas-dev/pandas#66415",
            note="as text-nul-byte",
        ),
        among(
            "text-escape-character",
            KIND,
            ["\x1b[31mred\x1b[0m,pos", "bell\x07,neg"],
            including(("pos", "\x1b[31mred\x1b[0m"), ("neg", "bell\x07")),
        ),
        among(
            "text-empty-cells",
            KIND,
            [",pos", '"",neg', "   ,pos", '" ",neg'],
            including(left_out=(LeftOut("no text", (LINE, LINE + 1, LINE + 2, LINE + 3)),)),
        ),
        among(
            "text-no-break-space-only",
            KIND,
            ["\u00a0,pos", "\u3000,neg"],
            including(left_out=(LeftOut("no text", (LINE, LINE + 1)),)),
            including(("pos", "\u00a0"), ("neg", "\u3000")),
            note="blanks of any kind are no text, or kept as written",
        ),
    ]


def _json_text() -> list[Case]:
    words = [{"text": word, "label": "pos"} for word in WORDS]
    rows = (*(("pos", word) for word in WORDS), *films())
    ordinary: list[dict[str, object]] = [{"text": text, "label": label} for label, text in films()]
    numbers: list[dict[str, object]] = [
        {"text": 5, "label": "pos"},
        {"text": True, "label": "pos"},
        {"text": None, "label": "pos"},
    ]
    return [
        Case(
            "text-missing-words-jsonl",
            KIND,
            lines([json.dumps(value) for value in (*words, *ordinary)], "a.jsonl"),
            (Exact(rows),),
        ),
        Case(
            "text-json-numbers",
            KIND,
            lines([json.dumps(value) for value in (*numbers, *ordinary)], "a.jsonl"),
            (
                Exact(
                    (("pos", "5"), ("pos", "true"), *films()),
                    (LeftOut("no text", (3,)),),
                ),
            ),
        ),
        Case(
            "text-json-escapes",
            KIND,
            jsonl(mixed((("pos", 'tab\tquote" slash\\ line\nend'), ("neg", "\\n is no break")))),
            (Exact(mixed((("pos", 'tab\tquote" slash\\ line\nend'), ("neg", "\\n is no break")))),),
        ),
    ]


def _duplicates() -> Case:
    twice = (("pos", "the same text"), ("pos", "the same text"), ("neg", "the same text"))
    return Case(
        "text-duplicates",
        KIND,
        delimited(mixed(twice)),
        (Exact(mixed(twice)),),
        note="duplicates are the business of the quality report, not of the reader",
    )


def _first_long(header: bool) -> Builder:
    """Build a file whose first text is longer than a sniffer's sample."""
    text = "word " * 30_000
    head = ["text,label"] if header else []
    return lines([*head, f"{text}end,pos", *csv_lines(films())])


def _first() -> list[Case]:
    text = "word " * 30_000 + "end"
    rows = (("pos", text), *films())
    return [
        Case(
            f"text-first-is-150000-characters-{'header' if header else 'no-header'}",
            KIND,
            _first_long(header),
            (Exact(rows), Exact(films(), (LeftOut("longer", (1 + header,)),))),
            text="text" if header else "",
            label="label" if header else "",
            report="alan-turing-institute/CleverCSV#21",
            note="the decision about the header must not depend on the length of a text",
        )
        for header in (True, False)
    ]


CASES = [
    *_all_alike(),
    among(
        "text-missing-words-csv",
        KIND,
        [csv_line(word, "pos") for word in WORDS],
        including(*(("pos", word) for word in WORDS)),
        report="pandas-dev/pandas#10647",
    ),
    *_blanks(),
    *_long(),
    *_first(),
    *_unicode(),
    *_controls(),
    *_json_text(),
    _duplicates(),
    _one("line-breaks", "first\nsecond", "a\r\nb", "three\n\nfour"),
    _one("separators", "a, b, c", "one; two", "x|y", "tab\there"),
    _one("backslashes", "C:\\new\\table", "literal \\n and \\t", "ends with \\"),
    _one("markup", "<br/>a &amp; b", "**bold** _it_", "$x^2$"),
    _one("formulas", "=SUM(A1:A2)", "+1 for this", "-5 stars", "@someone", "'quoted"),
    _one("number-sign", "#metoo is trending", "# not a comment", report="pola-rs/polars#21441"),
    _one("two-blanks-inside", "two  blanks   three"),
    Case(
        "text-all-unique-labels",
        KIND,
        delimited(labeled(*(f"label {number}" for number in range(60)), each=1)),
        (Refused(("too few",)), Refused(("different values",))),
        note="a label column where every value differs trains nothing",
    ),
]
