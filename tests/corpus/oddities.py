"""Bytes, characters, words and sizes that readers convert, drop or confuse."""

import json
from collections.abc import Sequence

from tests.corpus.build import csv_line, csv_lines, films, jsonl, labeled, lines, mixed
from tests.corpus.case import Ask, Case, Exact, Files, LeftOut, Outcome, Overrides, Refused, Rows

KIND = "oddities"
ROWS = films()
HEAD = "text,label"
PLAIN = csv_lines(ROWS)


def _rows(id: str, rows: Rows, *others: Outcome, report: str = "") -> list[Case]:
    """Write the same rows as CSV and as JSON lines."""
    table = lines([HEAD, *csv_lines(rows)])
    outcomes = (Exact(rows), *others)
    return [
        Case(f"odd-{id}-csv", KIND, table, outcomes, report=report),
        Case(f"odd-{id}-jsonl", KIND, jsonl(rows), outcomes, report=report),
    ]


def _bytes(id: str, data: bytes, *outcomes: Outcome, name: str = "a.csv", note: str = "") -> Case:
    return Case(f"odd-{id}", KIND, lambda: {name: data}, outcomes, note=note)


def _text(id: str, content: Sequence[str], *outcomes: Outcome, name: str = "a.csv") -> Case:
    return Case(f"odd-{id}", KIND, lines(content, name), outcomes)


def _left(reason: str, *lines_: int) -> tuple[LeftOut, ...]:
    return (LeftOut(reason, lines_),)


def _labels() -> list[Case]:
    pairs = {
        "nan": ("NaN", "nan"),
        "none": ("None", "none"),
        "null": ("null", "NULL"),
        "na": ("NA", "N/A"),
        "infinities": ("inf", "-inf"),
        "exponents": ("1e5", "100000"),
        "exponent-zero": ("0e1", "0"),
        "leading-zeros": ("0", "00"),
        "plus": ("+1", "1"),
        "underscores": ("1_000", "1000"),
        "thousands": ("1,000", "1000"),
        "hexadecimals": ("0x10", "16"),
        "decimals": ("0.10", "0.1"),
        "percents": ("5%", "5 %"),
        "booleans": ("True", "true"),
        "yes": ("yes", "Yes"),
        "dates": ("2024-01-01", "01.01.2024"),
        "times": ("12:00", "12:00:00"),
        "long-numbers": ("12345678901234567890", "12345678901234567891"),
        "full-width": ("１", "1"),
        "roman": ("Ⅳ", "IV"),
        "superscript": ("m²", "m2"),
        "ligature": ("ﬁne", "fine"),
        "dotless": ("ı", "i"),
        "sharp-s": ("straße", "strasse"),
        "cyrillic-a": ("cat", "c\u0430t"),
        "zero-width": ("pos", "pos\u200b"),
        "emoji": ("👍", "👍🏽"),
        "variation": ("❤", "❤\ufe0f"),
        "families": ("👨\u200d👩\u200d👧", "👨👩👧"),
        "flags": ("🇩🇪", "🇦🇹"),
        "hebrew": ("חיובי", "שלילי"),
        "arabic": ("إيجابي", "سلبي"),
        "quotes-in-labels": ('"pos"', "pos"),
        "brackets": ("(pos)", "[pos"),
        "hashes": ("#pos", "#neg"),
        "signs": ("+", "-"),
        "stars": ("*", "**"),
        "slashes": ("Sci/Tech", "Sci\\Tech"),
        "inner-blanks": ("new york", "new  york"),
        "long": ("x" * 60, "x" * 59 + "y"),
    }
    return [case for id, names in pairs.items() for case in _rows(f"label-{id}", labeled(*names))]


def _texts() -> list[Case]:
    def around(id: str, text: str) -> list[Case]:
        return _rows(f"text-{id}", tuple((a, f"{b} {text}") for a, b in ROWS))

    alone: Rows = tuple((a, f"{('NaN', 'null', 'None', 'NA', '-', '0', '1e5', '#N/A')[i % 8]}")
                        for i, (a, _) in enumerate(films(16)))  # fmt: skip
    blank: Rows = tuple((a, f"  {b}\t") for a, b in ROWS)
    long: Rows = tuple((a, f"{b} {'word ' * 4000}end") for a, b in ROWS)
    first_long: Rows = (("pos", "word " * 9000 + "end"), *ROWS)
    return [
        *around("emoji", "😀👩‍🚀🏳️‍🌈"),
        *around("right-to-left", "\u202bשלום\u202c مرحبا"),
        *around("combining", "e\u0301 Z\u0351\u0343\u0317algo"),
        *around("mathematics", "𝐛𝐨𝐥𝐝 ∑∞ ½"),
        *around("separators-of-lines", "a\u2028b\u2029c\x85d"),
        *around("form-feed", "a\x0bb\x0cc"),
        *around("no-break", "a\u00a0b\u202fc\ufeffd"),
        *around("soft-hyphen", "co\u00adoperate"),
        *around("backslashes", "C:\\new\\table \\n \\t \\u0041"),
        *around("markup", "<b>x</b> &amp; &#39; <script>"),
        *around("private-use", "\uf8f1 \ue000"),
        *around("json", '{"a": [1, 2], "b": null}'),
        *around("hashtags", "#good, @ann; a|b"),
        *_rows("text-words-for-missing", alone),
        *_rows("text-blanks-around", blank),
        *_rows("text-long", long),
        *_rows("text-first-is-long", first_long),
    ]


def _json_escapes() -> list[Case]:
    def line(text: str, label: str = "pos") -> str:
        return f'{{"text": "{text}", "label": "{label}"}}'

    plain = [json.dumps({"text": b, "label": a}) for a, b in ROWS]
    pair = Exact((*ROWS, ("pos", "a 😀 film")))
    half = Exact((*ROWS, ("pos", "a � film")), mentions=("surrogate",))
    return [
        _text("surrogate-pair", [*plain, line("a \\ud83d\\ude00 film")], pair, name="a.jsonl"),
        _text("surrogate-high", [*plain, line("a \\ud83d film")], half, name="a.jsonl"),
        _text("surrogate-low", [*plain, line("a \\ude00 film")], half, name="a.jsonl"),
        _text("surrogates-swapped", [*plain, line("a \\ude00\\ud83d film")],
              Exact((*ROWS, ("pos", "a �� film")), mentions=("surrogate",)), name="a.jsonl"),
        _text("surrogate-in-label", [*plain, *(line(b, "\\ud83dx") for _, b in films(20))],
              Exact((*ROWS, *(("�x", b) for _, b in films(20))), mentions=("surrogate",)),
              name="a.jsonl"),
        _text("escaped-nul", [*plain, line("a \\u0000 film")],
              Exact((*ROWS, ("pos", "a  film")), mentions=("NUL",)), name="a.jsonl"),
        _text("escaped-slash", [*plain, line("a\\/b")], Exact((*ROWS, ("pos", "a/b"))),
              name="a.jsonl"),
        _text("raw-tab", [*plain, line("a\tb")], Exact((*ROWS, ("pos", "a\tb"))), name="a.jsonl"),
        _text("wrong-escape", [*plain, line("a\\xb")],
              Exact(ROWS, _left("JSON", 25)), name="a.jsonl"),
        _text("single-quotes", [*plain, "{'text': 'x', 'label': 'pos'}"],
              Exact(ROWS, _left("JSON", 25)), name="a.jsonl"),
        _text("trailing-comma", [*plain, '{"text": "x", "label": "pos",}'],
              Exact(ROWS, _left("JSON", 25)), name="a.jsonl"),
        _text("cut-last-line", [*plain, '{"text": "x", "lab'],
              Exact(ROWS, _left("JSON", 25)), name="a.jsonl"),
        _text("comments", ["// exported", *plain], Exact(ROWS, _left("JSON", 1)), name="a.jsonl"),
        _text("commas-after-objects", [f"{each}," for each in plain], Exact(ROWS),
              name="a.jsonl"),
        _text("list-of-one-line", [f"[{', '.join(plain)}]"], Exact(ROWS), name="a.jsonl"),
        _text("a-list-per-line", [f"[{each}]" for each in plain], Exact(ROWS),
              Refused(("object",)), name="a.jsonl"),
        _text("texts-with-json-name", [HEAD, *PLAIN], Exact(ROWS), Refused(("JSON",)),
              name="a.json"),
        _text("json-named-csv", plain, Exact(ROWS)),
    ]  # fmt: skip


def _line_ends() -> list[Case]:
    def joined(*ends: str) -> bytes:
        content = [HEAD, *PLAIN]
        return "".join(line + ends[i % len(ends)] for i, line in enumerate(content)).encode()

    inner: Rows = tuple((a, f"{b}\ra, b") for a, b in ROWS)
    inner_lines = "".join(f'"{b}",{a}\r\n' for a, b in inner)
    return [
        _bytes("end-lf-cr", joined("\n\r"), Exact(ROWS)),
        _bytes("end-crlf-and-cr", joined("\r\n", "\r"), Exact(ROWS)),
        _bytes("end-lf-and-cr", joined("\n", "\r"), Exact(ROWS)),
        _bytes("end-all-three", joined("\r\n", "\n", "\r"), Exact(ROWS)),
        _bytes("end-cr-cr-lf", joined("\r\r\n"), Exact(ROWS)),
        _bytes("end-cr", joined("\r"), Exact(ROWS)),
        _bytes("end-blank-lines-between", joined("\r\n\r\n"), Exact(ROWS)),
        _bytes("end-missing", joined("\n").rstrip(b"\n"), Exact(ROWS)),
        _bytes("end-control-z", joined("\r\n") + b"\x1a", Exact(ROWS),
               Exact(ROWS, (LeftOut("cells", (26,)),))),
        _bytes("end-form-feed-pages", joined("\n") + b"\x0c\n", Exact(ROWS),
               Exact(ROWS, (LeftOut("", (26,), optional=True),))),
        _bytes("cr-in-quoted-texts", f"{HEAD}\r\n{inner_lines}".encode(), Exact(inner)),
    ]  # fmt: skip


def _marks_and_nuls() -> list[Case]:
    table = "\n".join([HEAD, *PLAIN, ""])
    nul = table.replace("film", "fi\0lm").encode()
    java = table.replace("film", "fi\0lm").encode().replace(b"\0", b"\xc0\x80")
    emoji: Rows = tuple((a, f"{b} 😀") for a, b in ROWS)
    halves = b"\xed\xa0\xbd\xed\xb8\x80"
    cesu = "\n".join([HEAD, *csv_lines(emoji), ""]).encode().replace("😀".encode(), halves)
    wide = "\n".join([HEAD, *csv_lines(emoji), ""])
    twice = ("\ufeff\ufeff" + table).encode()
    inside = table.replace("\na bad", "\n\ufeffa bad", 1).encode()
    marked = tuple((a, f"\ufeff{b}" if b == "a bad film number 0" else b) for a, b in ROWS)
    mojibake: Rows = tuple((a, f"{b} cafÃ© itâ€™s") for a, b in ROWS)
    return [
        _bytes("nul-in-texts", nul, Exact(ROWS, mentions=("NUL",))),
        _bytes("nul-of-java", java, Exact(ROWS, mentions=("NUL",)), Refused(("line",))),
        _bytes("emoji-of-java", cesu, Exact(emoji), Exact(emoji, mentions=("halves",))),
        _bytes("mark-utf-8", b"\xef\xbb\xbf" + table.encode(), Exact(ROWS)),
        _bytes("mark-twice", twice, Exact(ROWS)),
        _bytes("mark-inside", inside, Exact(marked), Exact(ROWS)),
        _bytes("mark-utf-16-le", b"\xff\xfe" + wide.encode("utf-16-le"), Exact(emoji)),
        _bytes("mark-utf-16-be", b"\xfe\xff" + wide.encode("utf-16-be"), Exact(emoji)),
        _bytes("mark-utf-32", wide.encode("utf-32"), Exact(emoji)),
        _bytes("utf-16-without-mark", wide.encode("utf-16-le"), Exact(emoji)),
        _bytes("utf-7-mark", b"+/v8-" + table.encode(), Exact(ROWS), Refused(("column",)),
               Refused(("label",)), note="a mark that programs no longer write"),
        *_rows("mojibake", mojibake),
        _bytes("mark-only", b"\xef\xbb\xbf", Refused(("empty",))),
        _bytes("zeros", b"\0" * 5000, Refused(("empty",))),
        _bytes("zeros-behind", table.encode() + b"\0" * 5000, Exact(ROWS)),
    ]  # fmt: skip


def _quotes() -> list[Case]:
    def quoted(rows: Rows, head: str = HEAD) -> list[str]:
        return [head, *('"{}",{}'.format(b.replace('"', '""'), a) for a, b in rows)]

    spoken: Rows = tuple((a, f'{b}, he said\n"quoted", end "x"') for a, b in ROWS)
    rows_alone: Rows = tuple((a, f"{b}, he said\nthe rest, of it") for a, b in ROWS)
    third: Rows = tuple((a, f"{b}\n\n- one, two\n- three") for a, b in ROWS)
    inches: Rows = tuple((a, f'{b} of 5" size') for a, b in ROWS)
    curly: Rows = tuple((a, f"“{b}”") for a, b in ROWS)
    broken = [HEAD, *(f'"He said "{b}" and\nleft the room",{a}' for a, b in ROWS)]
    odd = tuple((a, f'"{b}') for a, b in ROWS)
    all_quoted = ['"text","label"', *(f'"{b}","{a}"' for a, b in rows_alone)]
    single = [HEAD, *(f"'{b}',{a}" for a, b in ROWS)]
    opened = Overrides(quotes=False)
    return [
        _text("quoted-quotes-on-several-lines", quoted(spoken), Exact(spoken)),
        _text("quoted-lists-on-several-lines", quoted(third), Exact(third)),
        _text("quoted-lines-like-rows", quoted(rows_alone),
              Exact(rows_alone), Refused(("quote", "line"))),
        _text("all-quoted-lines-like-rows", all_quoted, Exact(rows_alone)),
        _text("inches", [HEAD, *(f"{b},{a}" for a, b in inches)], Exact(inches)),
        _text("curly-quotes", [HEAD, *(f"{b},{a}" for a, b in curly)], Exact(curly)),
        _text("unescaped-quotes-on-several-lines", broken, Refused(("line",)),
              Exact(tuple((a, f'He said "{b}" and\nleft the room') for a, b in ROWS))),
        _text("every-quote-open", [HEAD, *(f"{b},{a}" for a, b in odd)], Exact(odd),
              Ask(("quote",), ((opened, odd),))),
        _text("single-quotes-around", single, Exact(tuple((a, f"'{b}'") for a, b in ROWS))),
        _text("quote-at-the-end-of-the-file", [HEAD, *PLAIN, '"'],
              Exact(ROWS, _left("cells", 26)), Refused(("line 26",))),
        _text("empty-quoted-cells", [HEAD, *PLAIN, '"",pos', 'x,""'],
              Exact(ROWS, (LeftOut("no text", (26,)), LeftOut("no label", (27,))))),
    ]  # fmt: skip


def _shapes() -> list[Case]:
    many = labeled(*(f"class {i:03}" for i in range(150)), each=12)
    too_many = labeled(*(f"class {i:04}" for i in range(1200)), each=2)
    wide = [csv_line(*HEAD.split(","), *(f"c{i}" for i in range(300))),
            *(csv_line(b, a, *(str(i % 3) for i in range(300))) for a, b in ROWS)]  # fmt: skip
    huge = ("pos", "x" * 150_000)
    cut = [HEAD, *PLAIN[:-1], "a good fi"]
    joined = [HEAD, *PLAIN[:6], PLAIN[6] + PLAIN[7], *PLAIN[8:]]
    return [
        Case("odd-150-classes", KIND, lines([HEAD, *csv_lines(many)]), (Exact(many),)),
        Case("odd-1200-classes", KIND, lines([HEAD, *csv_lines(too_many)]),
             (Refused(("200",)), Refused(("class",)))),
        _text("302-columns", wide, Exact(ROWS)),
        _text("150000-characters", [HEAD, *csv_lines(mixed((huge,)))],
              Exact(ROWS, _left("longer", 6))),
        _text("last-line-cut", cut, Exact(ROWS[:-1], _left("cells", 25))),
        _text("two-lines-joined", joined,
              Exact((*ROWS[:6], *ROWS[8:]), _left("cells", 8))),
        _text("blank-rows-and-cells", [HEAD, *PLAIN, ",", " , ", "x,", ",pos", ""],
              Exact(ROWS, (LeftOut("", (26, 27, 28, 29)),))),
        _text("header-in-the-middle", [HEAD, *PLAIN[:10], HEAD, *PLAIN[10:]],
              Exact(ROWS, _left("header", 12))),
        _text("same-rows-twice", [HEAD, *PLAIN, *PLAIN], Exact((*ROWS, *ROWS))),
        _text("texts-with-two-labels", [HEAD, *PLAIN, *csv_lines(tuple(
            ({"pos": "neg", "neg": "pos"}[a], b) for a, b in ROWS[:3]))],
              Exact((*ROWS, *(({"pos": "neg", "neg": "pos"}[a], b) for a, b in ROWS[:3])))),
    ]  # fmt: skip


def _late() -> list[Case]:
    """A file whose beginning is unlike the rest."""
    plain: Rows = tuple((a, f"{b} {'and more ' * 300}") for a, b in films(300))
    accent: Rows = (*plain, ("pos", "naïve café"), ("neg", "déjà vu"))
    quote: Rows = (*plain, ("pos", "a, quoted\ntext"), ("neg", 'and "another", one'))

    def build(rows: Rows, encoding: str) -> Files:
        return {"a.csv": "\n".join([HEAD, *csv_lines(rows), ""]).encode(encoding)}

    return [
        Case("odd-late-accent-utf-8", KIND, lambda: build(accent, "utf-8"), (Exact(accent),)),
        Case("odd-late-accent-cp1252", KIND, lambda: build(accent, "cp1252"), (Exact(accent),)),
        Case("odd-late-quote", KIND, lambda: build(quote, "utf-8"), (Exact(quote),)),
    ]


CASES = [
    *_labels(),
    *_texts(),
    *_json_escapes(),
    *_line_ends(),
    *_marks_and_nuls(),
    *_quotes(),
    *_shapes(),
    *_late(),
]
