from concurrent.futures import ThreadPoolExecutor

import pytest

from core.access import Role, Visitor
from core.errors import NameKnown, NotAllowed
from core.people.classroom import JOINING_LOCK, join, sign_in
from core.people.names import (
    find_namesake,
    is_reserved,
    make_skeletons,
    require_name,
    tidy_name,
)
from core.settings import Settings
from core.storage import accounts
from core.storage.locks import hold_lock
from core.storage.store import Store

INVISIBLE = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200d\u202e\u2060\u2066\u2800\u3164"
INVISIBLE += "\ufe0f\ufeff\uffa0\U000e0041\U000e0100"
ADA = ("ada", "A D A", "Ada.", "Аdа", "Αda", "Ａｄａ", "𝓐𝓭𝓪", "Áda", "A\u0301da", "Frau Ada", "🅐🅓🅐")
ALSO_ADA = ("Ꭺda", "ꓮda", "𝙰𝚍𝚊", "ⒶⒹⒶ", "ᴬᵈᵃ", "ᴀᴅᴀ", "A\u20ddda", "ɑda", "Ada\u0338", "A·d·a")
TEACHERS = (
    *("Teacher", "TEACHER", "t e a c h e r", "Teасher", "T3ach3r", "Teacher 2", "The-Teacher"),
    *("TeacherGrace", "ｔｅａｃｈｅｒ", "téacher", "tea\u200bcher", "🆃🅴🅰🅲🅷🅴🆁", "Mr Teacher"),
    *("Admin", "adm1n", "АDMIN", "admin7", "a.d.m.i.n", "LoRA Lab", "lora-lab", "Al Loralab"),
    *("Lehrer", "Frau Lehrerin", "Dozent", "Profesor Juan", "profesora", "Maestra", "Docente"),
    *("Guest", "owner", "Eigentümer", "dueño", "You", "Untrained"),
)


@pytest.fixture
def store(home: object) -> Store:
    return Store(Settings(class_code="whale", teacher_code="oak"))


def add(store: Store, name: str, code: str = "whale") -> Visitor:
    return join(store, code, name, "here")[0]


@pytest.mark.parametrize(
    "alike", [*ADA, *ALSO_ADA, *(f"A{sign}da" for sign in INVISIBLE)], ids=ascii
)
def test_name_that_looks_like_another_ones_is_refused(store: Store, alike: str) -> None:
    add(store, "Ada")

    with pytest.raises(NotAllowed, match=r"^Ada has joined already"):
        add(store, alike)


@pytest.mark.parametrize(
    "pair", [("Ali", "AIi"), ("Ida", "lda"), ("Bob", "B0b"), ("Bemd", "Bernd")]
)
def test_letters_of_the_same_strokes_look_alike(pair: tuple[str, str]) -> None:
    assert make_skeletons(pair[0]) & make_skeletons(pair[1])


@pytest.mark.parametrize(
    "pair",
    [
        *(("Ada", "Ada 2"), ("Ella", "Eila"), ("Student 1", "Student 11"), ("李", "王")),
        *(("कि", "कु"), ("がく", "かく"), ("Don Miller", "Miller"), ("Ada", "Ada L."), ("?", "!")),
    ],
)
def test_different_names_do_not_look_alike(pair: tuple[str, str]) -> None:
    assert not make_skeletons(pair[0]) & make_skeletons(pair[1])


@pytest.mark.parametrize("name", TEACHERS, ids=ascii)
def test_no_student_has_the_name_of_a_teacher_or_the_product(store: Store, name: str) -> None:
    with pytest.raises(NotAllowed, match="is reserved"):
        add(store, name)


@pytest.mark.parametrize(
    "name",
    [
        "Lora",
        "Student 7",
        "Gastón",
        "Amelie",
        "Badmin",
        "Albert",
        "Prosper",
        "Mehmet Ali",
        "Ali Me",
    ],
)
def test_ordinary_names_are_not_reserved(name: str) -> None:
    assert not is_reserved(name)


def test_a_teacher_may_be_called_teacher(store: Store) -> None:
    assert add(store, "Teacher", "oak").name == "Teacher"


def test_student_with_the_name_of_a_teacher_is_renamed_when_that_one_joins(store: Store) -> None:
    student = add(store, "Grаce")  # with a Cyrillic letter

    teacher = add(store, "Grace", "oak")

    assert teacher.id != student.id
    assert [person.name for person in accounts.list_people(store)] == ["Grаce (student)", "Grace"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  A\u0301da \u3164\u2800 x ", "Áda x"),
        ("\u3164\u2800\ufe0f", ""),
        ("a" + "\u0316" * 50, "a\u0316\u0316"),
        ("<b>Ada</b>\n\u202eecarG", "<b>Ada</b> ecarG"),
        ("x" * 100, "x" * 40),
        ("Nguyễn Thị", "Nguyễn Thị"),
    ],
    ids=ascii,
)
def test_name_is_stored_tidy(text: str, name: str) -> None:
    assert tidy_name(text) == name


@pytest.mark.parametrize("text", ["", "  ", "\u200b", "\u3164\u3164", "\u2800"], ids=ascii)
def test_name_of_invisible_characters_is_missing(text: str) -> None:
    with pytest.raises(NotAllowed, match="A name is missing"):
        require_name(text, Role.STUDENT)


def test_person_who_left_for_good_leaves_the_name_free(store: Store) -> None:
    ada = add(store, "Ada")
    assert find_namesake(store, "ada") == ada

    accounts.set_standing(store, ada, accounts.Standing.REMOVED)

    assert find_namesake(store, "ada") is None


def test_names_of_a_provider_are_distinct(store: Store) -> None:
    add(store, "Grace", "oak")

    for number, name in enumerate(("Grace", "Teacher", "Ada", "Аda")):
        sign_in(store, Visitor(f"oidc-{number}", name, Role.STUDENT))
        sign_in(store, Visitor(f"oidc-{number}", name, Role.STUDENT))

    assert [person.name for person in accounts.list_people(store)] == [
        "Grace",
        "Grace (dc-0)",
        "Teacher (dc-1)",
        "Ada",
        "Аda (dc-3)",
    ]


def test_joining_waits_for_another_server_process(store: Store) -> None:
    with ThreadPoolExecutor() as threads:
        with hold_lock(store.settings.home / JOINING_LOCK):
            joining = threads.submit(add, store, "Ada")
            with pytest.raises(TimeoutError):
                joining.result(timeout=0.2)
            accounts.add_person(store, Visitor("elsewhere", "Ada", Role.STUDENT), "hash")

        with pytest.raises(NameKnown, match="Ada has joined already"):
            joining.result()
