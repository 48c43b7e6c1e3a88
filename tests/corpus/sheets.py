"""Tables as spreadsheets, statistics programs, databases and scripts write them."""

import csv
import gzip
import io
from collections.abc import Sequence

from tests.corpus.build import changed, csv_line, delimited, films, lines, mixed, zipped
from tests.corpus.case import Case, Exact, Files, LeftOut, Outcome, Refused, Row, Rows

KIND = "sheets"
ROWS = films()
COUNT = len(ROWS)


def _text(
    id: str,
    content: Sequence[str],
    *outcomes: Outcome,
    name: str = "a.csv",
    end: str = "\n",
    encoding: str = "utf-8",
    note: str = "",
) -> Case:
    build = lines(content, name, encoding, end)
    return Case(f"sheet-{id}", KIND, build, outcomes, "", "", note=note)


def _table(
    id: str, head: Sequence[str], rows: Sequence[Sequence[str]], *outcomes: Outcome, sep: str = ","
) -> Case:
    content = [csv_line(*row, sep=sep) for row in (head, *rows)]
    return _text(id, content, *outcomes)


def _left(reason: str, *lines_: int) -> tuple[LeftOut, ...]:
    return (LeftOut(reason, lines_),)


def _statistics() -> list[Case]:
    """R, SPSS, Stata, SAS."""
    r_rows = [f'"{i + 1}","{b}","{a}"' for i, (a, b) in enumerate(ROWS)]
    r_short = [f'"{i + 1}" "{b}" "{a}"' for i, (a, b) in enumerate(ROWS)]
    missing = [f'"{25 + i}","{b}",NA' for i, (_, b) in enumerate(ROWS[:3])]
    coded = [[str(i), b, "1" if a == "pos" else "2"] for i, (a, b) in enumerate(ROWS)]
    numbers: Rows = tuple(("1" if a == "pos" else "2", b) for a, b in ROWS)
    floats: Rows = tuple(("1.00" if a == "pos" else "2.00", b) for a, b in ROWS)
    comma: Rows = tuple(("1,0" if a == "pos" else "2,5", b) for a, b in ROWS)
    with_na: Rows = (*ROWS, *(("NA", b) for _, b in ROWS[:3]))
    return [
        _text("r-write-csv", ['"","text","label"', *r_rows], Exact(ROWS)),
        _text("r-write-csv-missing", ['"","text","label"', *r_rows, *missing],
              Exact(with_na), Refused(("'NA'",)), note="NA may be a class; no word is dropped"),
        _text("r-write-table", ['"text" "label"', *r_short], Exact(ROWS), Refused(("column",)),
              Refused(("label",)), Refused(("cells",)), name="a.txt",
              note="separated by blanks: refused unless read"),
        _text("r-write-csv2", ['"";"text";"label"', *(r.replace('","', '";"') for r in r_rows)],
              Exact(ROWS)),
        _table("spss-values", ["ID", "Comment_text", "Q1"], coded, Exact(numbers)),
        _text("spss-fixed-decimals", ["ID;Comment;Q1", *(f"{i}.00;{b};{a}" for i, (a, b)
                                                        in enumerate(floats))], Exact(floats)),
        _text("decimal-commas", ["id;text;score", *(f"{i};{b};{a}" for i, (a, b)
                                                     in enumerate(comma))], Exact(comma)),
        _text("sas-blanks", ["text,label", *(f"{b} ,{a} " for a, b in ROWS)],
              Exact(tuple((a, f"{b} ") for a, b in ROWS)), Exact(ROWS)),
        _text("stata-quotes", ["text,label", *(f'"{b}",{a}' for a, b in ROWS)], Exact(ROWS)),
    ]  # fmt: skip


def _spreadsheets() -> list[Case]:
    plain = [csv_line(b, a) for a, b in ROWS]
    empties = [f"{line},,," for line in plain]
    merged = [csv_line(b, a if i % 4 == 0 else "") for i, (a, b) in enumerate(ROWS)]
    errors: tuple[Row, ...] = (("pos", "#NAME?"), ("neg", "#REF!"), ("pos", "#N/A"))
    sheet = [["", "", ""], ["", "text", "label"], *(["", b, a] for a, b in ROWS)]
    titled = [["Reviews 2024", "", ""], ["exported on Monday", "", ""], ["id", "text", "label"],
              *([str(i), b, a] for i, (a, b) in enumerate(ROWS))]  # fmt: skip
    totals = [["text", "label"], *([b, a] for a, b in ROWS), ["Total", "24"]]
    form = [["Timestamp", "What did you like?", "How do you rate us?"],
            *([f"2024/01/{i + 1:02} 9:{i:02}:11 AM GMT+1", b, a]
              for i, (a, b) in enumerate(ROWS))]  # fmt: skip
    dated: Rows = tuple(("Jan-02" if a == "pos" else "2-Mar", b) for a, b in ROWS)
    science: Rows = tuple(("1E+05" if a == "pos" else "1e5", b) for a, b in ROWS)
    booleans: Rows = tuple(("TRUE" if a == "pos" else "FALSE", b) for a, b in ROWS)
    accents: Rows = tuple((a, f"{b} – “naïve” café, 5 € …") for a, b in ROWS)
    cells: Rows = tuple((a, f"{b}\nsecond line\n\nfourth line, with a comma") for a, b in ROWS)
    formulas: Rows = tuple((a, f"={b}") for a, b in ROWS)
    return [
        _text("empty-columns-on-the-right", ["text,label,,,", *empties], Exact(ROWS)),
        _text("merged-cells", ["text,label", *merged],
              Exact(tuple(row for i, row in enumerate(ROWS) if i % 4 == 0),
                    _left("no label", *(i + 2 for i in range(COUNT) if i % 4))),
              Refused(("no label",)),
              note="only the first of merged cells holds the label"),
        _text("error-cells", ["text,label", *(csv_line(b, a) for a, b in mixed(errors))],
              Exact(mixed(errors))),
        _text("table-at-b2", [csv_line(*row) for row in sheet], Exact(ROWS),
              Exact(ROWS, (LeftOut("", (1,), optional=True),)),
              note="an empty row and an empty column before the table"),
        _text("title-rows", [csv_line(*row) for row in titled],
              Exact(ROWS, _left("", 1, 2)), Exact(ROWS), Refused(("line",))),
        _text("total-row", [csv_line(*row) for row in totals],
              Exact((*ROWS, ("24", "Total"))), Refused(("'24'",))),
        _text("google-form", [csv_line(*row) for row in form], Exact(ROWS)),
        _text("labels-made-dates", ["text,label", *(f"{b},{a}" for a, b in dated)], Exact(dated)),
        _text("labels-made-scientific", ["text,label", *(f"{b},{a}" for a, b in science)],
              Exact(science)),
        _text("booleans", ["text,label", *(f"{b},{a}" for a, b in booleans)], Exact(booleans)),
        _text("windows-1252", ["text;label", *(csv_line(b, a, sep=";") for a, b in accents)],
              Exact(accents), encoding="cp1252", end="\r\n"),
        _text("mac-roman", ["text;label", *(csv_line(b, a, sep=";") for a, b in accents)],
              Exact(accents), encoding="mac_roman", end="\r"),
        _text("unicode-text", ["text\tlabel", *(csv_line(b, a, sep="\t") for a, b in accents)],
              Exact(accents), encoding="utf-16", end="\r\n", name="a.txt",
              note="Unicode Text of Excel: UTF-16 with tabs"),
        _text("utf-16-be", ["text,label", *plain], Exact(ROWS), encoding="utf-16-be"),
        Case("sheet-utf-8-mark-and-sep", KIND,
             changed(lines(["sep=;", "text;label", *(csv_line(b, a, sep=";") for a, b in accents)],
                           "a.csv", end="\r\n"), lambda data: b"\xef\xbb\xbf" + data),
             (Exact(accents),), "", ""),
        _text("cells-of-several-lines", ["text,label", *(csv_line(b, a) for a, b in cells)],
              Exact(cells), Exact(tuple((a, b.replace("\n", "\r\n")) for a, b in cells)),
              end="\r\n"),
        _text("formulas", ["text,label", *(f"{b},{a}" for a, b in formulas)], Exact(formulas)),
        _text("semicolons-and-commas-in-texts",
              ["text;label", *(f"{b}, really, truly;{a}" for a, b in ROWS)],
              Exact(tuple((a, f"{b}, really, truly") for a, b in ROWS))),
        _text("commas-and-semicolons-in-texts",
              ["text,label", *(f"{b}; really; truly,{a}" for a, b in ROWS)],
              Exact(tuple((a, f"{b}; really; truly") for a, b in ROWS))),
        _text("bars-in-texts", ["text,label", *(f"{b} | x | y,{a}" for a, b in ROWS)],
              Exact(tuple((a, f"{b} | x | y") for a, b in ROWS))),
        _text("tabs-in-texts", ["text,label", *(f"{b}\tx\ty,{a}" for a, b in ROWS)],
              Exact(tuple((a, f"{b}\tx\ty") for a, b in ROWS))),
    ]  # fmt: skip


def _columns() -> list[Case]:
    def numbered(label: str, text: str, i: int) -> list[str]:
        return [str(i), text, label]

    body = [numbered(a, b, i) for i, (a, b) in enumerate(ROWS)]
    twice = [[b, a, f"other {b}"] for a, b in ROWS]
    three = [[b, a, str(i % 3), "x"] for i, (a, b) in enumerate(ROWS)]
    people = [[f"Ann Smith{'son' * (i % 3)}", b, a] for i, (a, b) in enumerate(ROWS)]
    links = [[f"https://www.example.org/reviews/2024/01/a-long-title-of-page-{i}", b, a]
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    paths = [[f"C:\\Users\\ann\\My Documents\\reviews\\texts of the year\\{i}.txt", b, a]
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    dates = [[f"Mon Jan {i % 28 + 1:02} 10:00:{i:02} +0000 2024", b, a]
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    jsons = [[f'{{"lang": "en", "likes": {i}, "source": "a web client of some name"}}', b, a]
             for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    spam = [[("ham", "spam")[a == "neg"], b, "", "", ""] for a, b in ROWS]
    hams: Rows = tuple((("ham", "spam")[a == "neg"], b) for a, b in ROWS)
    tweets = [[("4", "0")[a == "neg"], str(i), "Mon Apr 06 22:19:45 PDT 2009", "NO_QUERY",
               f"user{i}", b] for i, (a, b) in enumerate(ROWS)]  # fmt: skip
    polarity: Rows = tuple((("4", "0")[a == "neg"], b) for a, b in ROWS)
    return [
        _table("index-without-name", ["", "text", "label"], body, Exact(ROWS)),
        _table("index-unnamed-0", ["Unnamed: 0", "text", "label"], body, Exact(ROWS)),
        _table("indexes-twice", ["Unnamed: 0.1", "Unnamed: 0", "text", "label"],
               [[row[0], *row] for row in body], Exact(ROWS)),
        _table("names-with-blanks", [" text ", " label "], [row[1:] for row in body], Exact(ROWS)),
        _table("names-in-capitals", ["TEXT", "LABEL"], [row[1:] for row in body], Exact(ROWS)),
        _table("two-columns-of-one-name", ["text", "label", "text"], twice,
               Exact(ROWS, mentions=("text (2)",))),
        _table("names-that-differ-in-case", ["text", "label", "Label", "x"], three, Exact(ROWS)),
        _table("author-text-label", ["author", "txt", "cls"], people, Exact(ROWS)),
        _table("address-text-label", ["link", "txt", "cls"], links, Exact(ROWS)),
        _table("path-text-label", ["file", "txt", "cls"], paths, Exact(ROWS)),
        _table("date-text-label", ["created", "txt", "cls"], dates, Exact(ROWS)),
        _table("json-text-label", ["meta", "txt", "cls"], jsons, Exact(ROWS)),
        _text("dates-without-header", [csv_line(*row) for row in dates], Exact(ROWS)),
        _text("addresses-without-header", [csv_line(*row) for row in links], Exact(ROWS)),
        Case("sheet-kaggle-spam", KIND, lines(["v1,v2,,,", *(csv_line(*row) for row in spam)],
                                               "spam.csv", "latin-1"), (Exact(hams),), "", ""),
        _text("kaggle-sentiment140", [",".join(f'"{cell}"' for cell in row) for row in tweets],
              Exact(polarity), encoding="latin-1"),
        _text("id-and-score-columns", ["Id,ProductId,Score,Time,Summary,Text",
              *(f"{i},B00{i:04},{'5' if a == 'pos' else '1'},13038624{i:02},Good food,{b}"
                for i, (a, b) in enumerate(ROWS))],
              Exact(tuple(("5" if a == "pos" else "1", b) for a, b in ROWS)),
              Refused(("label",))),
        _text("imdb", ["review,sentiment", *(f'"{b}.<br /><br />He said, ""yes"".",{a}'
                                            for a, b in ROWS)],
              Exact(tuple((a, f'{b}.<br /><br />He said, "yes".') for a, b in ROWS))),
        _text("ag-news-csv", ["Class Index,Title,Description",
              *(f'{1 + (a == "neg")},"Title {i}","{b}"' for i, (a, b) in enumerate(ROWS))],
              Exact(tuple((str(1 + (a == "neg")), b) for a, b in ROWS), mentions=("Title",))),
        _text("dbpedia-no-header", [f'{1 + (a == "neg")},"Title {i}"," {b}"'
                                    for i, (a, b) in enumerate(ROWS)],
              Exact(tuple((str(1 + (a == "neg")), f" {b}") for a, b in ROWS)),
              Exact(tuple((str(1 + (a == "neg")), b) for a, b in ROWS))),
        _text("sms-collection", [f"{a}\t{b}" for a, b in hams], Exact(hams), name="SMSSpam"),
        _text("imdb-sentences", [f"{b}  \t{int(a == 'pos')}" for a, b in ROWS],
              Exact(tuple((str(int(a == "pos")), f"{b}  ") for a, b in ROWS)),
              name="imdb.txt"),
        _text("trec", [f"{'DESC' if a == 'pos' else 'ENTY'}:x {b}" for a, b in ROWS],
              Refused(("label",)), Refused(("column",)), name="train_5500.label"),
        _text("cola", [f"gj04\t{int(a == 'pos')}\t{'' if a == 'pos' else '*'}\t{b}"
                       for a, b in ROWS],
              Exact(tuple((str(int(a == "pos")), b) for a, b in ROWS)), name="in_domain.tsv"),
        _text("glue-sst", ["sentence\tlabel", *(f"{b} \t{int(a == 'pos')}" for a, b in ROWS)],
              Exact(tuple((str(int(a == "pos")), f"{b} ") for a, b in ROWS)), name="train.tsv"),
    ]  # fmt: skip


def _drawn() -> list[Case]:
    markdown = ["| text | label |", "|------|:-----:|", *(f"| {b} | {a} |" for a, b in ROWS)]
    aligned = ["text | label", ":--- | ---:", *(f"{b} | {a}" for a, b in ROWS)]
    shell = [" text | label ", "------+-------", *(f" {b} | {a}" for a, b in ROWS), "(24 rows)"]
    mysql = ["+------+-------+", "| text | label |", "+------+-------+",
             *(f"| {b} | {a} |" for a, b in ROWS), "+------+-------+"]  # fmt: skip
    sql = [f"INSERT INTO reviews VALUES ({i}, '{b}', '{a}');" for i, (a, b) in enumerate(ROWS)]
    html = ["<html><body><table><tr><th>text</th><th>label</th></tr>",
            *(f"<tr><td>{b}</td><td>{a}</td></tr>" for a, b in ROWS), "</table>"]  # fmt: skip
    xml = [
        '<?xml version="1.0"?>',
        "<rows>",
        *(f"<row><text>{b}</text><label>{a}</label></row>" for a, b in ROWS),
        "</rows>",
    ]
    yaml = [line for a, b in ROWS for line in (f"- text: {b}", f"  label: {a}")]
    tex = [f"{b} & {a} \\\\" for a, b in ROWS]
    arff = ["@relation x", "@attribute text string", "@attribute label {pos,neg}", "@data",
            *(f"'{b}',{a}" for a, b in ROWS)]  # fmt: skip
    drawn = Refused(("lines",))
    unread = (Refused(("label",)), Refused(("column",)), Refused(("cells",)))
    return [
        _text("markdown", markdown, Exact(ROWS), drawn, name="a.md"),
        _text("markdown-as-csv", markdown, Exact(ROWS), drawn),
        _text("markdown-without-edges", aligned, Exact(ROWS), drawn),
        _text("psql", shell, Exact(ROWS), drawn),
        _text("mysql", mysql, Exact(ROWS), drawn),
        _text("sql-dump", sql, Refused(("SQL",)), *unread, name="a.sql"),
        _text("html-as-csv", html, Refused(("HTML",))),
        _text("html-as-xls", html, Refused(("HTML",)), name="a.xls"),
        _text("xml-as-csv", xml, Refused(("XML",))),
        _text("yaml", yaml, Refused(("YAML",)), *unread, name="a.yml"),
        _text("latex", tex, Exact(ROWS), *unread, name="a.tex"),
        _text("arff", arff, Exact(ROWS), Refused(("ARFF",)), name="a.arff"),
    ]  # fmt: skip


def _containers() -> list[Case]:
    csv_file = delimited(ROWS)

    def squeezed() -> Files:
        (data,) = csv_file().values()
        return {"a.csv.gz": gzip.compress(data, mtime=0)}

    def misnamed() -> Files:
        (data,) = squeezed().values()
        return {"a.csv": data}

    def workbook() -> Files:
        (data,) = zipped("a.csv", lambda: {"[Content_Types].xml": b"<x/>"})().values()
        return {"a.csv": data}

    def rich() -> Files:
        return {"a.csv": b"{\\rtf1\\ansi text,label\\par a good film,pos\\par}" * 3}

    def dialect(**options: object) -> Files:
        buffer = io.StringIO()
        writer = csv.writer(buffer, **options)  # type: ignore[arg-type]
        writer.writerow(["text", "label"])
        writer.writerows([f'{b}, "he" said', a] for a, b in ROWS)
        return {"a.csv": buffer.getvalue().encode()}

    spoken: Rows = tuple((a, f'{b}, "he" said') for a, b in ROWS)
    return [
        Case("sheet-gzip", KIND, squeezed, (Refused(("gzip",)),), "", ""),
        Case("sheet-gzip-named-csv", KIND, misnamed, (Refused(("gzip",)),), "", ""),
        Case("sheet-zip", KIND, zipped("a.zip", csv_file), (Refused(("ZIP",)),), "", ""),
        Case("sheet-xlsx-named-csv", KIND, workbook, (Refused(("Excel",)),), "", ""),
        Case("sheet-rtf", KIND, rich, (Refused(("RTF",)),), "", ""),
        Case("sheet-quote-all", KIND, lambda: dialect(quoting=csv.QUOTE_ALL), (Exact(spoken),),
             "", ""),
        Case("sheet-quote-nonnumeric", KIND, lambda: dialect(quoting=csv.QUOTE_NONNUMERIC),
             (Exact(spoken),), "", ""),
        Case("sheet-escaped", KIND,
             lambda: dialect(quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\"),
             (Exact(spoken),), "", ""),
        Case("sheet-escaped-separators", KIND,
             lambda: dialect(quoting=csv.QUOTE_NONE, escapechar="\\"),
             (Exact(spoken), Refused(("cells",))), "", ""),
        Case("sheet-single-quotes", KIND, lambda: dialect(quotechar="'", quoting=csv.QUOTE_ALL),
             (Exact(spoken), Refused(("cells",))), "", ""),
        Case("sheet-bar", KIND, lambda: dialect(delimiter="|"), (Exact(spoken),), "", ""),
        Case("sheet-hash", KIND, lambda: dialect(delimiter="#"),
             (Exact(spoken), Refused(("label",)), Refused(("cells",))), "", ""),
    ]  # fmt: skip


CASES = [*_statistics(), *_spreadsheets(), *_columns(), *_drawn(), *_containers()]
