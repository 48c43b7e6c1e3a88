"""Tiny base models with random weights, written without torch in milliseconds, for everybody's
tests.
"""

import json
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

WORD_LIST = """the a an of to in on for and is are was were be by at as it its he she they we you with from that this not but or has
have had will would can could may new first last one two three all more most over after before under out up down no yes
said says year years day week game games team season win wins won lose loss goal goals score player coach match final
cup league sport sports race ball club title play market markets stock stocks share shares price prices oil bank company
companies profit sales business trade economy growth rate rates deal government minister president election country
countries world war peace police court law people party state states leader vote talks troops software computer internet
web phone network science scientists space research study data system systems technology users security chip mars ing ed
er ly tion"""
WORDS = WORD_LIST.split()
MARKS = list(".,;:!?'\"()-$#&/%")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
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
    """A BERT that ``AutoModelForSequenceClassification`` loads; without ``pooler`` the checkpoint
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
    return _write(folder, config, dict(_bert(hidden, layers, positions, pooler)), seed)


def write_distilbert(
    folder: Path,
    *,
    hidden: int = 32,
    layers: int = 2,
    positions: int = 128,
    vocabulary: int = 0,
    seed: int = 0,
) -> Path:
    """A DistilBERT; hidden 768, layers 6, positions 512 and vocabulary 30,522 give the real
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


def _bert(
    d: int, layers: int, positions: int, pooler: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, rows in (("word", len(VOCABULARY)), ("position", positions), ("token_type", 2)):
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
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        {name: _values(name, shape, generator) for name, shape in shapes.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    write_tokenizer(folder)
    return folder


def _values(
    name: str, shape: tuple[int, ...], generator: np.random.Generator
) -> NDArray[np.float32]:
    if len(shape) == 1:
        return np.full(
            shape, float(name.endswith("weight")), dtype=np.float32
        )  # norms scale by 1, biases are 0
    return generator.standard_normal(shape, dtype=np.float32) * np.float32(shape[-1] ** -0.5)


def write_tokenizer(folder: Path) -> None:
    """A lower-casing WordPiece tokenizer that knows every ASCII letter."""
    vocabulary = {token: index for index, token in enumerate(VOCABULARY)}
    special = [
        {
            "id": i,
            "content": t,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, t in enumerate(SPECIAL)
    ]
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
