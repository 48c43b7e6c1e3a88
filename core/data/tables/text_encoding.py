"""Detect the encoding of a text file from all of its bytes.

Byte order marks, UTF-16 and UTF-8 are recognized by rule. Of the 8-bit encodings, Windows-1252 is
the default for Latin letters, unless its letters would be interrupted by symbols, or only another
encoding gives the letters of one language. For other scripts charset-normalizer recognizes those of
several bytes per character, and frequent characters choose among them and among the others.
"""

import codecs
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import IO

from charset_normalizer import from_bytes

from core.data.tables.read_report import EncodingChoice, WordPairs
from core.errors import DataError

CHUNK_BYTES = 1 << 20
EVIDENCE_BYTES = 65_536  # of lines that hold bytes beyond ASCII
LANGUAGE_BYTES = 16_384  # of these, from which the language is decided
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LATIN = ("cp1252", "iso8859-15", "cp1250", "cp1254", "cp437", "mac_roman")  # in order of preference
WESTERN = (  # letters of a language beyond ASCII: French, Spanish, Portuguese, Italian, ...
    ("àâæçéèêëîïôùûüÿœ", "áéíñóúü", "áàâãçéêíóôõúü", "àèéìîòóù", "áàäçèéêëíïñóöúü")
    + ("åäöé", "åæøéêèòóôü", "áðéíóúýþæö", "äõöüšž")  # Swedish, Danish, Icelandic, Estonian
)
CENTRAL = (  # Polish, Czech, Slovak, Hungarian, Croatian, Romanian
    ("ąćęłńóśźż", "áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "áéíóöőúüű", "čćđšž", "ăâîşţ")
)
LANGUAGES = {  # for the two usual Western encodings, also names of several languages in one text
    **dict.fromkeys(("cp1252", "iso8859-15"), (*WESTERN, "äöüßàâæçéèêëîïôùœáíñóúåøãìò")),
    **dict.fromkeys(("cp850", "cp437", "mac_roman"), WESTERN),
    **dict.fromkeys(("cp1250", "iso8859-2", "cp852"), CENTRAL),
    "cp1254": ("âçğıi̇îöşüû",),
    "cp1257": ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"),
    "cp1258": ("àáâãèéêìíòóôõùúýăđĩũơư\u0300\u0301\u0303\u0309\u0323",),
}
SYMBOLS = bytes(range(0x80, 0x100)).decode("cp1252", "ignore")
EXPLAINED = 0.95  # proportion of characters beyond ASCII that a language must explain
BEFORE_WORDS = "¿¡«»“‘„‚‹”’›€£§…—–-•\xa0"  # symbols that may precede a letter
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
    "cp850": "Western European (DOS 850)",
    "cp1250": "Central European (Windows-1250)",
    "iso8859-2": "Central European (ISO 8859-2)",
    "cp852": "Central European (DOS 852)",
    "cp1257": "Baltic (Windows-1257)",
    "cp1258": "Vietnamese (Windows-1258)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "koi8_u": "Ukrainian (KOI8-U)",
    "cp866": "Cyrillic (DOS 866)",
    "iso8859-5": "Cyrillic (ISO 8859-5)",
    "mac_cyrillic": "Cyrillic (Mac)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "iso8859-6": "Arabic (ISO 8859-6)",
    "cp874": "Thai (Windows-874)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC-JP)",
    "iso2022_jp": "Japanese (ISO-2022-JP)",
    "gb18030": "Chinese (GB 18030)",
    "big5": "Chinese (Big5)",
    "big5hkscs": "Chinese (Big5 with Hong Kong characters)",
    "cp949": "Korean (EUC-KR)",
    "johab": "Korean (Johab)",
}
CYRILLIC = "оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъёіїєґјљњћђџў"
ARABIC = "اليمونتربدعسةفهكحجقىأصشضخذطغزثظئءإؤآپچژگ"
FREQUENT = {  # letters of a script, small ones, in the order of their frequency
    **dict.fromkeys(("cp1251", "koi8_r", "koi8_u", "cp866", "iso8859-5", "mac_cyrillic"), CYRILLIC),
    "cp1253": "αοιετσνηυρπκμλςόίάέήωδγύώχθφβξζψϊϋΐΰ",
    "cp1255": "יוהלאמרתבשנםחדקפגטכצזסעןךץף",
    "cp1256": ARABIC,
    "iso8859-6": ARABIC,
    "cp874": "านรอกเงมยลวดทสตะปบคห่้ีิัแไ็ูุโใึืชพผฟซขจณธถ์ศฐญษภ",
    "cp932": "ﾞﾝｲｰｶｽﾄﾀﾉｼﾃﾙｯﾅﾗｸｺﾘﾆﾊｷﾏｻﾓｴｵﾚｱｳﾂﾁﾐﾖｮｬﾔﾌﾛﾜﾒｭｹﾈﾎﾍﾑｾｿﾕﾇﾋﾟｦ",  # half-width
}
FINAL = "ךםןףץ"  # letters that only end words
HALVED = 8  # place in this order at which a letter is half as frequent as the first
RATE = -4.5  # from which the letters are those of a script
FEW_BYTES = 24  # of different words, up to which characters decide little
NEAR = 10  # difference of log-likelihoods up to which either encoding is plausible
UNLIKELY = 1e-4  # probability of other letters, and of a capital after a small letter
MULTIBYTE = ("cp932", "euc_jp", "gb18030", "big5", "cp949", "big5hkscs", "johab")
COMMON_SHARE = 0.3  # from which a text is Chinese, Japanese or Korean
COMMON = re.compile(  # kana, then frequent characters of Chinese and Korean
    "[\u3041-\u30fa"
    "的一是不了在人有我他这個个们們中来來上大为為和国國地到以说說时時要就出会會可也你对對生能而子那得于於着著下自之年"
    "过過发發后後作用道所然家种種事成方多经經么麼去法学學如都同现現当當没沒动動面起看定天分还還进進好小部其些主样樣理"
    "心本前开開但因只从從想实實很最非常推荐薦电電影喜欢歡差太评評"
    "이다는을의에가고하지한기사은로도를어인서시자들해리아나정일그대보라만과으전수게스요있구여와장부제공유소동조상원주안되"
    "없것었좋말같합니음했선면생영화내너무재미네던진짜습최]"
)
CZECH = "šžŠŽ"  # the same bytes in Windows-1252, where only few loan words need them
TURKISH = re.compile("[ðýþÝÞ]")  # ğışİŞ of Windows-1254, read as Windows-1252
ICELANDIC = re.compile("[áæíóúé]")
MANY = 0.4  # proportion of high bytes next to another one, from which the script is not Latin
JAVA_NUL = b"\xc0\x80"  # as Java writes U+0000 in its form of UTF-8
JAVA_UTF8 = "java-utf-8"  # the handler of errors that decodes this form
# a surrogate, as JavaScript and Java may write it
HALF = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
FEW = 0.5  # ASCII letters for each high byte in its word, from which the script is Latin
WITHIN_WORDS = "’‘´·"  # symbols that may stand between letters
UNUSED = re.compile("[\x80-\x9f\ufffd]")  # no characters of a text
OPENING = "„‚"  # quotes, which precede words
SYMBOL_LETTERS = "³¹¼¾½¿¤"  # letters of other encodings, read as Windows-1252
UNIT = 2  # letters before a superscript: cm³
WORDS = 3  # shown for each alternative
WORD = rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*"


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
        encoding = "iso2022_jp" if _is_iso2022(start) else "utf-8"
        return EncodingChoice(encoding, halves=halves)
    if _is_damaged_utf8(evidence):
        raise DataError(
            f"{name}, line {fault:,}: a byte is not UTF-8, although other characters are.",
            f"Correct the line, or choose the encoding of the file{_suggest(evidence)}.",
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
    if not rest.isascii():
        halves += len(HALF.findall(rest))
        fault = fault or _find_fault(rest, line)
        evidence.append(rest[:EVIDENCE_BYTES])
    return b"\n".join(evidence), fault, halves


def _find_fault(content: bytes, line: int) -> int | None:
    try:
        content.decode(errors=JAVA_UTF8)
    except UnicodeDecodeError:
        return line
    return None


def _decode_java(error: UnicodeError) -> tuple[str | bytes, int]:
    """Decode a NUL character or a surrogate as Java writes it; raise any other error."""
    if isinstance(error, UnicodeDecodeError) and error.object[error.start :][:2] == JAVA_NUL:
        return "\0", error.start + 2
    return codecs.lookup_error("surrogatepass")(error)


codecs.register_error(JAVA_UTF8, _decode_java)


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


def _suggest(evidence: bytes) -> str:
    """Name the likeliest encoding of 8 bits, and words as it reads them."""
    encoding = _find_8bit(evidence).name
    words = re.findall(WORD, evidence)[:WORDS]
    listed = ", ".join(repr(word.decode(encoding, "replace")) for word in words)
    return f"; {encoding} gives {listed}"


def _find_8bit(evidence: bytes) -> EncodingChoice:
    words = re.findall(WORD, evidence)
    high = sum(byte > 0x7F for word in words for byte in word)
    pairs = sum(len(re.findall(rb"(?<=[\x80-\xff])[\x80-\xff]", word)) for word in words)
    faults = {encoding: _count_faults(evidence, encoding) for encoding in LATIN}
    best = min(LATIN, key=lambda encoding: faults[encoding])
    if best == "cp1252":
        best = _correct_western(evidence.decode("cp1252", "replace"))
    sample = evidence[:LANGUAGE_BYTES]
    shares = {encoding: _share_of_language(sample, encoding) for encoding in LANGUAGES}
    only = max(LANGUAGES, key=lambda encoding: (shares[encoding], encoding == best))
    is_explained = shares[only] >= EXPLAINED
    ascii_letters = sum(byte <= 0x7F for word in words for byte in word)
    is_few = _count_distinct(evidence) < FEW_BYTES
    if pairs > MANY * high and not (is_explained and ascii_letters > FEW * high):
        script, *similar = _find_other_script(evidence)
        similar += [best, *(item for item in LANGUAGES if shares[item] >= EXPLAINED)] * is_few
        return EncodingChoice(script, _compare(evidence, script, similar))
    scripts = _find_other_script(evidence) if is_few and ascii_letters <= FEW * high else []
    if is_explained and shares[only] > shares[best]:
        equal = [item for item in LANGUAGES if shares[item] == shares[only]]
        return EncodingChoice(only, _compare(evidence, only, [best, *equal, *scripts]))
    equal = [item for item in LATIN if faults[item] <= faults[best]]
    return EncodingChoice(best, _compare(evidence, best, [*equal, *scripts]))


def _count_distinct(evidence: bytes) -> int:
    """Return the number of bytes beyond ASCII in different words."""
    return len(b"".join(set(re.findall(rb"[\x80-\xff]+", evidence))))


def _share_of_language(evidence: bytes, encoding: str) -> float:
    """Return the proportion of characters beyond ASCII that one language explains: its letters,
    and symbols at places where texts have them.
    """
    text = evidence.decode(encoding, "replace")
    high = list(re.finditer(r"[^\x00-\x7f]", text))
    letters: Counter[str] = Counter()
    symbols = 0
    for match in high:
        character = match.group()
        before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
        if character.isalpha() or unicodedata.combining(character):
            letters[character.lower()] += not (before.islower() and character.isupper())
        elif character in SYMBOLS:
            inside = before.isalpha() and after.isalpha()
            symbols += character in (WITHIN_WORDS if inside else BEFORE_WORDS) or not (
                after.isalpha() or (before.isalpha() and character in SYMBOL_LETTERS)
            )
    return max(
        (symbols + sum(letters[letter] for letter in set(language))) / max(1, len(high))
        for language in LANGUAGES[encoding]
    )


def _find_other_script(evidence: bytes) -> list[str]:
    """Return the likeliest encoding, then those whose letters are about as likely."""
    best = from_bytes(evidence, cp_isolation=[*FREQUENT, *MULTIBYTE]).best()
    likely = {best.encoding, *best.could_be_from_charset} if best else set()
    size = _count_distinct(evidence)
    # nearly any few bytes are Johab, which few people use
    candidates = MULTIBYTE if size >= FEW_BYTES else MULTIBYTE[:-1]
    fitting = [encoding for encoding in candidates if _fits(evidence, encoding)]
    rates = {item: _rate_letters(evidence, item) for item in FREQUENT if _fits(evidence, item)}
    alphabet = max(rates, key=lambda item: rates[item], default="cp1251")
    wide = max(
        fitting, key=lambda item: (_share_of_common(evidence, item), item in likely), default=""
    )
    least = rates.get(alphabet, 0) - NEAR / max(1, size)
    near = sorted((item for item in rates if rates[item] > least), key=lambda item: -rates[item])
    common = [item for item in fitting if size < FEW_BYTES and _is_word(evidence, item)]
    if not wide or (
        _share_of_common(evidence, wide) < COMMON_SHARE
        and (rates.get(alphabet, -math.inf) > RATE or not likely & set(fitting))
    ):
        return [alphabet, *near, *common]
    return [wide, *common, *near] if size < FEW_BYTES else [wide]


def _is_word(evidence: bytes, encoding: str) -> bool:
    """Whether all characters beyond ASCII are letters."""
    return all(character.isalpha() for character in evidence.decode(encoding) if character > "\x7f")


def _share_of_common(evidence: bytes, encoding: str) -> float:
    """Return the proportion of frequent characters among those beyond ASCII."""
    text = evidence.decode(encoding)
    return len(COMMON.findall(text)) / max(1, sum(character > "\x7f" for character in text))


def _rate_letters(evidence: bytes, encoding: str) -> float:
    """Return the mean logarithm of the probability of the letters beyond ASCII."""
    weights = {letter: 1 / (HALVED + place) for place, letter in enumerate(FREQUENT[encoding])}
    total = sum(weights.values())
    text = evidence.decode(encoding, "replace")
    rates = []
    for before, character in pairwise(f" {text}"):
        if character > "\x7f":
            is_inside = (before.islower() and character.isupper()) or before in FINAL
            weight = 0 if is_inside else weights.get(character.lower(), 0)
            rates.append(math.log(weight / total or UNLIKELY))
    return sum(rates) / max(1, len(rates))


def _fits(evidence: bytes, encoding: str) -> bool:
    try:
        evidence.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _count_faults(evidence: bytes, encoding: str) -> int:
    """Count symbols within words, capitals after small letters, and bytes without a character."""
    text = evidence.decode(encoding, "replace")
    faults = 2 * len(UNUSED.findall(text)) + text.count("¤")
    for match in re.finditer(r"[^\x00-\x7f]", text):
        before, character = text[max(0, match.start() - UNIT - 1) : match.start()], match.group()
        after = text[match.end() : match.end() + 1]
        if before[-1:].isalpha() and after.isalpha():
            symbol = not character.isalpha() and character not in WITHIN_WORDS
            faults += symbol or (character.isupper() and before[-1:].islower() and after.islower())
        elif before[-1:].islower() and (character.isupper() or character in OPENING):
            faults += 1
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


def _compare(
    evidence: bytes, best: str, others: Iterable[str]
) -> tuple[tuple[str, WordPairs], ...]:
    """Return other encodings, each with pairs of words that differ from those of the others."""
    alternatives: dict[WordPairs, str] = {}
    words = sorted(set(re.findall(WORD, evidence)))
    for encoding in dict.fromkeys(others):
        pairs = [(word.decode(best, "replace"), word.decode(encoding, "replace")) for word in words]
        if different := [pair for pair in pairs if pair[0] != pair[1]]:
            alternatives.setdefault(tuple(different[:WORDS]), encoding)
    return tuple((encoding, words) for words, encoding in alternatives.items())
