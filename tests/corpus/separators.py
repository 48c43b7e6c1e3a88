"""Separators, and lines that end in every way."""

from tests.corpus.build import (
    FIRST,
    SEMICOLON,
    TSV,
    among,
    changed,
    csv_lines,
    delimited,
    films,
    including,
    lines,
    mixed,
)
from tests.corpus.case import Case, Exact, LeftOut, Outcome, Overrides, Refused, Row, Rows

KIND = "separator"
ENDS = "line ends"
LINE = FIRST + 2


def _case(
    id: str,
    content: list[str],
    *outcomes: Outcome,
    name: str = "a.csv",
    report: str = "",
    note: str = "",
) -> Case:
    return Case(f"separator-{id}", KIND, lines(content, name), outcomes, report=report, note=note)


def _plain() -> list[Case]:
    rows = films()
    return [
        Case(f"separator-{name}", KIND, delimited(rows, file, sep), (Exact(rows),))
        for name, file, sep in (
            ("comma", "a.csv", ","),
            ("semicolon", "a.csv", ";"),
            ("tab", "a.tsv", "\t"),
            ("bar", "a.csv", "|"),
            ("tab-named-csv", "a.csv", "\t"),
            ("comma-named-tsv", "a.tsv", ","),
            ("semicolon-named-txt", "a.txt", ";"),
        )
    ]


def _rare() -> list[Case]:
    rows = films()
    refused = Refused(("separator",))
    no_column = Refused(("column",))
    cases = [
        Case(
            f"separator-{name}",
            KIND,
            lines([f"text{sep}label", *(f"{text}{sep}{label}" for label, text in rows)]),
            (Exact(rows), refused, no_column),
            note="read, or refused with a word about the separator",
        )
        for name, sep in (
            ("caret", "^"),
            ("tilde", "~"),
            ("colon", ":"),
            ("unit-separator", "\x1f"),
            ("control-a", "\x01"),
            ("three-blanks", "   "),
        )
    ]
    cases.append(
        Case(
            "separator-tilde-named",
            KIND,
            lines(["text~label", *(f"{text}~{label}" for label, text in rows)]),
            (Exact(rows),),
            options=Overrides(separator="~"),
        )
    )
    return cases


def _wide() -> list[Case]:
    """Separators of several characters and the broken bar, which texts may contain in part."""
    rows = tuple((label, f"{text}, he said; and left: now") for label, text in films())
    commas = tuple((label, f"{text}, he said") for label, text in films())
    parts = tuple((label, f"{text} a|b; c: d ") for label, text in films())
    quoted = tuple((label, f'{text} || "so" ;; he :: said ¦ it | is') for label, text in films())
    cases = []
    for name, sep in (
        ("two-bars", "||"),
        ("padded-bar", " | "),
        ("padded-two-bars", " || "),
        ("two-semicolons", ";;"),
        ("padded-semicolon", " ; "),
        ("two-colons", "::"),
        ("padded-two-colons", " :: "),
        ("broken-bar", "¦"),
        ("two-carets", "^^"),
        ("two-tabs", "\t\t"),
    ):
        head = f"text{sep}label"
        escaped = ['"{}"'.format(text.replace('"', '""')) for _, text in quoted]
        cells = zip(escaped, (label for label, _ in quoted), strict=True)
        plain = [f"{text}{sep}{label}" for label, text in rows]
        turned = [f"{label}{sep}{text}" for label, text in commas]
        cases += [
            _case(f"wide-{name}", [head, *plain], Exact(rows)),
            _case(
                f"wide-{name}-parts",
                [head, *(f"{text}{sep}{label}" for label, text in parts)],
                Exact(parts),
                name="a.txt",
            ),
            _case(f"wide-{name}-quoted", [head, *map(sep.join, cells)], Exact(quoted)),
            Case(
                f"separator-wide-{name}-no-header",
                KIND,
                lines(turned, "a.dat"),
                (Exact(commas),),
                text="",
                label="",
            ),
        ]
    ragged = ["text||label", *(f"{text}||{label}" for label, text in rows), "a||b||c", "a|b"]
    return [
        *cases,
        _case("wide-ragged", ragged, Exact(rows, (LeftOut("cells", (26, 27)),))),
        _case(
            "empty-column",
            ["text|notes|label", *(f"{text}||{label}" for label, text in rows)],
            Exact(rows),
        ),
        _case(
            "empty-columns-at-the-end",
            ["text;label;;", *(f"{text.replace(';', ',')};{label};;" for label, text in rows)],
            Exact(tuple((label, text.replace(";", ",")) for label, text in rows)),
        ),
        Case(
            "separator-wide-named",
            KIND,
            lines(["text<>label", *(f"{text}<>{label}" for label, text in rows)]),
            (Exact(rows),),
            options=Overrides(separator="<>"),
        ),
    ]


def _sep_line() -> list[Case]:
    rows = tuple((label, f"naïve café, {text}") for label, text in films())
    cases = []
    for name, sep in (("semicolon", ";"), ("comma", ","), ("tab", "\t"), ("bar", "|")):
        content = [f"sep={sep}", f"text{sep}label", *csv_lines(rows, sep)]
        for end, ending in (("lf", "\n"), ("crlf", "\r\n")):
            if name == "semicolon" or end == "crlf":
                cases.append(
                    Case(
                        f"separator-sep-line-{name}-{end}",
                        KIND,
                        lines(content, end=ending),
                        (Exact(rows),),
                        report="PowerShell/PowerShell#7776",
                    )
                )
    quoted = ['"sep=;"', "text;label", *csv_lines(rows, ";")]
    marked = ["\ufeffsep=;", "text;label", *csv_lines(rows, ";")]
    bare = ["sep=;", *csv_lines(rows, ";")]
    cases += [
        _case("sep-line-quoted", quoted, Exact(rows), report="mechatroner/vscode_rainbow_csv#108"),
        _case("sep-line-after-bom", marked, Exact(rows), report="rap2hpoutre/fast-excel#327"),
        Case("separator-sep-line-no-header", KIND, lines(bare), (Exact(rows),), text="", label=""),
    ]
    return cases


def _competing() -> list[Case]:
    commas = tuple((label, f"{text}, yes") for label, text in films())
    two = tuple((label, f"{text}, well, yes") for label, text in films())
    amounts = tuple((label, f"{number},5") for number, (label, _) in enumerate(films()))
    words: Rows = tuple[Row, ...](
        ("a,b" if label == "pos" else "c,d", text) for label, text in films()
    )
    return [
        _case("one-comma-in-each-text", ["text;label", *csv_lines(commas, ";")], Exact(commas)),
        _case("two-commas-in-each-text", ["text;label", *csv_lines(two, ";")], Exact(two)),
        _case(
            "two-commas-in-each-text-tab",
            ["text\tlabel", *csv_lines(two, "\t")],
            Exact(two),
            name="a.txt",
        ),
        _case("decimal-commas", ["text;label", *csv_lines(amounts, ";")], Exact(amounts)),
        _case("comma-in-label", ["text;label", *csv_lines(words, ";")], Exact(words)),
        Case(
            "separator-semicolons-in-each-text",
            KIND,
            delimited(tuple((label, f"{text}; yes; no") for label, text in films())),
            (Exact(tuple((label, f"{text}; yes; no") for label, text in films())),),
            report="duckdb/duckdb#14115",
        ),
        Case(
            "separator-bars-in-each-text",
            KIND,
            delimited(tuple((label, f"{text} | yes | no") for label, text in films())),
            (Exact(tuple((label, f"{text} | yes | no") for label, text in films())),),
            report="duckdb/duckdb#15576",
        ),
        among(
            "separator-one-semicolon-late",
            KIND,
            ["a;b,pos"],
            including(("pos", "a;b")),
            report="duckdb/duckdb#25827",
        ),
        among(
            "separator-trailing-semicolon",
            KIND,
            ["one more;pos"],
            including(("pos", "one more")),
            dialect=SEMICOLON,
        ),
        _case(
            "blank-after-each",
            ["text, label", *(f"{text}, {label}" for label, text in films())],
            Exact(films()),
        ),
    ]


def _endings() -> list[Case]:
    rows = films()
    content = ["text,label", *csv_lines(rows)]
    stray = including(("pos", "before\rafter"))
    cases = [
        Case(f"end-{name}", ENDS, lines(content, end=end), (Exact(rows),), report=report)
        for name, end, report in (
            ("lf", "\n", ""),
            ("crlf", "\r\n", ""),
            ("cr", "\r", "MarkPflug/Sylvan#198"),
            ("crcrlf", "\r\r\n", ""),
        )
    ]
    halves = "\n".join(content[:10]) + "\n" + "\r\n".join(content[10:]) + "\r\n"
    build = lines(content)
    cases += [
        Case(
            "end-mixed",
            ENDS,
            lambda: {"a.csv": halves.encode()},
            (Exact(rows),),
            report="apache/doris#37687",
        ),
        Case("end-no-final-line-end", ENDS, changed(build, bytes.rstrip), (Exact(rows),)),
        Case(
            "end-control-z",
            ENDS,
            changed(build, lambda data: data + b"\x1a"),
            (Exact(rows), Exact(rows, (LeftOut("", (26,)),))),
            note="DOS ends a file with Ctrl-Z",
        ),
        Case(
            "end-nul-padding",
            ENDS,
            changed(build, lambda data: data + b"\0" * 512),
            (Exact(rows), Exact(rows, (LeftOut("", (26,)),)), Exact(rows, mentions=("NUL",))),
            report="dfreelon/TSM#3",
        ),
        Case(
            "end-cr-tsv",
            ENDS,
            delimited(rows, "a.tsv", "\t", end="\r"),
            (Exact(rows),),
            report="mholt/PapaParse#43",
        ),
        among(
            "end-stray-cr-in-text",
            ENDS,
            ["before\rafter,pos"],
            stray,
            including(left_out=(LeftOut("cells", (LINE,)),)),
            Exact(mixed((("pos", "after"),)), (LeftOut("cells", (LINE,)),)),
            note="a CR within a line: kept, or both parts are counted",
        ),
        among("end-cr-in-quotes", ENDS, ['"before\rafter",pos'], stray),
        among(
            "end-crlf-in-quotes",
            ENDS,
            ['"before\r\nafter",pos'],
            including(("pos", "before\r\nafter")),
        ),
        among(
            "end-stray-cr-tsv",
            ENDS,
            ["before\rafter\tpos"],
            stray,
            Exact(mixed((("pos", "after"),)), (LeftOut("cells", (LINE,)),)),
            dialect=TSV,
        ),
    ]
    return cases


CASES = [*_plain(), *_rare(), *_wide(), *_sep_line(), *_competing(), *_endings()]
