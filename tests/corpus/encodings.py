"""Encodings: UTF-8 with and without a mark, UTF-16, and the code pages of Windows."""

import json
from dataclasses import dataclass

from tests.corpus.build import changed, csv_lines, delimited, films, lines, mixed
from tests.corpus.case import Ask, Builder, Case, Exact, LeftOut, Overrides, Refused, Row, Rows

KIND = "encoding"


@dataclass(frozen=True, slots=True)
class Language:
    """Sentences of a language, and encodings in which people store them."""

    id: str
    sentences: tuple[str, ...]
    encodings: tuple[str, ...]
    report: str = ""


LANGUAGES = (
    Language(
        "english",
        ("A naïve plot, but a lovely café scene.", "It’s good – “really” good.", "Costs 5 € more"),
        ("cp1252",),
        "jawah/charset_normalizer#371",
    ),
    Language(
        "portuguese",
        (
            "Não gostei do filme, é muito longo e sem ação.",
            "A atuação dos atores é excelente, recomendo a todos.",
            "O serviço não é bom, demorou três horas.",
        ),
        ("cp1252", "latin-1"),
    ),
    Language(
        "spanish",
        (
            "¿Por qué no funciona el niño?",
            "¡Qué película más aburrida!",
            "El año que viene será así",
        ),
        ("cp1252",),
    ),
    Language(
        "french",
        ("Le garçon a reçu un cœur à l’école", "Où est le château d’été ?", "C’était très déçu"),
        ("cp1252",),
        "jawah/charset_normalizer#371",
    ),
    Language(
        "french-euro",
        ("Le garçon a payé 5 € pour un cœur", "Où est le château ?", "Très déçu par cet œuf"),
        ("iso8859-15",),
    ),
    Language(
        "german",
        ("Der Zug nach München fährt über Köln", "Größe und Maß stimmen", "schön, aber zu groß"),
        ("cp1252", "cp850"),
        "jawah/charset_normalizer#477",
    ),
    Language(
        "danish",
        ("Rødgrød med fløde på bordet", "Det er så kedeligt at høre på", "En ærlig og åben film"),
        ("cp1252",),
    ),
    Language("norwegian", ("Været er dårlig i Tromsø", "Så gøy å være på tur"), ("latin-1",)),
    Language("swedish", ("Det är en väldigt rolig bok", "Ån är fylld av ålar"), ("cp1252",)),
    Language("icelandic", ("Það er ekki gott veður í dag", "Þetta er ágæt bók"), ("cp1252",)),
    Language(
        "polish",
        ("Zażółć gęślą jaźń", "Książka była świetna", "Źle się to czyta"),
        ("cp1250", "iso8859-2", "cp852"),
    ),
    Language("polish-semi", ("Książka, polecam", "Świetny, zażółć", "Źle, okropność"), ("cp1250",)),
    Language("hungarian", ("őrülten tetszett", "Gyönyörű, időpocsékolás"), ("cp1250", "iso8859-2")),
    Language("romanian", ("Îmi place mult, mulţumesc", "Nu e bună, aşa ceva"), ("cp1250",)),
    Language("croatian", ("Odlična knjiga, sviđa mi se", "Loše, žalosno, šteta"), ("cp1250",)),
    Language("lithuanian", ("Ačiū už įspūdžius", "Nepatiko, švaistomas laikas"), ("cp1257",)),
    Language("estonian", ("Mulle meeldib šokolaad", "Kõigile soovitan žanri"), ("cp1257",)),
    Language("ukrainian", ("Дуже гарний фільм", "Її варто подивитись"), ("cp1251", "koi8-u")),
    Language("capitals", ("ОТЛИЧНЫЙ ФИЛЬМ", "НЕ СОВЕТУЮ НИКОМУ"), ("cp1251", "koi8-r")),
    Language(
        "czech",
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", "Ten film se mi líbil", "Šťastný konec"),
        ("cp1250", "iso8859-2", "cp852"),
        "jawah/charset_normalizer#571",
    ),
    Language(
        "russian",
        ("Сегодня прошёл большой матч", "Фильм очень скучный", "Мне понравилась книга"),
        ("cp1251", "koi8-r", "cp866", "iso8859-5", "mac_cyrillic", "utf-16"),
        "jawah/charset_normalizer#371",
    ),
    Language("greek", ("Η ταινία ήταν πολύ καλή", "Δεν μου άρεσε το βιβλίο"), ("cp1253",)),
    Language("turkish", ("Film çok güzeldi, şaşırdım", "İyi değil, ağır ve sıkıcı"), ("cp1254",)),
    Language("hebrew", ("הסרט היה טוב מאוד", "לא אהבתי את הספר"), ("cp1255",)),
    Language("arabic", ("كان الفيلم جيدا جدا", "لم يعجبني الكتاب"), ("cp1256", "iso8859-6")),
    Language("thai", ("หนังเรื่องนี้สนุกมาก", "หนังสือน่าเบื่อ"), ("cp874",)),
    Language(
        "japanese",
        ("今日の試合は二対一で勝ちました", "映画はとても面白かった", "本は退屈だった"),
        ("shift_jis", "euc_jp", "iso2022_jp"),
    ),
    Language(
        "chinese",
        ("今天的比赛以二比一获胜", "电影非常好看", "这本书很无聊"),
        ("gb18030", "gbk", "utf-16"),
    ),
    Language("taiwanese", ("電影非常好看", "這本書很無聊,不推薦"), ("big5",)),
    Language("korean", ("영화가 정말 재미있었어요", "책이 지루했다"), ("cp949",)),
)


def _language(id: str) -> Language:
    return next(language for language in LANGUAGES if language.id == id)


def _rows(language: Language, each: int = 8) -> Rows:
    return tuple[Row, ...](
        (("pos", "neg")[number % 2], f"{sentence} {number}")
        for number, sentence in enumerate(language.sentences * each * 2)
    )


def _languages() -> list[Case]:
    cases = []
    for language in LANGUAGES:
        for encoding in language.encodings:
            rows = _rows(language)
            exact = Exact(rows)
            ask = Ask(("encoding",), ((Overrides(encoding=encoding), rows),))
            cases.append(
                Case(
                    f"encoding-{language.id}-{encoding}",
                    KIND,
                    delimited(rows, encoding=encoding),
                    (exact, ask),
                    report=language.report,
                )
            )
    return cases


def _unicode() -> list[Case]:
    rows = mixed((("pos", "naïve café 🙂"), ("neg", "日本語 и русский")))
    plain = films()
    report = "SORMAS-Foundation/SORMAS-Project#3747"
    cases = [
        Case(
            f"encoding-{name}",
            KIND,
            delimited(rows, encoding=encoding),
            (Exact(rows),),
            report=report if name == "utf-8-bom" else "",
        )
        for name, encoding in (("utf-8", "utf-8"), ("utf-8-bom", "utf-8-sig"), ("utf-16", "utf-16"))
    ]
    for name, encoding in (("le", "utf-16-le"), ("be", "utf-16-be")):
        build = delimited(rows, encoding=encoding)
        mark = "\ufeff".encode(encoding)
        cases += [
            Case(f"encoding-utf-16-{name}", KIND, build, (Exact(rows),), note="no byte order mark"),
            Case(
                f"encoding-utf-16-{name}-bom",
                KIND,
                changed(build, lambda data, mark=mark: mark + data),  # type: ignore[misc]
                (Exact(rows),),
            ),
        ]
    return [
        *cases,
        Case(
            "encoding-utf-16-tsv-of-excel",
            KIND,
            delimited(rows, "a.txt", "\t", "utf-16", "\r\n"),
            (Exact(rows),),
            note="Excel: save as Unicode text",
        ),
        Case("encoding-utf-32", KIND, delimited(rows, encoding="utf-32"), (Exact(rows),)),
        Case(
            "encoding-utf-16-ascii-only",
            KIND,
            delimited(plain, encoding="utf-16-le"),
            (Exact(plain),),
            report="wireservice/csvkit#927",
        ),
        Case(
            "encoding-bom-twice",
            KIND,
            changed(delimited(plain, encoding="utf-8-sig"), lambda data: b"\xef\xbb\xbf" + data),
            (Exact(plain),),
        ),
        Case(
            "encoding-bom-jsonl",
            KIND,
            lines(_json(rows), "a.jsonl", "utf-8-sig"),
            (Exact(rows),),
            report="bids-standard/legacy-validator#857",
        ),
        Case(
            "encoding-utf-16-jsonl", KIND, lines(_json(rows), "a.jsonl", "utf-16"), (Exact(rows),)
        ),
        Case(
            "encoding-cp1252-jsonl",
            KIND,
            lines(_json(mixed((("pos", "naïve café"),))), "a.jsonl", "cp1252"),
            (Exact(mixed((("pos", "naïve café"),))),),
            report="bids-standard/legacy-validator#857",
        ),
    ]


def _json(rows: Rows) -> list[str]:
    return [json.dumps({"text": text, "label": label}, ensure_ascii=False) for label, text in rows]


def _few_accents() -> list[Case]:
    """One word decides, somewhere in the file."""
    cases = []
    for name, at, total in (("first", 0, 12), ("last", -1, 15), ("after-100-kb", -1, 2200)):
        rows = list(films(total))
        label, _ = rows[at]
        rows[at] = (label, "A naïve plot, but a lovely café scene.")
        cases.append(
            Case(
                f"encoding-one-accent-{name}",
                KIND,
                delimited(tuple(rows), encoding="cp1252"),
                (Exact(tuple(rows)),),
                report="jawah/charset_normalizer#477",
            )
        )
    letters = {"danish": "ø", "german": "ü", "spanish": "ñ", "euro": "€", "apostrophe": "’"}
    for name, letter in letters.items():
        rows_of = mixed((("pos", f"one {letter} here"),))
        cases.append(
            Case(
                f"encoding-one-letter-{name}",
                KIND,
                delimited(rows_of, encoding="cp1252"),
                (Exact(rows_of), Ask(("encoding",), ((Overrides(encoding="cp1252"), rows_of),))),
                report="jawah/charset_normalizer#130",
                note="Windows-1252 is the default for 8-bit Western text",
            )
        )
    return cases


def _broken() -> list[Case]:
    rows = mixed((("pos", "naïve café"),))

    def with_bytes(old: bytes, new: bytes) -> Builder:
        return changed(delimited(rows), lambda data: data.replace(old, new))

    damaged = Exact(mixed((("pos", "na\ufffdve café"),)), mentions=("decode",))
    mixed_case = Case(
        "encoding-one-byte-is-not-utf-8",
        KIND,
        changed(
            lines(["text,label", *csv_lines(films()), "naïve café,pos", "日本語,neg"]),
            lambda data: data.replace("ï".encode(), b"\xef"),
        ),
        (
            Exact((*films(), ("pos", "na\ufffdve café"), ("neg", "日本語")), mentions=("decode",)),
            Refused(("utf-8", "line 26")),
        ),
        note="UTF-8 with one foreign byte: said with its line, never read as a code page",
    )
    return [
        mixed_case,
        Case(
            "encoding-named",
            KIND,
            delimited(_rows(_language("polish")), encoding="cp1250"),
            (Exact(_rows(_language("polish"))),),
            options=Overrides(encoding="cp1250"),
        ),
        Case(
            "encoding-named-wrongly",
            KIND,
            delimited(rows, encoding="cp1252"),
            (Refused(("utf-8",)),),
            options=Overrides(encoding="utf-8"),
        ),
        Case(
            "encoding-mac-roman",
            KIND,
            delimited(_rows(_language("french")), encoding="mac_roman"),
            (
                Exact(_rows(_language("french"))),
                Ask(
                    ("encoding",), ((Overrides(encoding="mac_roman"), _rows(_language("french"))),)
                ),
            ),
            note="old Excel for Mac; only the words distinguish it from Windows-1252",
        ),
        Case(
            "encoding-cp437",
            KIND,
            delimited(_rows(_language("german")), encoding="cp437"),
            (
                Exact(_rows(_language("german"))),
                Ask(("encoding",), ((Overrides(encoding="cp437"), _rows(_language("german"))),)),
            ),
            note="DOS",
        ),
        Case(
            "encoding-cut-in-a-character",
            KIND,
            changed(
                lines(["text,label", *csv_lines(films()), "日本,neg", "語,pos"]),
                lambda data: data[:-7],
            ),
            (
                Refused(("utf-8",)),
                Exact((*films(), ("neg", "日本")), mentions=("decode",)),
                Exact((*films(), ("neg", "日本")), (LeftOut("", (27,)),)),
            ),
        ),
        Case(
            "encoding-cp1252-byte-in-utf-8",
            KIND,
            with_bytes("ï".encode(), b"\xef"),
            (damaged, Refused(("utf-8", "line 6"))),
            note="as encoding-one-byte-is-not-utf-8",
        ),
    ]


CASES = [*_languages(), *_unicode(), *_few_accents(), *_broken()]
