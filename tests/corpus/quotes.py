"""Quotes: a text that starts with one must not swallow rows, and legal ones must work."""

from tests.corpus.build import (
    FIRST,
    SEMICOLON,
    TSV,
    Dialect,
    among,
    csv_lines,
    delimited,
    films,
    including,
    lines,
    mixed,
)
from tests.corpus.case import Ask, Case, Exact, LeftOut, Outcome, Overrides, Refused, Row, Rows

KIND = "quotes"
LINE = FIRST + 2
LITERAL = Overrides(quotes=False)


def _either(literal: Rows, quoted: Rows) -> tuple[Outcome, ...]:
    """Read quotes as ordinary characters, or show both readings."""
    readings = ((LITERAL, mixed(literal)), (Overrides(), mixed(quoted)))
    return (Exact(mixed(literal)), Ask(("quote", f"line {LINE}"), readings[:1]))


def _swallowing() -> list[Case]:
    """Three lines that a parser of quotes joins into one."""
    three: tuple[Row, ...] = (("neg", '"He said'), ("pos", "x"), ("neg", 'the end"'))
    cases = []
    for name, dialect in (("tsv", TSV), ("csv", Dialect()), ("semicolon", SEMICOLON)):
        sep = dialect.sep
        special = [f'"He said{sep}neg', f"x{sep}pos", f'the end"{sep}neg']
        joined = f"He said{sep}neg\nx{sep}pos\nthe end"
        cases.append(
            among(
                f"quote-opens-and-closes-later-{name}",
                KIND,
                special,
                *_either(three, (("neg", joined),)),
                dialect=dialect,
                report="pandas-dev/pandas#39857",
                note="each line alone is a row; joining three of them loses two",
            )
        )
    inner: tuple[Row, ...] = (("neg", '"He said'), ("pos", "fine"), ("neg", 'and "quoted"'))
    cases.append(
        among(
            "quote-opens-and-quotes-inside-later",
            KIND,
            [f"{text}\t{label}" for label, text in inner],
            *_either(inner, ()),
            Refused(("quote", f"line {LINE}")),
            dialect=TSV,
            report="tidyverse/readr#1491",
        )
    )
    return cases


def _never_closed() -> list[Case]:
    rows: tuple[Row, ...] = (("neg", '"it never ends'),)
    cases = []
    for name, dialect in (("tsv", TSV), ("csv", Dialect())):
        cases.append(
            among(
                f"quote-never-closed-{name}",
                KIND,
                [f'"it never ends{dialect.sep}neg'],
                Exact(mixed(rows)),
                Refused(("quote", f"line {LINE}", "never closed")),
                dialect=dialect,
                report="apple/turicreate#1692",
            )
        )
    cases.append(
        Case(
            "quote-never-closed-last-line",
            KIND,
            lines(["text,label", *csv_lines(films()), '"it never ends,neg']),
            (
                Exact((*films(), ("neg", '"it never ends'))),
                Refused(("quote", "line 26", "never closed")),
            ),
            report="tidyverse/vroom#484",
        )
    )
    return cases


def _stray() -> list[Case]:
    def both(id: str, line: str, *rows: Row, report: str = "") -> Case:
        refused = Refused(("quote", f"line {LINE}"))
        return among(f"quote-{id}", KIND, [line], including(*rows), refused, report=report)

    return [
        both("text-after-the-closing", '"so" it goes,pos', ("pos", '"so" it goes')),
        among("quote-inches", KIND, ['a 20" screen,pos'], including(("pos", 'a 20" screen'))),
        among("quote-at-the-end", KIND, ['the end",neg'], including(("neg", 'the end"'))),
        among(
            "quote-single-inside",
            KIND,
            ['he said "no" twice,neg'],
            including(("neg", 'he said "no" twice')),
            report="pola-rs/polars#14929",
        ),
        both(
            "backslash-escapes",
            '"He said \\"no\\", and left",neg',
            ("neg", 'He said "no", and left'),
        ),
        among(
            "quote-backslash-before-closing",
            KIND,
            ['"in C:\\",pos'],
            including(("pos", "in C:\\")),
            note="RFC 4180 knows no backslash",
        ),
        among(
            "quote-doubled",
            KIND,
            ['"""hello"" he said",pos'],
            including(("pos", '"hello" he said')),
        ),
        among("quote-tripled", KIND, ['"""hello""",pos'], including(("pos", '"hello"'))),
        among("quote-only", KIND, ['"""",pos'], including(("pos", '"'))),
        both("one-alone", '",pos', ("pos", '"')),
        among(
            "quote-typographic",
            KIND,
            ["“open only,neg", "»so« it goes,pos"],
            including(("neg", "“open only"), ("pos", "»so« it goes")),
        ),
        among("quote-apostrophe-first", KIND, ["'tis fine,pos"], including(("pos", "'tis fine"))),
        among(
            "quote-blank-after-separator",
            KIND,
            ['"a, b", pos', '"c, d", neg'],
            including(("pos", "a, b"), ("neg", "c, d")),
        ),
        among(
            "quote-blank-before-quote",
            KIND,
            [' "a, b",pos'],
            including(("pos", "a, b")),
            including(left_out=(LeftOut("cells", (LINE,)),)),
            Refused(("quote", f"line {LINE}")),
            note="strictly three cells; most people mean two",
        ),
        among(
            "quote-empty-and-blank-cells",
            KIND,
            ['"",""', '"a quoted text","pos"'],
            including(("pos", "a quoted text"), left_out=(LeftOut("", (LINE,)),)),
        ),
    ]


def _legal() -> list[Case]:
    long = "\n".join(f"line {number} of a long quoted text" for number in range(40))
    fake: Row = ("pos", "first\nsecond,neg\nthird")
    quoted = [f'"{text}","{label}"' for label, text in films()]
    return [
        among(
            "quote-spans-lines",
            KIND,
            ['"first', 'second",pos', '"a', "", 'b",neg'],
            including(("pos", "first\nsecond"), ("neg", "a\n\nb")),
            report="pola-rs/polars#19078",
        ),
        among("quote-spans-forty-lines", KIND, [f'"{long}",pos'], including(("pos", long))),
        among(
            "quote-holds-a-row",
            KIND,
            ['"first', "second,neg", 'third",pos'],
            including(fake),
            Ask(("quote", f"line {LINE}"), ((Overrides(), mixed((fake,))),)),
            note="only the reading with quotes gives every line two cells",
        ),
        among(
            "quote-then-ragged-line",
            KIND,
            ['"first', 'second",pos', "one,two,three"],
            including(
                ("pos", "first\nsecond"),
                left_out=(LeftOut("cells", (LINE + 2,)),),
            ),
            report="HumanSignal/label-studio-converter#185",
            note="line numbers count lines of the file, not records",
        ),
        Case(
            "quote-all-csv",
            KIND,
            lines(['"text","label"', *quoted]),
            (Exact(films()),),
        ),
        Case(
            "quote-all-tsv",
            KIND,
            lines([line.replace('","', '"\t"') for line in ('"text","label"', *quoted)], "a.tsv"),
            (Exact(films()),),
        ),
        Case(
            "quote-all-crlf",
            KIND,
            delimited(
                tuple((label, f"{text}\r\nsecond line") for label, text in films()), end="\r\n"
            ),
            (Exact(tuple((label, f"{text}\r\nsecond line") for label, text in films())),),
        ),
        Case(
            "quote-apostrophes-all",
            KIND,
            lines(["'text','label'", *(f"'{text}, yes','{label}'" for label, text in films())]),
            (
                Exact(tuple((label, f"{text}, yes") for label, text in films())),
                Refused(("quote",)),
                Refused(("cells",)),
            ),
            text="",
            label="",
            report="duckdb/duckdb#582",
        ),
        among(
            "quote-around-whole-tsv-text",
            KIND,
            ['"Great movie"\tpos', '"Bad, bad movie"\tneg'],
            including(("pos", "Great movie"), ("neg", "Bad, bad movie")),
            including(("pos", '"Great movie"'), ("neg", '"Bad, bad movie"')),
            dialect=TSV,
            note="with or without the quotes: nothing is lost either way",
        ),
        among(
            "quote-around-whole-text-and-open-one",
            KIND,
            ['"Great movie"\tpos', '"He left\tneg', 'Ends here"\tpos'],
            including(("pos", '"Great movie"'), ("neg", '"He left'), ("pos", 'Ends here"')),
            Ask(
                ("quote", f"line {LINE + 1}"),
                (
                    (
                        LITERAL,
                        mixed(
                            (("pos", '"Great movie"'), ("neg", '"He left'), ("pos", 'Ends here"'))
                        ),
                    ),
                ),
            ),
            dialect=TSV,
            report="johnkerl/miller#1533",
        ),
    ]


def _many_open() -> Case:
    """Every fifth text starts with a quote that nothing closes."""
    rows = tuple(
        (label, f'"{text}' if number % 5 == 2 else text)
        for number, (label, text) in enumerate(films(30))
    )
    content = ["text\tlabel", *(f"{text}\t{label}" for label, text in rows)]
    return Case(
        "quote-many-open-tsv",
        KIND,
        lines(content, "a.tsv"),
        (Exact(rows), Ask(("quote", "line 4"), ((LITERAL, rows),))),
        report="rewicks/ersatz#1",
        note="an even number of open quotes joins rows without any error",
    )


def _blank_in_every_row() -> list[Case]:
    rows = films()
    return [
        Case(
            "quote-blank-before-each-label",
            KIND,
            lines(["text, label", *(f'"{text}, ok", "{label}"' for label, text in rows)]),
            (Exact(tuple((label, f"{text}, ok") for label, text in rows)),),
        ),
        Case(
            "quote-blank-before-each-cell",
            KIND,
            lines(['"text", "label"', *(f'"{text}", "{label}"' for label, text in rows)]),
            (Exact(rows),),
        ),
    ]


CASES = [
    *_blank_in_every_row(),
    *_swallowing(),
    *_never_closed(),
    *_stray(),
    *_legal(),
    _many_open(),
]
