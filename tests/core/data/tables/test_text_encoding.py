import io

import pytest

from core.data.tables.text_encoding import find_text_encoding
from core.errors import DataError


def find(text: str, encoding: str) -> str:
    return find_text_encoding("a.csv", io.BytesIO(text.encode(encoding))).name


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Perché non è più così? Città e virtù", "cp1252"),
        ("Hän söi äidin tekemää piirakkaa", "cp1252"),
        ("Temperature is 20°C, 5 m³ and 50 µm ±3", "cp1252"),
        ("J’ai payé 5 € – “très” déçu", "cp1252"),
        ("To jest bardzo zły i długi film, więc nie polecam", "cp1250"),
        ("Kargo hızlıydı, teşekkürler", "cp1254"),
        ("Очень плохо, не советую", "cp1251"),
        ("Очень плохо, не советую", "koi8_r"),
        ("Очень плохо, не советую", "cp866"),
        ("Очень плохо, не советую", "iso8859-5"),
        ("Очень плохо, не советую ящик", "mac_cyrillic"),
        ("ОЧЕНЬ ПЛОХО, НЕ СОВЕТУЮ", "cp1251"),
        ("ОЧЕНЬ ПЛОХО, НЕ СОВЕТУЮ", "koi8_r"),
        ("Поганий фільм, її не раджу", "koi8_u"),
        ("Źle zagrane, okropność", "cp1250"),
        ("Źle zagrane, okropność", "iso8859-2"),
        ("Źle zagrane, okropność", "cp852"),
        ("Szűk cipő, rossz időpont", "cp1250"),
        ("Příliš žluťoučký kůň", "iso8859-2"),
        ("Îmi place mult această carte, mulţumesc", "cp1250"),
        ("Ačiū už puikų filmą, žiūrėsiu", "cp1257"),
        ("Mulle meeldib šokolaad, õhtul žanr", "cp1257"),
        ("DiêÞn viên ðóng tuyêòt võÌi".encode("cp1252").decode("cp1258"), "cp1258"),
        ("Für Größe und Übung schön", "cp850"),
        ("فيلم رائع أنصح به الجميع", "iso8859-6"),
        ("Πολύ καλό προϊόν", "cp1253"),
        ("מוצר מצוין, ממליץ בחום", "cp1255"),
        ("商品はとても良かったです", "cp932"),
        ("商品很好，快递很快", "gb18030"),
        ("好评", "gb18030"),
        ("배송이 빨라요 추천합니다", "cp949"),
    ],
)
def test_one_sentence_is_enough(text: str, encoding: str) -> None:
    name = find(f"text,label\n{text},pos\nplain,neg\n", encoding)

    assert text.encode(encoding).decode(name) == text


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("utf-16", "utf-16"), ("utf-32", "utf-32")],
)
def test_unicode_is_recognized_by_rule(encoding: str, name: str) -> None:
    assert find("text,label\nnaïve café 日本,pos\n", encoding) == name


@pytest.mark.parametrize("word", ["Größe", "ação", "naïve", "it’s", "Größe, ação", "Não"])
def test_one_western_word_is_enough(word: str) -> None:
    assert find(f"text,label\na {word} of it,pos\nanother one,neg\n", "cp1252") == "cp1252"


def test_words_that_differ_are_shown_for_another_encoding() -> None:
    data = io.BytesIO("text,label\nÁrvíztűrő,pos\n".encode("cp1250"))

    choice = find_text_encoding("a.csv", data)

    assert choice.name == "cp1250"
    assert ("cp1252", (("Árvíztűrő", "Árvíztûrõ"),)) in choice.alternatives


def test_a_damaged_byte_of_utf_8_is_refused_with_its_line() -> None:
    data = "text,label\n日本語,pos\n".encode() + b"na\xefve,neg\n"

    with pytest.raises(DataError, match="a.csv, line 3: a byte is not UTF-8"):
        find_text_encoding("a.csv", io.BytesIO(data))
