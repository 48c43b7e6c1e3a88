import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from core.data.tokenizer import (
    Side,
    TokenCounter,
    TokenIndex,
    UnknownTokens,
    cut_text,
    load_packaged_tokenizer,
    measure_unknown_tokens,
    open_tokenizer,
    read_truncation_side,
    tokens_per_word,
    view_word,
)
from core.errors import ModelUnavailable
from tests.support.tiny_models import (
    write_bpe_tokenizer,
    write_tokenizer,
    write_unigram_tokenizer,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return open_tokenizer(folder)


def test_each_token_has_its_kind_and_its_word(tokenizer: Tokenizer) -> None:
    table = cut_text(tokenizer, "Gaming wins", 64).table

    assert table["token"].tolist() == ["[CLS]", "game", "wins", "[SEP]"] or table[
        "token"
    ].tolist() == [
        "[CLS]",
        "g",
        "##a",
        "##m",
        "##ing",
        "wins",
        "[SEP]",
    ]
    assert table["kind"].tolist() == [
        "special",
        "word",
        "continued",
        "continued",
        "continued",
        "word",
        "special",
    ]
    assert table["word"].tolist() == [-1, 0, 0, 0, 0, 1, -1]
    assert table["mask"].tolist() == [1] * 7


def test_a_long_text_keeps_both_special_tokens_and_loses_its_end(tokenizer: Tokenizer) -> None:
    cut = cut_text(tokenizer, "one two three game team", 5)

    assert cut.table.loc[cut.table["kept"], "token"].tolist() == [
        "[CLS]",
        "one",
        "two",
        "three",
        "[SEP]",
    ]
    assert (cut.total, cut.read, cut.lost) == (7, 5, 2)
    assert cut.table["mask"].tolist() == [1, 1, 1, 1, 0, 0, 1]


@pytest.mark.parametrize("max_tokens", [4, 5, 7, 9, 64])
@pytest.mark.parametrize("side", ["right", "left"])
def test_what_is_read_is_what_the_tokenizer_itself_would_keep(
    tokenizer: Tokenizer, tmp_path: Path, max_tokens: int, side: Side
) -> None:
    write_tokenizer(tmp_path)
    cutting = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    cutting.enable_truncation(max_tokens, direction=side)
    text = "The coach said, after the final, that it was the last game."

    table = cut_text(tokenizer, text, max_tokens, side).table

    assert table.loc[table["kept"], "id"].tolist() == cutting.encode(text).ids


@pytest.mark.parametrize("file", ["tokenizer_config.json", "tokenizer.json"])
def test_the_side_of_truncation_is_that_of_transformers(tmp_path: Path, file: str) -> None:
    write_tokenizer(tmp_path)
    assert read_truncation_side(tmp_path) == "right"
    content = json.loads((tmp_path / file).read_bytes())
    if file == "tokenizer.json":
        content["truncation"] = {
            "direction": "Left",
            "max_length": 16,
            "strategy": "LongestFirst",
            "stride": 0,
        }
    else:
        content["truncation_side"] = "left"
    (tmp_path / file).write_text(json.dumps(content))

    assert AutoTokenizer.from_pretrained(tmp_path).truncation_side == "left"
    assert read_truncation_side(tmp_path) == "left"


def test_parts_outside_of_the_vocabulary_are_counted_with_examples(tmp_path: Path) -> None:
    texts = ["the team", "Привет team", "Привет мир the the the"]

    write_tokenizer(tmp_path)
    measured = measure_unknown_tokens(open_tokenizer(tmp_path), texts)

    assert measured == UnknownTokens(share=3 / 9, texts=3, words=("Привет", "мир"))
    assert "33.3 % of the tokens" in measured.describe("tiny")
    assert "“Привет”, “мир”. The model cannot read most" in measured.describe("tiny")


@pytest.mark.parametrize(
    ("writer", "share"), [(write_bpe_tokenizer, 0), (write_unigram_tokenizer, 0.5)]
)
def test_each_kind_of_tokenizer_counts_what_it_does_not_know(
    tmp_path: Path, writer: Callable[[Path], int], share: float
) -> None:
    writer(tmp_path)

    measured = measure_unknown_tokens(open_tokenizer(tmp_path), ["Привет"])

    assert measured.share == share  # a BPE of bytes knows everything


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.009, ""),
        (
            0.034,
            "3.4 % of the tokens of the training texts are unknown to the tokenizer of m, in 500"
            " sampled texts: “ł”. The model reads all of them as the same token.",
        ),
    ],
)
def test_rare_unknown_tokens_are_not_mentioned(share: float, expected: str) -> None:
    assert UnknownTokens(share, 500, ("ł",)).describe("m") == expected


def test_an_empty_text_is_its_special_tokens(tokenizer: Tokenizer) -> None:
    assert cut_text(tokenizer, "", 64).table["token"].tolist() == ["[CLS]", "[SEP]"]


def test_a_word_is_seen_with_what_shares_its_tokens(tokenizer: Tokenizer) -> None:
    index = TokenIndex(tokenizer, ["gaming and rating, gaming", "playing the game", "a game"])

    view = view_word(tokenizer, "teaming", index)

    assert view.tokens == ("team", "##ing")
    assert view.ids == tuple(tokenizer.token_to_id(token) for token in view.tokens)
    assert view.sharing["##ing"] == (
        "gaming",
        "playing",
        "rating",
    )  # the most frequent first, then by the alphabet
    assert not view.unknown


def test_entries_that_begin_as_a_token_are_named(tokenizer: Tokenizer) -> None:
    assert view_word(tokenizer, "goal").entries["goal"] == ("goals",)


def test_a_word_outside_the_vocabulary_is_unknown(tokenizer: Tokenizer) -> None:
    view = view_word(tokenizer, "снег")

    assert (view.tokens, view.unknown, view.entries["[UNK]"]) == (("[UNK]",), True, ())


def test_tokens_per_word_leave_out_special_tokens() -> None:
    frame = pd.DataFrame({"label": [0, 0, 1], "words": [4, 4, 10], "tokens": [6, 10, 22]})

    table = tokens_per_word(frame, ("a", "b"), max_tokens=8)

    assert table["ratio"].tolist() == [1.5, 2.0]
    assert table["cut"].tolist() == [0.5, 1.0]
    assert table["texts"].tolist() == [2, 1]


@pytest.mark.parametrize("content", [None, b"", b"{}"])
def test_a_tokenizer_that_cannot_be_read_says_so(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)

    with pytest.raises(ModelUnavailable, match=r"tokenizer\.json"):
        open_tokenizer(tmp_path)


PARTS = st.sampled_from(
    ["word", "Words", "x" * 120, "a1b2", "don't", "3.5%", "[SEP]", "[sep]", "[MASK", "##ing", "é"]
    + [
        "東京",
        "\x00",
        "\x0b",
        "\x1c",
        "\x7f",
        "\t",
        "\n",
        "\r",
        " ",
        "  ",
        "_",
        "--",
        "“",
        "\u200d",
    ]
)


@given(st.lists(st.text() | st.text(st.characters(max_codepoint=127)) | PARTS, max_size=12))
def test_tokens_are_counted_as_the_tokenizer_does(parts: list[str]) -> None:
    texts = ["".join(parts), " ".join(parts), *parts]
    tokenizer = load_packaged_tokenizer()

    counted = TokenCounter(tokenizer).count(texts)

    assert counted == [len(encoding) for encoding in tokenizer.encode_batch(texts)]


def test_a_word_that_is_no_longer_remembered_is_counted_again() -> None:
    counter = TokenCounter(load_packaged_tokenizer(), most_words=3)

    assert [counter.count([f"{word} word"]) for word in ("a", "b", "c", "d", "e")] == [[4]] * 5
