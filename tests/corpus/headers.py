"""Files with and without a header, and headers that are unusual."""

from tests.corpus.build import csv_line, csv_lines, delimited, films, labeled, lines
from tests.corpus.case import Ask, Case, Exact, LeftOut, Outcome, Overrides, Refused, Row, Rows

KIND = "header"
WITHOUT = Overrides(header=False)


def _case(
    id: str,
    content: list[str],
    *outcomes: Outcome,
    columns: tuple[str, str] = ("", ""),
    name: str = "a.csv",
    report: str = "",
    note: str = "",
) -> Case:
    text, label = columns
    build = lines(content, name)
    return Case(f"header-{id}", KIND, build, outcomes, text, label, report=report, note=note)


def _none() -> list[Case]:
    rows = films()
    swapped = [csv_line(label, text) for label, text in rows]
    rare: Rows = (("the rare one", "see you at ten"), *films())
    numbers = tuple(("1" if label == "pos" else "0", text) for label, text in rows)
    return [
        _case("none", csv_lines(rows), Exact(rows)),
        _case("none-label-first", swapped, Exact(rows)),
        _case("none-numbers", csv_lines(numbers), Exact(numbers)),
        _case(
            "none-three-columns",
            [csv_line(label, f"title {i}", text) for i, (label, text) in enumerate(numbers)],
            Exact(numbers),
            Exact(
                tuple((label, f"title {i}\n{text}") for i, (label, text) in enumerate(numbers)),
            ),
            Refused(("column",)),
            note="AG News: class, title, description; one or both columns of texts",
        ),
        _case(
            "none-six-columns",
            [
                csv_line(
                    "0" if label == "neg" else "4", str(1000 + i), "Mon", "NO_QUERY", "me", text
                )
                for i, (label, text) in enumerate(rows)
            ],
            Exact(tuple(("0" if label == "neg" else "4", text) for label, text in rows)),
            Refused(("column",)),
            note="Sentiment140: which of two columns with few values is the label is a guess",
        ),
        _case(
            "none-tsv-label-first",
            [f"{'spam' if label == 'neg' else 'ham'}\t{text}" for label, text in rows],
            Exact(tuple(("spam" if label == "neg" else "ham", text) for label, text in rows)),
            name="a.tsv",
        ),
        _case(
            "none-first-label-once",
            csv_lines(rare),
            Refused(("too few", "the rare one")),
            Ask(("header", "line 1"), ()),
            Exact(films(), mentions=("header", "see you at ten")),
            note="the first row's label occurs once: it must not become a header in silence",
        ),
        Case(
            "header-none-overridden",
            KIND,
            delimited((("label", "text"), *labeled("text", "label")), header=()),
            (
                Exact((("label", "text"), *labeled("text", "label"))),
                Exact(labeled("text", "label"), mentions=("header",)),
            ),
            text="",
            label="",
            options=WITHOUT,
            note="a person says that there is no header",
        ),
        _case("one-short-text-first", ["ok,pos", *csv_lines(rows)], Exact((("pos", "ok"), *rows))),
    ]


def _unusual() -> list[Case]:
    rows = films()
    ordinary = csv_lines(rows)
    numbered = [f"{i},{line}" for i, line in enumerate(ordinary)]
    three = [csv_line(f"title {i}", label, text) for i, (label, text) in enumerate(rows)]
    both = tuple((label, f"title {i}\n{text}") for i, (label, text) in enumerate(rows))
    titles = tuple((label, f"title {i}") for i, (label, _) in enumerate(rows))
    return [
        _case("upper-case", ["TEXT,LABEL", *ordinary], Exact(rows)),
        _case("capitals", ["Text,Label", *ordinary], Exact(rows), columns=("Text", "Label")),
        _case(
            "named-in-lower-case",
            ["Text,Label", *ordinary],
            Exact(rows),
            Refused(("'text'",)),
            columns=("text", "label"),
            note="matched without case, or refused with the columns",
        ),
        _case("blanks-around", [" text , label ", *ordinary], Exact(rows)),
        _case("quoted", ['"text","label"', *ordinary], Exact(rows), columns=("text", "label")),
        _case("german", ["Kommentar,Kategorie", *ordinary], Exact(rows)),
        _case("japanese", ["本文,分類", *ordinary], Exact(rows)),
        _case(
            "line-break-in-name",
            ['"text', '(raw)","label"', *ordinary],
            Exact(rows),
            report="duckdb/duckdb#16760",
        ),
        _case("unnamed-index", [",text,label", *numbered], Exact(rows), columns=("text", "label")),
        _case("unnamed-index-detected", [",text,label", *numbered], Exact(rows)),
        _case(
            "unnamed-index-twice",
            [
                "Unnamed: 0,Unnamed: 0.1,text,label",
                *(f"{i},{line}" for i, line in enumerate(numbered)),
            ],
            Exact(rows),
        ),
        _case(
            "text-label-text",
            ["text,label,text", *three],
            Exact(titles, mentions=("text",)),
            Exact(both, mentions=("text",)),
            Refused(("text",)),
            columns=("text", "label"),
            note="which of the two is meant is said",
        ),
        _case(
            "names-differ-in-case",
            ["Text,label,text", *three],
            Exact(rows),
            columns=("text", "label"),
            report="duckdb/duckdb#13053",
        ),
        _case(
            "no-names-at-all",
            [",", *ordinary],
            Exact(rows),
            Refused(("header",)),
            Exact(rows, (LeftOut("", (1,)),)),
        ),
        _case(
            "numbers-as-names",
            ["0,1", *ordinary],
            Exact(rows),
            Refused(("too few", "'1'")),
            note="pandas writes 0,1 where columns have no names",
        ),
        _case("only", ["text,label"], Refused(("no rows",))),
        _case(
            "repeated-in-the-middle",
            ["text,label", *ordinary, "text,label", *ordinary],
            Exact((*rows, *rows), (LeftOut("header", (26,)),)),
            Refused(("too few", "'label'")),
            Refused(("header", "line 26")),
            note="two files were joined",
        ),
        _case(
            "two-lines",
            ["text,label", "string,class", *ordinary],
            Refused(("too few", "'class'")),
            Exact(rows, (LeftOut("header", (2,)),)),
            note="a second line of types, as Orange writes",
        ),
        _case("long-name", [f"text,{'label ' * 15}", *ordinary], Exact(rows)),
        _case("label-is-first", ["label,text", *(csv_line(*row) for row in rows)], Exact(rows)),
        _case(
            "sst",
            ["sentence\tlabel", *(f"{text}\t{'01'[label == 'pos']}" for label, text in rows)],
            Exact(tuple(("01"[label == "pos"], text) for label, text in rows)),
            name="a.tsv",
        ),
        _case(
            "byte-order-mark",
            ["\ufefftext,label", *ordinary],
            Exact(rows),
            columns=("text", "label"),
        ),
        _case(
            "byte-order-mark-and-quotes",
            ['\ufeff"text","label"', *ordinary],
            Exact(rows),
            columns=("text", "label"),
            report="SORMAS-Foundation/SORMAS-Project#3747",
        ),
    ]


def _all_words() -> Case:
    """A header whose names are ordinary words, over short texts that occur once."""
    rows: Rows = tuple[Row, ...](
        (("yes", "no")[number % 2], f"word{number}") for number in range(24)
    )
    return _case("plain-words", ["question,answer", *csv_lines(rows)], Exact(rows))


def _mark_in_the_middle() -> Case:
    """Two files with a byte order mark, one after the other."""
    rows = films()
    middle = ["\ufefftext,label", *csv_lines(rows[12:])]
    content = ["\ufefftext,label", *csv_lines(rows[:12]), *middle]
    left_out = (LeftOut("header", (14,)),)
    return _case("byte-order-mark-twice", content, Exact(rows, left_out), columns=("text", "label"))


CASES = [_mark_in_the_middle(), *_none(), *_unusual(), _all_words()]
