"""Names of people: unique in a class also to the eye, and none that belongs to a teacher.

Names are compared without case, spaces, punctuation, invisible characters and accents, and with
characters that look alike replaced (Unicode Technical Standard 39 calls this a skeleton).
"""

import re
import unicodedata
from functools import lru_cache

from core.access import LONGEST_NAME, Role, Visitor, sanitize_name
from core.errors import NotAllowed
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.store import Store

MOST_MARKS = 2  # in a row: Thai and Vietnamese need two, a column of marks covers other lines
INVISIBLE = re.compile("[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
ACCENTS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
DIGIT = re.compile(r"\d")
MARKS = ("Mn", "Me")

# pairs of a run of characters and the Latin letters that they look like, before case is ignored
ALIKE = (
    ("АВЕЅЗНІЈКМОРСТУХԚԜѴЬӀҒ", "ABES3HIJKMOPCTYXQWVbIF"),  # Cyrillic
    ("асԁеһіјӏорԛѕуѵѡхьпгкмтвн", "acdehijlopqsyvwxbnrkmtbh"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ABEZHIKMNOPTYXC"),  # Greek
    ("αβγεηικνορτυχωϲϳ", "abyenikvoptuxwcj"),
    ("ՕՏՍԼօոսցհլզքայռ", "OSULonughlqpwjn"),  # Armenian
    ("ᎪᏴᏟᎠᎬᏀᎻᎥᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃ", "ABCDEGHiJKLMPRSTVWZ"),  # Cherokee
    ("ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ", "BPDTGKJCZFMNLSRVHWXYAEIOU"),  # Lisu
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),  # Latin
    ("ıɑɡɩƚłøđħŧðŁØĐĦŦ", "iagillodhtdLODHT"),
)
LETTERS_A = (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)  # squared, circled and regional A to Z
LOOK_ALIKE = {
    **{
        ord(mark): letter
        for marks, letters in ALIKE
        for mark, letter in zip(marks, letters, strict=True)
    },
    **{first + number: chr(65 + number) for first in LETTERS_A for number in range(26)},
}
STROKES = str.maketrans("I1|0", "lllo")
# of those who write letters as digits: only for reserved words
DIGITS = str.maketrans("0134578@$€!|i", "oleastbaselll")

TITLES = frozenset({"mr", "mrs", "ms", "miss", "mister", "frau", "herr", "sr", "sra", "señor"})
# anywhere in a name: roles of those who lead a class, and the product
ROLES = (
    *("teacher", "admin", "administrator", "professor", "prof", "instructor", "lecturer"),
    *("moderator", "tutor", "lora lab"),
    *("lehrer", "lehrerin", "lehrkraft", "professorin", "dozent", "dozentin", "tutorin"),
    *("administratorin", "kursleiter", "kursleitung", "klassenleitung"),
    *("profesor", "profesora", "profe", "maestro", "maestra", "docente", "tutora"),
    *("administrador", "administradora", "moderador", "moderadora"),
)
# as a whole name: words of the pages, and other owners of a server
WHOLE = (
    *("owner", "guest", "host", "root", "system", "server", "support", "staff", "operator"),
    *("you", "me", "everyone", "all", "anonymous", "untrained", "class", "student"),
    *("besitzer", "eigentümer", "gast", "leitung", "alle", "niemand", "klasse", "schüler"),
    *("dueño", "propietario", "invitado", "invitada", "todos", "nadie", "clase", "estudiante"),
)
SHORTEST_PART = 6  # letters of a role that is recognized inside a longer word


def tidy_name(text: str) -> str:
    """Return the name as it is stored: one line, composed characters (NFC), nothing invisible."""
    visible = SELECTORS.sub("", INVISIBLE.sub("", sanitize_name(text, 2 * LONGEST_NAME)))
    letters, marks = list[str](), 0
    for letter in unicodedata.normalize("NFC", visible):
        marks = marks + 1 if unicodedata.category(letter) in MARKS else 0
        if marks <= MOST_MARKS:
            letters.append(letter)
    return " ".join("".join(letters)[:LONGEST_NAME].split())


@lru_cache(maxsize=4096)
def make_skeletons(name: str) -> frozenset[str]:
    """Return the forms under which a name is compared; names that share one look alike."""
    latin = _to_latin(name)
    words = [word for word in re.split(r"[\W_]+", latin.casefold()) if word]
    untitled = latin
    if len(words) > 1 and words[0] in TITLES:
        untitled = latin[latin.casefold().find(words[0]) + len(words[0]) :]
    strokes = untitled.translate(STROKES).casefold().replace("rn", "m").replace("vv", "w")
    forms = {_squash(untitled.casefold()), _squash(strokes), _squash(latin.casefold())}
    return frozenset(forms - {""}) or frozenset({latin})


def is_reserved(name: str) -> bool:
    """Return whether the name is, or contains, a role of a teacher or the product's name."""
    latin = _to_latin(name)
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", latin)  # TeacherGrace
    words = [word for word in re.split(r"[\W_]+", parts) if word]
    whole = {_fold(latin), _fold(DIGIT.sub("", latin))}
    forms = {_fold(word) for word in words} | {_fold(DIGIT.sub("", word)) for word in words} | whole
    roles = {_fold(role) for role in ROLES}
    return bool(
        forms & roles
        or any(make_skeletons(name) & make_skeletons(word) for word in WHOLE)
        or any(role in form for role in roles if len(role) >= SHORTEST_PART for form in whole)
    )


def find_namesake(store: Store, name: str, besides: Visitor | None = None) -> Visitor | None:
    """Return a person other than ``besides`` whose name looks like this one.

    A blocked one counts, too.
    """
    skeletons, excluded = make_skeletons(name), besides.id if besides else ""
    for visitor, standing, *_ in accounts.list_standings(store):
        is_other = standing is not Standing.REMOVED and visitor.id != excluded
        if is_other and skeletons & make_skeletons(visitor.name):
            return visitor
    return None


def require_name(text: str, role: Role) -> str:
    """Return the name as it is stored. Raises NotAllowed for an empty or a reserved one.

    Teachers may have a reserved one.
    """
    if not (name := tidy_name(text)):
        raise NotAllowed("A name is missing.", "Type a name that your class knows.")
    if role is not Role.TEACHER and is_reserved(name):
        raise NotAllowed(
            "The name {name} is reserved: it reads like a teacher or a part of this page.",
            "Type the name by which your class knows you, for example with initials.",
            name=name,
        )
    return name


def make_distinct(store: Store, visitor: Visitor) -> str:
    """Return the visitor's name, with the end of their id if it is reserved or another person's.

    For people whose name a sign-in provider states.
    """
    name = tidy_name(visitor.name) or "Student"
    is_known = find_namesake(store, name, visitor) is not None
    if not is_known and (visitor.role is Role.TEACHER or not is_reserved(name)):
        return name
    return f"{name[: LONGEST_NAME - 7]} ({visitor.id[-4:]})"


def _to_latin(name: str) -> str:
    """Return the name with Latin letters instead of those that look like them."""
    visible = SELECTORS.sub("", INVISIBLE.sub("", name))
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", visible))
    return plain.translate(LOOK_ALIKE)


def _squash(text: str) -> str:
    """Return the letters, digits and symbols of the text."""
    return "".join(sign for sign in text if unicodedata.category(sign)[0] in "LNSM")


def _fold(text: str) -> str:
    """Return the letters of the text, with digits read as letters, for reserved words."""
    letters = unicodedata.normalize("NFKD", text.casefold()).translate(DIGITS)
    return "".join(letter for letter in letters if letter.isalpha())
