"""Tiny base models with random weights, written without torch in milliseconds."""

import json
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers.pre_tokenizers import ByteLevel

WORD_LIST = """
the a an of to in on for and is are was were be by at as it its he she they we you with from
that this not but or has have had will would can could may new first last one two three all more
most over after before under out up down no yes said says year years day week game games team
season win wins won lose loss goal goals score player coach match final cup league sport sports
race ball club title play market markets stock stocks share shares price prices oil bank company
companies profit sales business trade economy growth rate rates deal government minister
president election country countries world war peace police court law people party state states
leader vote talks troops software computer internet web phone network science scientists space
research study data system systems technology users security chip mars ing ed er ly tion
"""
WORDS = WORD_LIST.split()
MARKS = list(".,;:!?'\"()-$#&/%")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
ENDINGS = [f"##{end}" for end in ("s", "es", "ed", "ing", "er", "ers", "ly", "tion", "al", "ment")]
VOCABULARY = list(
    dict.fromkeys(
        [
            *SPECIAL,
            *string.ascii_lowercase,
            *string.digits,
            *MARKS,
            *WORDS,
            *ENDINGS,
            *(f"##{c}" for c in string.ascii_lowercase + string.digits),
        ]
    )
)
SHAPES = dict[str, tuple[int, ...]]


def write_bert(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    positions: int = 128,
    pooler: bool = True,
    seed: int = 0,
) -> Path:
    """Write a BERT for ``AutoModelForSequenceClassification``; without ``pooler`` the checkpoint
    lacks it.
    """
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * hidden,
        "max_position_embeddings": positions,
        "vocab_size": len(VOCABULARY),
        "pad_token_id": 0,
    }
    tables = {"word": len(VOCABULARY), "position": positions, "token_type": 2}
    return _write(folder, config, dict(_bert(hidden, layers, tables, pooler)), seed)


def write_distilbert(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    positions: int = 128,
    vocabulary: int = 0,
    seed: int = 0,
) -> Path:
    """Write a DistilBERT; hidden 768, layers 6, positions 512 and vocabulary 30,522 give the real
    shape.
    """
    config = {
        "architectures": ["DistilBertModel"],
        "model_type": "distilbert",
        "dim": hidden,
        "n_layers": layers,
        "n_heads": 4 if hidden < 64 else hidden // 64,
        "hidden_dim": 4 * hidden,
        "max_position_embeddings": positions,
        "vocab_size": vocabulary or len(VOCABULARY),
        "pad_token_id": 0,
    }
    return _write(
        folder,
        config,
        dict(_distilbert(hidden, layers, positions, vocabulary or len(VOCABULARY))),
        seed,
    )


def write_roberta(
    folder: Path, *, hidden: int = 32, layers: int = 2, positions: int = 130, seed: int = 0
) -> Path:
    """Write a RoBERTa with a byte-level BPE tokenizer; its longest text has ``positions`` - 2
    tokens.
    """
    return _write_roberta(
        folder, "roberta", write_bpe_tokenizer(folder), hidden, layers, positions, seed
    )


def write_xlm_roberta(
    folder: Path, *, hidden: int = 32, layers: int = 2, positions: int = 130, seed: int = 0
) -> Path:
    """Write an XLM-R with a Unigram tokenizer; its longest text has ``positions`` - 2 tokens."""
    return _write_roberta(
        folder, "xlm-roberta", write_unigram_tokenizer(folder), hidden, layers, positions, seed
    )


def _write_roberta(
    folder: Path, kind: str, vocabulary: int, d: int, layers: int, positions: int, seed: int
) -> Path:
    config = {
        "architectures": ["RobertaModel" if kind == "roberta" else "XLMRobertaModel"],
        "model_type": kind,
        "hidden_size": d,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "intermediate_size": 2 * d,
        "max_position_embeddings": positions,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "vocab_size": vocabulary,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
    }
    tables = {"word": vocabulary, "position": positions, "token_type": 1}
    _write_weights(folder, config, dict(_bert(d, layers, tables, pooler=False)), seed)
    return folder


def _bert(
    d: int, layers: int, tables: dict[str, int], pooler: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, rows in tables.items():
        yield f"embeddings.{name}_embeddings.weight", (rows, d)
    yield from _norm("embeddings.LayerNorm", d)
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            yield from _linear(f"{at}.attention.{name}", d, d)
        yield from _norm(f"{at}.attention.output.LayerNorm", d)
        yield from _linear(f"{at}.intermediate.dense", 2 * d, d)
        yield from _linear(f"{at}.output.dense", d, 2 * d)
        yield from _norm(f"{at}.output.LayerNorm", d)
    if pooler:
        yield from _linear("pooler.dense", d, d)


def _distilbert(
    d: int, layers: int, positions: int, vocabulary: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield "distilbert.embeddings.word_embeddings.weight", (vocabulary, d)
    yield "distilbert.embeddings.position_embeddings.weight", (positions, d)
    yield from _norm("distilbert.embeddings.LayerNorm", d)
    for layer in range(layers):
        at = f"distilbert.transformer.layer.{layer}"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from _linear(f"{at}.attention.{name}", d, d)
        yield from _norm(f"{at}.sa_layer_norm", d)
        yield from _linear(f"{at}.ffn.lin1", 4 * d, d)
        yield from _linear(f"{at}.ffn.lin2", d, 4 * d)
        yield from _norm(f"{at}.output_layer_norm", d)


def _linear(name: str, outputs: int, inputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _write(folder: Path, config: dict[str, object], shapes: SHAPES, seed: int) -> Path:
    _write_weights(folder, config, shapes, seed)
    write_tokenizer(folder)
    return folder


def _write_weights(folder: Path, config: dict[str, object], shapes: SHAPES, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: _values(name, shape, generator) for name, shape in shapes.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )


def _values(
    name: str, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float32]:
    if len(shape) == 1:
        return np.full(
            shape, float(name.endswith("weight")), dtype=np.float32
        )  # norms scale by 1, biases are 0
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)


def write_tokenizer(folder: Path) -> None:
    """Write a lower-casing WordPiece tokenizer that knows every ASCII letter."""
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    special = _special_tokens(SPECIAL)
    lower = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": True,
    }
    around = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": lower,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": around,
            "pair": [
                *around,
                {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
            ],
            "special_tokens": {
                name: {"id": name, "ids": [vocabulary[name]], "tokens": [name]}
                for name in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **named})
    )
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


def write_bpe_tokenizer(folder: Path) -> int:
    """Write RoBERTa's tokenizer (bytes as letters, leading space as Ġ) and return its number of
    tokens.
    """
    letters = sorted(ByteLevel.alphabet())
    merges = list(
        dict.fromkeys(
            (f"{start}{word[:end]}", word[end])
            for word in WORDS
            for start in ("Ġ", "")
            for end in range(0 if start else 1, len(word))
        )
    )
    tokens = list(
        dict.fromkeys([*ROBERTA_SPECIAL, *letters, *(left + right for left, right in merges)])
    )
    model = {
        "type": "BPE",
        "vocab": {token: index for index, token in enumerate(tokens)},
        "merges": [list(pair) for pair in merges],
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    processor = {
        "type": "RobertaProcessing",
        "sep": ["</s>", 2],
        "cls": ["<s>", 0],
        "trim_offsets": True,
        "add_prefix_space": False,
    }
    content = {"pre_tokenizer": byte_level, "decoder": byte_level, "post_processor": processor}
    _write_roberta_tokenizer(folder, "RobertaTokenizer", content | {"model": model})
    return len(tokens)


def write_unigram_tokenizer(folder: Path) -> int:
    """Write XLM-R's tokenizer (words with a leading ▁, and letters) and return its number of
    tokens.
    """
    letters = [*string.ascii_letters, *string.digits, *MARKS]
    scores = dict.fromkeys(ROBERTA_SPECIAL, 0.0)
    scores |= {"▁": -6.0} | dict.fromkeys(letters, -8.0) | {f"▁{word}": -4.0 for word in WORDS}
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    around = [
        {"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    second = [
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 0}},
        {"SpecialToken": {"id": "</s>", "type_id": 0}},
    ]
    processor = {
        "type": "TemplateProcessing",
        "single": around,
        "pair": [*around, *second],
        "special_tokens": {
            name: {"id": name, "ids": [ROBERTA_SPECIAL.index(name)], "tokens": [name]}
            for name in ("<s>", "</s>")
        },
    }
    model = {"type": "Unigram", "unk_id": 3, "vocab": [list(pair) for pair in scores.items()]}
    content = {"pre_tokenizer": metaspace, "decoder": metaspace, "post_processor": processor}
    _write_roberta_tokenizer(folder, "XLMRobertaTokenizer", content | {"model": model})
    return len(scores)


def _write_roberta_tokenizer(folder: Path, kind: str, content: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    frame = {"version": "1.0", "truncation": None, "padding": None, "normalizer": None}
    special = _special_tokens(ROBERTA_SPECIAL)
    (folder / "tokenizer.json").write_text(
        json.dumps(frame | {"added_tokens": special} | content), encoding="utf-8"
    )
    names = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")
    named = dict(
        zip(
            (f"{name}_token" for name in names),
            ("<pad>", "<unk>", "<s>", "</s>", "<mask>", "<s>", "</s>"),
            strict=True,
        )
    )
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": kind, "model_max_length": 512, **named})
    )


def _special_tokens(tokens: list[str]) -> list[dict[str, object]]:
    """Return the entries in ``added_tokens``, with ids from 0."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": index, "content": token, **flags, "special": True}
        for index, token in enumerate(tokens)
    ]


WRITERS: dict[str, Callable[..., Path]] = {
    "bert": write_bert,
    "distilbert": write_distilbert,
    "roberta": write_roberta,
    "xlm-roberta": write_xlm_roberta,
}  # of each family that the hand-written encoder computes
