import pytest

from core.translation import use
from ui import glossary, navigation

TITLES = {entry.title for entry in navigation.ENTRIES.values()} - {"Home"} | {"LoRA Lab"}


def test_a_term_has_the_meaning_of_the_document() -> None:
    assert glossary.explain("accuracy") == (
        "**accuracy**: proportion of rows with a correct prediction"
    )


def test_terms_that_share_a_row_are_explained_once() -> None:
    assert glossary.explain("rank", "alpha", "step") == (
        "**rank, alpha, scale**: LoRA's r and α; the scale is α/r (α/√r with rsLoRA)\n\n"
        "**step**: one update of the optimizer"
    )


def test_a_term_is_explained_in_the_language_of_the_visit() -> None:
    with use("de"):
        german = glossary.explain("accuracy", "rank")

    assert german == (
        "**Genauigkeit**: Anteil der Zeilen mit richtiger Vorhersage\n\n"
        "**Rang, Alpha, Skalierung**: r und α von LoRA; die Skalierung ist α/r (mit rsLoRA α/√r)"
    )


@pytest.mark.parametrize("language", ["de", "es"])
@pytest.mark.parametrize("title", sorted(TITLES))
def test_the_terms_of_each_page_are_translated(language: str, title: str) -> None:
    with use("en"):
        english = glossary.explain(*glossary.PAGE_TERMS[title]).split("\n\n")
    with use(language):
        translated = glossary.explain(*glossary.PAGE_TERMS[title]).split("\n\n")

    assert len(translated) == len(english)
    assert not set(translated) & set(english)


@pytest.mark.parametrize("title", sorted(TITLES))
def test_each_page_explains_terms_that_the_document_has(title: str) -> None:
    explained = glossary.explain_page(title)

    assert explained
    assert explained.count("**: ") == len(glossary.PAGE_TERMS[title])


def test_terms_belong_to_pages_that_exist() -> None:
    assert set(glossary.PAGE_TERMS) == TITLES
    assert glossary.explain_page("another page") is None
