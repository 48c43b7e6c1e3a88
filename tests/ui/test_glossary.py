import pytest

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


@pytest.mark.parametrize("title", sorted(TITLES))
def test_each_page_explains_terms_that_the_document_has(title: str) -> None:
    explained = glossary.explain_page(title)

    assert explained
    assert explained.count("**: ") == len(glossary.PAGE_TERMS[title])


def test_terms_belong_to_pages_that_exist() -> None:
    assert set(glossary.PAGE_TERMS) == TITLES
    assert glossary.explain_page("another page") is None
