"""Families of models, heads and number formats."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tests.base_folders.case import BERT, DISTILBERT, ROBERTA, accept, refuse
from tests.base_folders.changes import (
    convert_tensors,
    remove_fields,
    set_fields,
    write_by_transformers,
    write_tiny,
)
from tests.base_folders.vocabularies import OPTIONS
from tests.support.tiny_models import write_bert, write_bpe_tokenizer, write_unigram_tokenizer

OLD_LABELS = {"0": "toxic", "1": "obscene", "2": "insult"}


SEQUENCE, TOKEN = AutoModelForSequenceClassification, AutoModelForTokenClassification


NO_HEAD = "is not used"


def write_sentencepiece(
    folder: Path, kind: str, model_type: str, spare: int = 8, **options: Any
) -> None:
    """Write a model with a Unigram tokenizer, whose padding token has the id 1."""
    rows = write_unigram_tokenizer(folder)
    sizes = {"vocab_size": rows + spare, "pad_token_id": 1, "max_position_embeddings": 130}
    write_by_transformers(model_type, **{**sizes, **options})(folder)
    set_fields(OPTIONS, tokenizer_class=kind)(folder)


def write_byte_level(folder: Path, **options: Any) -> None:
    """Write a RoBERTa whose files are those of transformers."""
    rows = write_bpe_tokenizer(folder)
    sizes = {"vocab_size": rows, "pad_token_id": 1, "max_position_embeddings": 130}
    write_by_transformers("roberta", **{**sizes, "type_vocab_size": 1, **options})(folder)


FAMILIES = [
    accept("bert", BERT),
    accept("bert without pooler", lambda folder: write_bert(folder, pooler=False)),
    accept("bert with gelu_new", BERT, set_fields(hidden_act="gelu_new")),
    accept("bert with relu", BERT, set_fields(hidden_act="relu")),
    accept("bert, all fields", write_by_transformers("bert")),
    accept("distilbert", DISTILBERT),
    accept("distilbert with relu", DISTILBERT, set_fields(activation="relu")),
    accept(
        "distilbert with sinusoidal positions", DISTILBERT, set_fields(sinusoidal_pos_embds=True)
    ),
    accept("roberta", ROBERTA),
    accept("roberta, all fields", write_byte_level),
    accept("xlm-roberta", write_tiny("xlm-roberta")),
    accept(
        "camembert", lambda folder: write_sentencepiece(folder, "CamembertTokenizer", "camembert")
    ),
    refuse(
        "camembert without rows for the tokens that transformers adds",
        lambda folder: write_sentencepiece(folder, "CamembertTokenizer", "camembert", spare=0),
        words=("tokens up to the id", "rows"),
    ),
    accept("mpnet", lambda folder: write_sentencepiece(folder, "PreTrainedTokenizerFast", "mpnet")),
    accept("electra", write_by_transformers("electra", embedding_size=16)),
    accept("electra without projection", write_by_transformers("electra", embedding_size=32)),
    accept(
        "bert with a sentencepiece tokenizer",
        lambda folder: write_sentencepiece(folder, "XLMRobertaTokenizer", "bert", pad_token_id=0),
    ),
]


OTHER_OPTIONS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "deberta-v2": {},
    "modernbert": {"bos_token_id": 0, "eos_token_id": 1, "cls_token_id": 2, "sep_token_id": 3},
    "big_bird": {"block_size": 4, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 3},
    "longformer": {"attention_window": 8, "bos_token_id": 0, "eos_token_id": 2},
    "fnet": {"bos_token_id": 1, "eos_token_id": 2},
    "xlnet": {
        "max_position_embeddings": None,
        "d_model": 32,
        "n_layer": 1,
        "n_head": 4,
        "d_inner": 64,
    },
    "funnel": {
        "num_hidden_layers": None,
        "d_model": 32,
        "block_sizes": [1],
        "d_head": 8,
        "n_head": 4,
        "d_inner": 64,
    },
    "gpt2": {"n_embd": 32, "n_layer": 1, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2},
    "t5": {"d_model": 32, "d_ff": 64, "num_layers": 1, "num_heads": 4, "d_kv": 8},
    "llama": {"num_key_value_heads": 4, "bos_token_id": 1, "eos_token_id": 2},
    "roberta-prelayernorm": {"bos_token_id": 0, "eos_token_id": 2},
}
REASONS = {
    "fnet": "depends on the length of the texts next to it",
    "xlnet": "depends on the length of the texts next to it",
    "big_bird": "after a short text",
    "gpt2": "a decoder",
    "t5": "has a decoder",
    "albert": "would not be exactly those of transformers",
}
OTHER_FAMILIES = [
    refuse(
        name,
        write_by_transformers(name, **options),
        words=(f"model type {name!r}", "distilbert", REASONS.get(name, "")),
    )
    for name, options in OTHER_OPTIONS.items()
] + [
    refuse("unknown type", BERT, set_fields(model_type="bert2"), words=("model type 'bert2'",)),
    refuse("type as a list", BERT, set_fields(model_type=["bert"]), words=("model type",)),
    refuse("no type", BERT, remove_fields("model_type"), words=("no model type",)),
]


HEADS = [
    accept("masked language model", write_by_transformers("bert", AutoModelForMaskedLM)),
    accept("pretraining head", write_by_transformers("bert", AutoModelForPreTraining)),
    accept("distilbert of pretraining", write_by_transformers("distilbert", AutoModelForMaskedLM)),
    accept(
        "electra discriminator",
        write_by_transformers("electra", AutoModelForPreTraining, embedding_size=16),
    ),
    accept("two classes", write_by_transformers("bert", SEQUENCE, num_labels=2), mention=NO_HEAD),
    accept(
        "three classes, as many as the data",
        write_by_transformers("bert", SEQUENCE, id2label=OLD_LABELS),
        mention="for 3 labels",
    ),
    accept(
        "three classes, distilbert",
        write_by_transformers("distilbert", SEQUENCE, id2label=OLD_LABELS),
        mention=NO_HEAD,
    ),
    accept(
        "three classes, electra",
        write_by_transformers("electra", SEQUENCE, id2label=OLD_LABELS, embedding_size=16),
        mention=NO_HEAD,
    ),
    accept(
        "28 classes",
        write_by_transformers("bert", SEQUENCE, num_labels=28),
        mention="for 28 labels",
    ),
    accept(
        "multi-label",
        write_by_transformers(
            "bert", SEQUENCE, id2label=OLD_LABELS, problem_type="multi_label_classification"
        ),
        mention=NO_HEAD,
    ),
    accept(
        "regression",
        write_by_transformers("bert", SEQUENCE, num_labels=1, problem_type="regression"),
        mention=NO_HEAD,
    ),
    accept(
        "reranker",
        write_by_transformers("bert", SEQUENCE, num_labels=1),
        set_fields(
            sbert_ce_default_activation_function="torch.nn.modules.linear.Identity",
            sentence_transformers={"activation_fn": "torch.nn.modules.activation.Sigmoid"},
        ),
        mention=NO_HEAD,
    ),
    accept(
        "token classification", write_by_transformers("bert", TOKEN, num_labels=9), mention=NO_HEAD
    ),
    accept(
        "question answering",
        write_by_transformers("distilbert", AutoModelForQuestionAnswering),
        mention=NO_HEAD,
    ),
    accept(
        "fields of a former task",
        BERT,
        set_fields(
            finetuning_task="mnli", task_specific_params={"summarization": {}}, num_labels=3
        ),
    ),
    refuse("labels as a list", BERT, set_fields(id2label=["a", "b"]), words=("id2label",)),
    refuse("ids of labels are words", BERT, set_fields(id2label={"a": "b"}), words=("id2label",)),
    refuse("unknown task", BERT, set_fields(problem_type="ranking"), words=("problem_type",)),
]


NUMBER_FORMATS = [
    accept("fp16", BERT, convert_tensors(torch.float16), set_fields(dtype="float16")),
    accept("bf16", BERT, convert_tensors(torch.bfloat16), set_fields(torch_dtype="bfloat16")),
    accept("bf16 roberta", ROBERTA, convert_tensors(torch.bfloat16)),
    accept("fp64", DISTILBERT, convert_tensors(torch.float64)),
    accept("two number formats", BERT, convert_tensors(torch.bfloat16, "encoder")),
    refuse("int8", BERT, convert_tensors(torch.int8, "query.weight"), words=("I8", "query")),
    refuse("8-bit floats", BERT, convert_tensors(torch.float8_e4m3fn, "query"), words=("F8_E4M3",)),
    refuse(
        "quantization of bitsandbytes",
        BERT,
        set_fields(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
        words=("quantization_config",),
    ),
    refuse("unknown number format", BERT, set_fields(dtype="float8"), words=("dtype", "float8")),
]
