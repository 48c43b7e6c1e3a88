"""Files of the tokenizer."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.base_folders.case import BERT, DISTILBERT, ROBERTA, accept, refuse
from tests.base_folders.changes import (
    Change,
    change_tensors,
    remove_fields,
    remove_files,
    rename_file,
    set_fields,
    set_tokenizer,
    truncate,
    write_file,
    write_tiny,
)
from tests.support.tiny_models import VOCABULARY

OPTIONS = "tokenizer_config.json"


def rename_token(old: str, new: str) -> Change:
    """Rename a token in ``tokenizer.json``."""

    def rename(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        content["model"]["vocab"] = {
            new if token == old else token: index for token, index in vocabulary.items()
        }

    return set_tokenizer(rename)


def add_token(token: str, index: int) -> Change:
    """Add a token to ``tokenizer.json``."""
    return set_tokenizer(
        lambda content: content["added_tokens"].append(
            {
                **content["added_tokens"][0],
                "id": index,
                "content": token,
            }
        )
    )


def drop_words(count: int) -> Change:
    """Keep the first tokens of ``tokenizer.json`` and of ``vocab.txt``."""

    def drop(folder: Path) -> None:
        set_tokenizer(
            lambda content: content["model"].update(
                vocab=dict(list(content["model"]["vocab"].items())[:count])
            )
        )(folder)
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:count]) + "\n")

    return drop


def add_rows(rows: int) -> Change:
    """Add rows to the embedding, as many tokens have none."""

    def add(folder: Path) -> None:
        change_tensors(
            lambda tensors: {
                name: torch.cat([value, torch.zeros(rows, 32)]) if "word_embed" in name else value
                for name, value in tensors.items()
            }
        )(folder)
        set_fields(vocab_size=len(VOCABULARY) + rows)(folder)

    return add


def capitalize(folder: Path) -> None:
    """Make the words of the vocabulary those of a cased model."""
    words = [word.title() if len(word) > 3 and word[0].isalpha() else word for word in VOCABULARY]
    set_tokenizer(
        lambda content: content["model"].update(
            vocab={word: index for index, word in enumerate(words)}
        )
    )(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")


def keep_case(content: dict[str, Any]) -> None:
    """Switch lower case off in ``tokenizer.json``."""
    content["normalizer"]["lowercase"] = False


def add_blank_line(folder: Path) -> None:
    """End ``vocab.txt`` with a blank line."""
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n\n")


CLASSIC = set_fields(OPTIONS, tokenizer_class="BertTokenizer")


TOKENIZERS = [
    accept("BertTokenizer", BERT, CLASSIC),
    accept("BertTokenizerFast", BERT, set_fields(OPTIONS, tokenizer_class="BertTokenizerFast")),
    accept(
        "DistilBertTokenizer",
        DISTILBERT,
        set_fields(OPTIONS, tokenizer_class="DistilBertTokenizer"),
    ),
    accept("TokenizersBackend", BERT, set_fields(OPTIONS, tokenizer_class="TokenizersBackend")),
    accept("no class", BERT, remove_fields("tokenizer_class", name=OPTIONS)),
    accept("only vocab.txt", BERT, CLASSIC, remove_files("tokenizer.json")),
    accept("a blank line after vocab.txt", BERT, add_blank_line),
    accept("an empty token", BERT, rename_token("market", ""), remove_files("vocab.txt")),
    accept("no tokenizer_config.json", BERT, remove_files(OPTIONS)),
    accept(
        "cased",
        BERT,
        CLASSIC,
        capitalize,
        set_tokenizer(keep_case),
        set_fields(OPTIONS, do_lower_case=False),
    ),
    accept("spare rows of the embedding", BERT, add_rows(64)),
    accept(
        "padding and truncation in the file",
        BERT,
        set_tokenizer(
            lambda content: content.update(
                truncation={
                    "direction": "Right",
                    "max_length": 16,
                    "strategy": "LongestFirst",
                    "stride": 0,
                },
                padding={
                    "strategy": {"Fixed": 16},
                    "direction": "Right",
                    "pad_to_multiple_of": None,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "[PAD]",
                },
            )
        ),
    ),
    refuse(
        "padding on the left",
        BERT,
        set_fields(OPTIONS, padding_side="left"),
        words=("padding_side",),
    ),
    refuse(
        "special tokens in a text are split, which tokenizer.json does not store",
        BERT,
        set_fields(OPTIONS, split_special_tokens=True),
        words=("split_special_tokens",),
    ),
    refuse(
        "dropout of merges",
        ROBERTA,
        set_tokenizer(lambda content: content["model"].update(dropout=0.5)),
        words=("dropout",),
    ),
    refuse(
        "no special tokens",
        BERT,
        set_tokenizer(lambda content: content.update(post_processor=None)),
        words=("adds no special tokens",),
    ),
    refuse(
        "padding on the left in the file",
        BERT,
        set_tokenizer(
            lambda content: content.update(
                padding={
                    "strategy": "BatchLongest",
                    "direction": "Left",
                    "pad_to_multiple_of": None,
                    "pad_id": 0,
                    "pad_type_id": 0,
                    "pad_token": "[PAD]",
                },
            )
        ),
        words=("pads on the left",),
    ),
    refuse(
        "no tokenizer",
        BERT,
        remove_files("tokenizer.json", "vocab.txt", OPTIONS),
        words=("no tokenizer.json",),
    ),
    refuse(
        "no tokenizer but its options",
        ROBERTA,
        remove_files("tokenizer.json"),
        words=("no tokenizer.json",),
    ),
    refuse(
        "only sentencepiece",
        write_tiny("xlm-roberta"),
        rename_file("tokenizer.json", "sentencepiece.bpe.model"),
        words=("no tokenizer.json",),
    ),
    refuse(
        "damaged tokenizer.json",
        BERT,
        truncate("tokenizer.json", 100),
        words=("tokenizer.json", "damaged"),
    ),
    refuse(
        "tokenizer.json of a newer version",
        BERT,
        set_tokenizer(lambda content: content.update(pre_tokenizer={"type": "Quantum"})),
        words=("tokenizer.json", "damaged"),
    ),
    refuse(
        "damaged tokenizer_config.json", BERT, write_file(OPTIONS, "{"), words=(OPTIONS, "damaged")
    ),
    refuse(
        "own code of the tokenizer",
        BERT,
        set_fields(OPTIONS, auto_map={"AutoTokenizer": ["a.B", None]}),
        words=("own code",),
    ),
    refuse(
        "unknown class",
        BERT,
        set_fields(OPTIONS, tokenizer_class="MyTokenizer"),
        words=("tokenizer_class", "MyTokenizer"),
    ),
    refuse(
        "class of another language",
        BERT,
        set_fields(OPTIONS, tokenizer_class="BertJapaneseTokenizer"),
        words=("BertJapaneseTokenizer",),
    ),
    refuse(
        "class of another model",
        BERT,
        set_fields(OPTIONS, tokenizer_class="RobertaTokenizer"),
        words=("WordPiece", "BPE"),
    ),
    refuse(
        "more tokens than rows",
        BERT,
        change_tensors(
            lambda tensors: {
                name: value[:-40] if "word_embed" in name else value
                for name, value in tensors.items()
            }
        ),
        set_fields(vocab_size=len(VOCABULARY) - 40),
        words=(f"id {len(VOCABULARY) - 1}", f"{len(VOCABULARY) - 40} rows"),
    ),
    refuse("fewer tokens than rows", BERT, add_rows(2000), words=("2,", "another model")),
    refuse("five tokens", BERT, drop_words(5), words=("has 5 tokens", "another model")),
    refuse(
        "an added token without row",
        BERT,
        add_token("[NEW]", len(VOCABULARY)),
        words=(f"id {len(VOCABULARY)}", "rows"),
    ),
    refuse(
        "added token in the options only",
        BERT,
        set_fields(
            OPTIONS,
            added_tokens_decoder={str(len(VOCABULARY)): {"content": "[NEW]", "special": True}},
        ),
        words=("[NEW]",),
    ),
    refuse(
        "added token with another id",
        BERT,
        write_file("added_tokens.json", json.dumps({"[MASK]": 9})),
        words=("[MASK]", "9"),
    ),
    refuse(
        "extra special token without row",
        BERT,
        set_fields(OPTIONS, additional_special_tokens=["[E1]"]),
        words=("rows",),
    ),
    refuse(
        "padding token outside the vocabulary",
        BERT,
        set_fields(OPTIONS, pad_token="<PAD>"),
        words=("pad_token", "<PAD>"),
    ),
    refuse(
        "unknown token outside the vocabulary",
        BERT,
        CLASSIC,
        set_fields(OPTIONS, unk_token="<unk>"),
        words=("unk_token", "<unk>"),
    ),
    refuse(
        "no padding token", BERT, remove_fields("pad_token", name=OPTIONS), words=("no pad_token",)
    ),
    refuse(
        "padding token of the config",
        ROBERTA,
        set_fields(pad_token_id=3),
        words=("pad_token_id: 3", "<pad>", "id 1"),
    ),
    refuse(
        "stale tokenizer.json",
        BERT,
        rename_token("market", "stall"),
        words=("tokenizer.json", "vocab.txt"),
    ),
    refuse(
        "stale vocab.txt",
        BERT,
        write_file("vocab.txt", "\n".join(VOCABULARY[:-3]) + "\n"),
        words=("vocab.txt", "##"),
    ),
    refuse(
        "cased vocabulary in lower case",
        BERT,
        CLASSIC,
        capitalize,
        words=("upper-case", "lower case"),
    ),
    refuse(
        "cased vocabulary in lower case by the file",
        BERT,
        capitalize,
        words=("upper-case", "lower case"),
    ),
    refuse("case of two files", BERT, CLASSIC, set_tokenizer(keep_case), words=("do_lower_case",)),
    refuse(
        "accents of two files",
        BERT,
        CLASSIC,
        set_fields(OPTIONS, strip_accents=False),
        words=("strip_accents",),
    ),
]
