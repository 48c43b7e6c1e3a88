"""Lines with more or fewer cells than the header, blank lines, preambles and footers."""

from tests.corpus.build import FIRST, SEMICOLON, TSV, among, csv_lines, films, including, lines
from tests.corpus.case import Case, Exact, LeftOut, Outcome, Refused

KIND = "ragged"
LINE = FIRST + 2
NOTHING = "nothing"  # a reason that fits any words: the lines are empty


def _whole(id: str, content: list[str], *outcomes: Outcome, report: str = "") -> Case:
    return Case(id, KIND, lines(content), outcomes, report=report)


def _one_line() -> list[Case]:
    left_out = (LeftOut("cells", (LINE,)),)
    joined = including(("neg", "bad, very bad"))
    return [
        among(
            "ragged-comma-too-many",
            KIND,
            ["bad, very bad,neg"],
            including(left_out=left_out),
            joined,
            report="HumanSignal/label-studio#4033",
            note="left out and counted; joining the text again is as good",
        ),
        among("ragged-cell-missing", KIND, ["only a text"], including(left_out=left_out)),
        among(
            "ragged-seven-lines",
            KIND,
            ["one", "a,b,c", "two", "three", "d,e,f", "four", "five"],
            including(left_out=(LeftOut("cells", tuple(range(LINE, LINE + 7))),)),
        ),
        among("ragged-tsv", KIND, ["a\tb\tpos"], including(left_out=left_out), dialect=TSV),
        among(
            "ragged-semicolon",
            KIND,
            ["good; very good;pos"],
            including(left_out=left_out),
            including(("pos", "good; very good")),
            dialect=SEMICOLON,
        ),
        _whole(
            "ragged-first-row",
            ["text,label", "bad, very bad,neg", *csv_lines(films())],
            Exact(films(), (LeftOut("cells", (2,)),)),
            Exact((("neg", "bad, very bad"), *films())),
            report="pola-rs/polars#10585",
        ),
        _whole(
            "ragged-last-line-cut-off",
            ["text,label", *csv_lines(films()), "a text that was cut"],
            Exact(films(), (LeftOut("cells", (26,)),)),
        ),
        _whole(
            "ragged-most-lines",
            ["text,label", *(f"{text}, really, yes,{label}" for label, text in films())],
            Refused(("line 2", "cells")),
            Exact(tuple((label, f"{text}, really, yes") for label, text in films())),
        ),
        _whole(
            "ragged-after-two-thousand-rows",
            ["text,label", *csv_lines(films(1100)), "a, b,pos", *csv_lines(films())],
            Exact((*films(1100), *films()), (LeftOut("cells", (2202,)),)),
            report="duckdb/duckdb#25827",
        ),
    ]


def _trailing() -> list[Case]:
    ordinary = csv_lines(films())
    report = "pandas-dev/pandas#14124"
    return [
        _whole(
            "ragged-trailing-comma-everywhere",
            ["text,label,", *(f"{line}," for line in ordinary)],
            Exact(films()),
        ),
        _whole(
            "ragged-trailing-comma-in-rows",
            ["text,label", *(f"{line}," for line in ordinary)],
            Exact(films()),
            Refused(("line 2", "cells")),
            report=report,
        ),
        _whole(
            "ragged-trailing-comma-in-header",
            ["text,label,", *ordinary],
            Exact(films()),
            Refused(("line 2", "cells")),
        ),
        _whole(
            "ragged-trailing-comma-in-first-row",
            ["text,label", f"{ordinary[0]},", *ordinary[1:]],
            Exact(films()),
            Exact(films()[1:], (LeftOut("cells", (2,)),)),
            report="pandas-dev/pandas#9295",
        ),
        _whole(
            "ragged-row-names-of-r",
            ["text,label", *(f"{number},{line}" for number, line in enumerate(ordinary, 1))],
            Exact(films()),
            Refused(("line 2", "cells")),
            report="pandas-dev/pandas#15203",
        ),
        _whole(
            "ragged-empty-columns-of-a-spreadsheet",
            ["text,label,,,", *(f"{line},,," for line in ordinary)],
            Exact(films()),
        ),
    ]


def _blank() -> list[Case]:
    optional = LeftOut("", (LINE, LINE + 1), optional=True)
    return [
        among(
            "ragged-blank-lines",
            KIND,
            ["", "", "after the blanks,pos", "only a text"],
            including(
                ("pos", "after the blanks"),
                left_out=(optional, LeftOut("cells", (LINE + 3,))),
            ),
            note="line numbers count blank lines",
        ),
        among(
            "ragged-line-of-blanks",
            KIND,
            ["   ", "\t", "after,pos"],
            including(("pos", "after"), left_out=(LeftOut("", (LINE, LINE + 1)),)),
            note="such lines are counted, as rows without text or without cells",
        ),
        among(
            "ragged-lines-of-separators",
            KIND,
            [",", ",", "after,pos"],
            including(("pos", "after"), left_out=(LeftOut("", (LINE, LINE + 1)),)),
            note="rows that a spreadsheet has emptied: counted as left out",
        ),
        _whole(
            "ragged-separators-at-the-end",
            ["text,label", *csv_lines(films()), *[","] * 20],
            Exact(films(), (LeftOut("", tuple(range(26, 46))),)),
        ),
        _whole(
            "ragged-blank-line-first",
            ["", "text,label", *csv_lines(films())],
            Exact(films(), (LeftOut("", (1,), optional=True),)),
            report="duckdb/duckdb#9343",
        ),
        _whole(
            "ragged-blank-lines-last",
            ["text,label", *csv_lines(films()), "", "", ""],
            Exact(films()),
        ),
        _whole(
            "ragged-every-second-line-blank",
            ["text,label", "", *(part for line in csv_lines(films()) for part in (line, ""))],
            Exact(films()),
        ),
    ]


def _around() -> list[Case]:
    """Lines before the header and after the rows that are no table."""
    ordinary = csv_lines(films())
    total = [*ordinary, "Total,24"]
    return [
        _whole(
            "ragged-comment-before-header",
            ["# exported on 2024-05-01", "text,label", *ordinary],
            Exact(films(), (LeftOut("", (1,)),)),
            Refused(("line 1",)),
            report="pola-rs/polars#21441",
        ),
        _whole(
            "ragged-title-before-header",
            ["Reviews of 2024", "", "text,label", *ordinary],
            Exact(films(), (LeftOut("", (1,)),)),
            Refused(("line 1",)),
        ),
        _whole(
            "ragged-title-padded-by-a-spreadsheet",
            ["Reviews of 2024,", ",", "text,label", *ordinary],
            Exact(films(), (LeftOut("", (1, 2)),)),
            Refused(("line 1",)),
            Refused(("too few", "'label'")),
        ),
        _whole(
            "ragged-footer",
            ["text,label", *total],
            Refused(("too few", "'24'")),
            Exact(films(), (LeftOut("24", (26,)),)),
        ),
        _whole(
            "ragged-encoding-name-before-header",
            ["UTF-8", "text,label", *ordinary],
            Exact(films(), (LeftOut("", (1,)),)),
            Refused(("line 1",)),
            report="mechatroner/vscode_rainbow_csv#13",
        ),
    ]


def _commas_before_header() -> list[Case]:
    rows, table = films(), ["text,label", *csv_lines(films())]
    return [
        _whole(
            "ragged-fields-before-header",
            ["Survey name,Feedback", "Exported,2024-03-01", "", *table],
            Exact(rows, (LeftOut("before the table", (1, 2)),)),
        ),
        _whole(
            "ragged-title-with-comma",
            ["Customer feedback, Q3 2024", "By: J. Smith, Data Team", "", *table],
            Exact(rows, (LeftOut("before the table", (1, 2)),)),
        ),
        _whole(
            "ragged-comments-with-comma",
            ["# Survey tool", "# Date: 2024-03-01, 10:00", "# Rows: 24", "#", *table],
            Exact(rows, (LeftOut("before the table", (1, 2, 3, 4)),)),
        ),
    ]


CASES = [*_commas_before_header(), *_one_line(), *_trailing(), *_blank(), *_around()]
