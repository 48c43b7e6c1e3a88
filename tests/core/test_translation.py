import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from core.access import Action
from core.errors import NotAllowed
from core.translation import (
    ENGLISH,
    LANGUAGES,
    CatalogEntry,
    format_number,
    keep_language,
    match_language,
    read_entries,
    translate,
    translate_plural,
    translate_recorded,
    use,
)
from scripts.translations import Messages, read_messages

TRANSLATED = sorted(set(LANGUAGES) - {ENGLISH})
VALUE = re.compile(r"\{[^{}]+\}")


def values_of(text: str) -> set[str]:
    return set(VALUE.findall(text))


@pytest.fixture(scope="module")
def messages() -> Messages:
    return read_messages()


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalog_has_exactly_the_messages_of_the_code(language: str, messages: Messages) -> None:
    ids = {entry.ids for entry in read_entries(language)[1:]}

    fix = "run `python scripts/translations.py` and translate what is empty"
    assert sorted(messages.files.keys() - ids) == [], fix
    assert sorted(ids - messages.files.keys()) == [], fix


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated_with_its_values(language: str) -> None:
    entries = read_entries(language)[1:]

    assert [entry.ids for entry in entries if not all(entry.texts)] == []
    assert [entry.ids for entry in entries if any("fuzzy" in line for line in entry.comments)] == []
    assert [entry.ids for entry in entries if not has_values(entry)] == []


def has_values(entry: CatalogEntry) -> bool:
    """Whether each text has the values of its message; the singular may leave out the number."""
    expected = values_of(" ".join(entry.ids))
    return all(values_of(text) | ({"{n:,}"} & expected) == expected for text in entry.texts)


def test_messages_are_literals(messages: Messages) -> None:
    assert messages.problems == []


def test_a_message_is_translated_with_values_plurals_and_digits() -> None:
    with use("de"):
        assert translate("The class is closed.") == "Der Kurs ist geschlossen."
        assert translate_plural("after {n:,} run", "after {n:,} runs", 1) == "nach 1 Lauf"
        assert translate_plural("after {n:,} run", "after {n:,} runs", 1200) == "nach 1.200 Läufen"
        assert format_number(12345.5, ",.1f") == "12.345,5"
        assert translate("{points:.2f} points", points=np.float32(1.5)) == "1,50 Punkte"
        assert translate("{rows:,} rows", rows=np.int64(1200)) == "1.200 Zeilen"
    assert translate_plural("after {n:,} run", "after {n:,} runs", 1) == "after 1 run"
    assert format_number(12345.5, ",.1f") == "12,345.5"


def test_a_text_of_a_user_is_neither_translated_nor_filled() -> None:
    with use("es"):
        assert translate("no message of ours {x}") == "no message of ours {x}"
        assert translate("") == ""
        assert translate("{name} has joined already.", name="{0} {x}") == "{0} {x} ya se ha unido."


@pytest.mark.parametrize(
    ("recorded", "german"),
    [
        ("The class is closed.", "Der Kurs ist geschlossen."),
        ("All texts were computed in fp32.", "Alle Texte wurden in fp32 gerechnet."),
        ("{0} {x} has joined already.", "{0} {x} ist schon beigetreten."),
        ("Step 1,200 of 3 is reached.", "Step 1,200 of 3 is reached."),
        ("after many runs", "after many runs"),
        ("no message of ours 1.5", "no message of ours 1.5"),
        ("The class is closed. ", "Der Kurs ist geschlossen. "),
        ("", ""),
    ],
)
def test_a_recorded_text_is_translated_with_the_values_that_it_has(
    recorded: str, german: str
) -> None:
    with use("de"):
        assert translate_recorded(recorded) == german
    assert translate_recorded(recorded) == recorded


def test_an_error_is_translated_where_it_is_read() -> None:
    error = NotAllowed("Only the teacher can {action}.", "Ask your teacher.", action=Action.MANAGE)

    with use("de"):
        assert str(error) == "Nur die Lehrkraft kann den Kurs ändern. Frag deine Lehrkraft."
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error) == "Only the teacher can change the class. Ask your teacher."


def test_a_download_keeps_the_language_of_the_page_that_offers_it() -> None:
    with use("de"), ThreadPoolExecutor(1) as pool:
        title = pool.submit(keep_language(lambda: translate("Your notebook"))).result()

    assert title == "Dein Heft"
    assert keep_language(lambda: translate("Your notebook"))() == "Your notebook"


def test_threads_have_a_language_of_their_own() -> None:
    def read(language: str) -> set[str]:
        with use(language):
            return {translate("The class is closed.") for _ in range(2_000)}

    with ThreadPoolExecutor(6) as pool:
        texts = list(pool.map(read, ["de", "es", "en"] * 2))

    expected = [{"Der Kurs ist geschlossen."}, {"El curso está cerrado."}, {"The class is closed."}]
    assert texts == expected * 2


@pytest.mark.parametrize(
    ("preferred", "expected"),
    [
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("fr-FR, de-CH;q=0.7", "de"),
        ("fr, en-US", "en"),
        ("fr", ""),
        ("", ""),
        (",;,de", "de"),
    ],
)
def test_the_first_known_language_of_a_browser_counts(preferred: str, expected: str) -> None:
    assert match_language(preferred) == expected


def test_messages_are_read_from_the_code_without_f_strings(messages: Messages) -> None:
    assert messages.files[("The class is closed.",)] == {"core/people/classroom.py"}
    assert ("after {n:,} run", "after {n:,} runs") in messages.files
