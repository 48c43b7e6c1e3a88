"""Detect the encoding of a text file from all of its bytes.

Byte order marks, UTF-16 and UTF-8 are recognized by rule. Of the 8-bit encodings, Windows-1252 is
the default for Latin letters, unless its letters would be interrupted by symbols; for other scripts
charset-normalizer recognizes those of several bytes per character, and frequent
letters the others.
"""

import codecs
import re
from collections.abc import Iterable
from typing import IO

from charset_normalizer import from_bytes

from core.data.tables.read_report import EncodingChoice
from core.errors import DataError

CHUNK_BYTES = 1 << 20
EVIDENCE_BYTES = 65_536  # of lines that hold bytes beyond ASCII
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LATIN = ("cp1252", "iso8859-15", "cp1250", "cp1254", "cp437", "mac_roman")  # in order of preference
ENCODINGS = {  # name in Python: name on screen
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16 (little-endian)",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32": "UTF-32",
    "cp1252": "Western European (Windows-1252)",
    "iso8859-15": "Western European (ISO 8859-15)",
    "mac_roman": "Western European (Mac)",
    "cp437": "Western European (DOS 437)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "cp874": "Thai (Windows-874)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC-JP)",
    "iso2022_jp": "Japanese (ISO-2022-JP)",
    "gb18030": "Chinese (GB 18030)",
    "big5": "Chinese (Big5)",
    "cp949": "Korean (EUC-KR)",
}
FREQUENT = {  # the commonest letters of a language, small ones, by its encoding
    "cp1251": "оеаинтсрвлкмдпуыя",
    "koi8_r": "оеаинтсрвлкмдпуыя",
    "cp1253": "αοιετσνηυρπκμλςόίάέή",
    "cp1255": "יוהלאמרתבשנםחדק",
    "cp1256": "اليمونترببدعسةفهك",
    "cp874": "านรอกเงมยลวดทสตะปบคห่้ีิ",
}
MULTIBYTE = ("cp932", "euc_jp", "gb18030", "big5", "cp949")
CZECH = "šžŠŽ"  # the same bytes in Windows-1252, where only few loan words need them
TURKISH = re.compile("[ðýþÝÞ]")  # ğışİŞ of Windows-1254, read as Windows-1252
ICELANDIC = re.compile("[áæíóúé]")
MANY = 0.4  # proportion of high bytes next to another one, from which the script is not Latin
HALF = re.compile(
    rb"\xed[\xa0-\xbf][\x80-\xbf]"
)  # a surrogate, as JavaScript and Java may write it
WITHIN_WORDS = "’‘´·"  # symbols that may stand between letters
SYMBOL_LETTERS = "³¹¼¾½¿¤"  # letters of other encodings, read as Windows-1252
UNIT = 2  # letters before a superscript: cm³
WORDS = 3  # shown for each alternative


def find_text_encoding(name: str, file: IO[bytes]) -> EncodingChoice:
    """Detect the encoding of ``file``, which is read to its end.

    Raises DataError if it is UTF-8 but for some bytes, with the line of the first.
    """
    start = file.read(CHUNK_BYTES)
    for mark, encoding in MARKS:
        if start.startswith(mark):
            return EncodingChoice(encoding)
    if wide := _find_utf16(start):
        return EncodingChoice(wide)
    evidence, fault, halves = _scan(_chunks(start, file))
    if fault is None:
        name = "iso2022_jp" if _is_iso2022(start) else "utf-8"
        return EncodingChoice(name, halves=halves)
    if _is_damaged_utf8(evidence):
        raise DataError(
            f"{name}, line {fault:,}: a byte is not UTF-8, although other characters are.",
            "Correct the line, or choose the encoding of the file.",
        )
    return _find_8bit(evidence)


def _chunks(start: bytes, file: IO[bytes]) -> Iterable[bytes]:
    while start:
        yield start
        start = file.read(CHUNK_BYTES)


def _scan(chunks: Iterable[bytes]) -> tuple[bytes, int | None, int]:
    """Return lines with bytes beyond ASCII, the line of the first fault of UTF-8, and the number of
    halves of characters, which are no fault.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    evidence: list[bytes] = []
    size, line, fault, rest, halves = 0, 1, None, b"", 0
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for content in lines:
            if not content.isascii():
                halves += len(HALF.findall(content))
                fault = fault or _find_fault(content, line)
                if size < EVIDENCE_BYTES:
                    evidence.append(content[:EVIDENCE_BYTES])
                    size += len(evidence[-1])
            line += 1
    decoder.reset()
    if not rest.isascii():
        halves += len(HALF.findall(rest))
        fault = fault or _find_fault(rest, line)
        evidence.append(rest[:EVIDENCE_BYTES])
    return b"\n".join(evidence), fault, halves


def _find_fault(content: bytes, line: int) -> int | None:
    try:
        content.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return line
    return None


def _find_utf16(sample: bytes) -> str:
    """Recognize UTF-16 without a mark: zero bytes at even or odd places, or few byte pairs."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) / 8 and min(even, odd) < max(even, odd) / 8:
        return "utf-16-le" if odd > even else "utf-16-be"
    return ""


def _is_iso2022(sample: bytes) -> bool:
    return b"\x1b$B" in sample and b"\x1b(B" in sample


def _is_damaged_utf8(evidence: bytes) -> bool:
    """Whether at least as many characters are UTF-8 as there are bytes that are not."""
    broken = evidence.decode("utf-8", "replace")
    wrong = broken.count("\ufffd")
    right = sum(character > "\x7f" for character in broken) - wrong
    return right >= wrong


def _find_8bit(evidence: bytes) -> EncodingChoice:
    words = re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", evidence)
    high = sum(byte > 0x7F for word in words for byte in word)
    pairs = sum(len(re.findall(rb"(?<=[\x80-\xff])[\x80-\xff]", word)) for word in words)
    if pairs > MANY * high:
        return EncodingChoice(_find_other_script(evidence))
    faults = {encoding: _count_faults(evidence, encoding) for encoding in LATIN}
    best = min(LATIN, key=lambda encoding: faults[encoding])
    if best == "cp1252":
        best = _correct_western(evidence.decode("cp1252", "replace"))
    return EncodingChoice(best, tuple(_alternatives(evidence, best, faults)))


def _find_other_script(evidence: bytes) -> str:
    candidates = [*FREQUENT, *MULTIBYTE]
    best = from_bytes(evidence, cp_isolation=candidates).best()
    likely = {best.encoding, *best.could_be_from_charset} if best else set()
    for encoding in MULTIBYTE:
        if encoding in likely and _fits(evidence, encoding):
            return encoding
    fitting = [encoding for encoding in FREQUENT if _fits(evidence, encoding)] or FREQUENT
    return max(fitting, key=lambda encoding: _share_of_frequent(evidence, encoding))


def _share_of_frequent(evidence: bytes, encoding: str) -> float:
    """Return the proportion of frequent small letters among the characters beyond ASCII."""
    high = [character for character in evidence.decode(encoding, "replace") if character > "\x7f"]
    return sum(character in FREQUENT[encoding] for character in high) / max(1, len(high))


def _fits(evidence: bytes, encoding: str) -> bool:
    try:
        evidence.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _count_faults(evidence: bytes, encoding: str) -> int:
    """Count symbols within words, capitals after small letters, and bytes without a character."""
    text = evidence.decode(encoding, "replace")
    faults = 2 * text.count("\ufffd") + text.count("¤")
    for match in re.finditer(r"[^\x00-\x7f]", text):
        before, character = text[max(0, match.start() - UNIT - 1) : match.start()], match.group()
        after = text[match.end() : match.end() + 1]
        if before[-1:].isalpha() and after.isalpha():
            symbol = not character.isalpha() and character not in WITHIN_WORDS
            faults += symbol or (character.isupper() and before[-1:].islower() and after.islower())
        elif character in SYMBOL_LETTERS:
            faults += len(before) > UNIT and before.isalpha() and not after.isalpha()
    return faults


def _correct_western(text: str) -> str:
    """Choose a neighbor of Windows-1252 whose letters explain the text better."""
    high = [character for character in text if character > "\x7f"]
    if sum(character in CZECH for character in high) * 20 >= len(high):
        return "cp1250"
    if TURKISH.search(text) and not ICELANDIC.search(text):
        return "cp1254"
    return "cp1252"


def _alternatives(
    evidence: bytes, best: str, faults: dict[str, int]
) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield encodings with as few faults, each with the words that differ."""
    words = sorted(set(re.findall(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*", evidence)))
    for encoding in LATIN:
        if encoding != best and faults[encoding] <= faults[best]:
            different = [
                word.decode(encoding, "replace")
                for word in words
                if word.decode(encoding, "replace") != word.decode(best, "replace")
            ]
            if different:
                yield encoding, tuple(different[:WORDS])
