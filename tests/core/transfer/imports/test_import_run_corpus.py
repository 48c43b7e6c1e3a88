"""Adapters of other people: accepted with the predictions of plain PEFT, or rejected by name."""

import copy
import dataclasses
import json
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers
from numpy.typing import NDArray
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    PeftModel,
    PromptTuningConfig,
    get_peft_model,
)
from peft.tuners.lora import LoraLayer
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
)

from core.errors import DataError, ModelUnavailable
from core.inference.classifier import Classifier
from core.inference.messages import Query
from core.models.families import FAMILIES, POOLER
from core.models.model_shape import count_trainable, read_shape
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import read_result
from core.settings import Settings
from core.storage.store import Store
from core.transfer.export.formats import Format
from core.transfer.export.write_files import ExportSource, write_model
from core.transfer.imports.adapter_config import find_encoder_name
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from tests.support.peft_cases import (
    ADAPTER,
    BASES,
    CLASSES,
    CONFIG,
    Case,
    Files,
    add,
    configure,
    drop,
    identify,
    load_classifier,
    lora,
    rename,
    retensor,
    save_adapter,
    zipped,
)
from tests.support.tiny_models import write_bert

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning"),
]
TEXTS = [
    "The team won the final.",
    "a",
    "Oil prices fell, and the minister said that troops would leave the country.",
    "game goal score market stock oil war peace " * 30,
]
NEWER = {"future_flag": False, "future_names": [], "future_config": None, "future_mode": "none"}
QUERY_0 = "bert.encoder.layer.0.attention.self.query"


def both(*edits: Any) -> Any:
    def edit(files: Files) -> Files:
        for change in edits:
            files = change(files)
        return files

    return edit


def converted(kind: str) -> Any:
    """Train from a changed base model, and save the difference as plain LoRA."""

    def make(base: Path) -> Files:
        config = LoraConfig(
            task_type="SEQ_CLS",
            r=4,
            lora_alpha=8,
            target_modules=["query", "value"],
            init_lora_weights=kind,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model: Any = get_peft_model(copy.deepcopy(load_classifier(base, 3)), config)
            start = base.parent / f"start-{kind}"
            config.init_lora_weights = True
            model.save_pretrained(start)
            config.init_lora_weights = kind
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn(parameter.shape) * 0.2)
            end, plain = base.parent / f"end-{kind}", base.parent / f"plain-{kind}"
            model.save_pretrained(end)
            model.save_pretrained(plain, path_initial_model_for_weight_conversion=str(start))
        tensors = safetensors.torch.load_file(end / ADAPTER)
        head = {name: tensor for name, tensor in tensors.items() if "classifier" in name}
        tensors = safetensors.torch.load_file(plain / ADAPTER) | head  # PEFT omits the head
        return {
            ADAPTER: safetensors.torch.save(tensors),
            CONFIG: (plain / CONFIG).read_bytes(),
        }

    return make


def named(config: Any, name: str = "default", classes: int = 3, **options: Any) -> Any:
    return lambda base: save_adapter(base, config, classes, name, **options)


def own_tokenizer(base: Path) -> Files:
    files = lora()(base)
    folder = base.parent / f"tokenizer-{base.name}"
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return files | {path.name: path.read_bytes() for path in folder.iterdir()}


def edit_tokenizer(change: Any) -> Any:
    def make(base: Path) -> Files:
        files = own_tokenizer(base)
        content = json.loads(files["tokenizer.json"])
        change(content)
        return files | {"tokenizer.json": json.dumps(content).encode()}

    return make


def add_token(base: Path) -> Files:
    files = lora()(base)
    folder = base.parent / f"added-{base.name}"
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<brand>"])
    tokenizer.save_pretrained(folder)
    return files | {path.name: path.read_bytes() for path in folder.iterdir()}


def fix_lengths(content: dict[str, Any]) -> None:
    content["truncation"] = {
        "direction": "Right",
        "max_length": 16,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    content["padding"] = {
        "strategy": {"Fixed": 16},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }


def swap_tokens(content: dict[str, Any]) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["team"], vocabulary["oil"] = vocabulary["oil"], vocabulary["team"]


def keep_case(content: dict[str, Any]) -> None:
    content["normalizer"]["lowercase"] = False


def as_type(kind: Any) -> Any:
    """Return an edit that stores the tensors in another type."""
    return lambda files: {
        **files,
        ADAPTER: safetensors.torch.save(
            {
                name: tensor.to(kind)
                for name, tensor in safetensors.torch.load(files[ADAPTER]).items()
            }
        ),
    }


def spoil(value: float) -> Any:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        name = next(name for name in tensors if "lora_B" in name)
        tensors[name][0, 0] = value
        return tensors

    return retensor(change)


def copy_tensor(part: str, new: str) -> Any:
    def change(tensors: dict[str, Any]) -> dict[str, Any]:
        name = next(name for name in tensors if part in name)
        return {**tensors, new: tensors[name]}

    return retensor(change)


def reshape(part: str, function: Any) -> Any:
    return retensor(
        lambda tensors: {
            name: np.ascontiguousarray(function(tensor)) if part in name else tensor
            for name, tensor in tensors.items()
        }
    )


ACCEPTED = [
    Case("query and value", lora()),
    Case("three projections", lora(target_modules=["query", "key", "value"])),
    Case("target twice", lora(), edit=configure(target_modules=["query", "value", "query"])),
    Case("regex", lora(target_modules=r".*\.attention\.self\.(query|value)")),
    Case("regex with prefix", lora(target_modules=r"bert\.encoder\.layer\.[01]\..*query")),
    Case("regex of one layer", lora(target_modules=r".*layer\.1\..*(query|key)$")),
    Case("regex of dense", lora(target_modules=r".*\.encoder\..*dense")),
    Case("one layer", lora(layers_to_transform=[1])),
    Case("one layer as a number", lora(layers_to_transform=0)),
    Case("layers pattern", lora(layers_to_transform=[0], layers_pattern="layer")),
    Case("layers patterns", lora(layers_to_transform=[1], layers_pattern=["h", "layer"])),
    Case("no layers to transform", lora(), edit=configure(layers_to_transform=[])),
    Case(
        "excluded names",
        lora(
            target_modules=["query", "key", "value"],
            exclude_modules=["key", "0.attention.self.value"],
        ),
    ),
    Case("excluded regex", lora(exclude_modules=r".*layer\.0\..*")),
    Case("full names", lora(target_modules=["encoder.layer.0.attention.self.query"])),
    Case("full names with prefix", lora(target_modules=[QUERY_0])),
    Case(
        "mixed names and layers", lora(target_modules=[QUERY_0, "value"], layers_to_transform=[1])
    ),
    Case("feed-forward", lora(target_modules=["intermediate.dense", "layer.0.output.dense"])),
    Case("attention output", lora(target_modules=["attention.output.dense"])),
    Case("rank pattern", lora(rank_pattern={"query": 2})),
    Case("rank regex", lora(rank_pattern={r".*layer\.0\..*query": 8})),
    Case("rank by full name", lora(rank_pattern={QUERY_0: 1})),
    Case("rank with anchor", lora(rank_pattern={f"^{QUERY_0}": 3})),
    Case("rank with wrong anchor", lora(rank_pattern={"^query": 3})),
    Case("first rank wins", lora(rank_pattern={".*query": 3, "a.*": 1})),
    Case("every rank", lora(rank_pattern={"query": 2, "value": 2})),
    Case("alpha pattern", lora(alpha_pattern={"value": 64})),
    Case("rank and alpha", lora(rank_pattern={"query": 2}, alpha_pattern={"query": 1, "value": 3})),
    Case("rsLoRA", lora(use_rslora=True)),
    Case("rsLoRA with ranks", lora(use_rslora=True, rank_pattern={"query": 9})),
    Case("DoRA", lora(use_dora=True)),
    Case(
        "DoRA with ranks",
        lora(use_dora=True, rank_pattern={"query": 2}, alpha_pattern={"value": 1}),
    ),
    Case("DoRA and rsLoRA", lora(use_dora=True, use_rslora=True)),
    Case(
        "DoRA, other name",
        lora(use_dora=True),
        edit=rename("lora_magnitude_vector", "lora_magnitude_vector.weight"),
    ),
    Case("fractional alpha", lora(lora_alpha=1.5)),
    Case("dropout", lora(lora_dropout=0.5)),
    Case("rank 1", lora(r=1)),
    Case("rank above the width", lora(r=48)),
    Case("fp16", lora(), edit=as_type(torch.float16)),
    Case("bf16", lora(), edit=as_type(torch.bfloat16)),
    Case("fp64", lora(), edit=as_type(torch.float64)),
    Case("gaussian", lora(init_lora_weights="gaussian")),
    Case("no initialization", lora(init_lora_weights=False)),
    Case("orthogonal", lora(init_lora_weights="orthogonal")),
    Case(
        "eva",
        lora(rank_pattern={QUERY_0: 6}),
        edit=configure(init_lora_weights="eva", eva_config={"rho": 2.0}),
    ),
    Case("converted PiSSA", converted("pissa")),
    Case("converted OLoRA", converted("olora")),
    Case("classifier named", lora(modules_to_save=["classifier"])),
    Case("trained pooler", lora(modules_to_save=["pooler"])),
    Case("trained pooler by full name", lora(modules_to_save=["pooler.dense"])),
    Case("new pooler", lora(), base="bare"),
    Case("adapted pooler", lora(target_modules=["dense"])),
    Case("only an adapted pooler", lora(target_modules=["pooler.dense"])),
    Case("all-linear", lora(target_modules="all-linear")),
    Case(
        "all-linear in the file",
        lora(target_modules="all-linear"),
        edit=configure(target_modules="all-linear"),
    ),
    Case("all-linear, DoRA", lora(target_modules="all-linear", use_dora=True)),
    Case(
        "all-linear, trained pooler", lora(target_modules="all-linear", modules_to_save=["pooler"])
    ),
    Case("all-linear, new pooler", lora(target_modules="all-linear"), base="bare"),
    Case(
        "pooler in patterns",
        lora(
            target_modules="all-linear",
            use_rslora=True,
            rank_pattern={"pooler.dense": 2, "layer.0.*": 6},
            alpha_pattern={"pooler.dense": 3},
        ),
    ),
    Case(
        "pooler in no layer",
        lora(target_modules=["dense", "query"], layers_to_transform=[1]),
    ),
    Case(
        "all-linear without the pooler",
        lora(target_modules="all-linear", exclude_modules=["pooler.dense"]),
    ),
    *(
        Case(f"all-linear, {base}", lora(target_modules="all-linear"), base=base)
        for base in ("distilbert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet")
    ),
    Case(
        "ELECTRA, projection of embeddings",
        lora(target_modules=["embeddings_project", "classifier.dense"], use_dora=True),
        base="electra",
    ),
    Case(
        "MPNet, patterns",
        lora(target_modules="all-linear", rank_pattern={"attn.q": 2}, alpha_pattern={"dense": 3}),
        base="mpnet",
    ),
    Case("classifier among the targets", lora(target_modules=["query", "classifier"])),
    Case("DistilBERT", lora(), base="distilbert"),
    Case("DistilBERT, head by suffix", lora(modules_to_save=None), base="distilbert"),
    Case("DistilBERT, feed-forward", lora(target_modules=["lin1", "lin2"]), base="distilbert"),
    Case(
        "DistilBERT, regex",
        lora(target_modules=r"distilbert\.transformer\.layer\.0\.attention\..*_lin"),
        base="distilbert",
    ),
    Case(
        "DistilBERT, DoRA of a layer",
        lora(use_dora=True, layers_to_transform=[0]),
        base="distilbert",
    ),
    Case("RoBERTa", lora(), base="roberta"),
    Case("RoBERTa, dense", lora(target_modules=["dense"]), base="roberta"),
    Case("RoBERTa, ranks", lora(rank_pattern={"roberta.encoder.layer.1.*": 2}), base="roberta"),
    Case("XLM-R", lora(), base="xlm-roberta"),
    Case("fan_in_fan_out", lora(), edit=configure(fan_in_fan_out=True)),
    Case("newer version, fields off", lora(), edit=configure(**NEWER, peft_version="9.9.0")),
    Case(
        "version 0.2",
        lora(),
        edit=configure(enable_lora=None, merge_weights=False, peft_version=None),
    ),
    Case("saved in training", lora(), edit=configure(inference_mode=False)),
    Case(
        "two classes",
        named(LoraConfig(task_type="SEQ_CLS", target_modules=["query"]), classes=2),
        options={"classes": ("a", "b")},
    ),
    Case(
        "seven classes",
        named(LoraConfig(task_type="SEQ_CLS", target_modules=["value"]), classes=7),
        options={"classes": tuple("abcdefg")},
    ),
    Case("named adapter", named(LoraConfig(task_type="SEQ_CLS", target_modules=["query"]), "news")),
    Case("own tokenizer", own_tokenizer),
    Case("own tokenizer, RoBERTa", own_tokenizer, base="roberta"),
    Case("own tokenizer, XLM-R", own_tokenizer, base="xlm-roberta"),
    Case("own tokenizer, fixed lengths", edit_tokenizer(fix_lengths)),
    Case("folder in the zip", lora(), pack=lambda files: zipped(files, "my adapter/")),
    Case("three folders deep", lora(), pack=lambda files: zipped(files, "a/b/c/")),
    Case("not compressed", lora(), pack=lambda files: zipped(files, "", zipfile.ZIP_STORED)),
    Case(
        "zip of macOS",
        lora(),
        pack=lambda files: zipped(
            {f"mine/{name}": data for name, data in files.items()}
            | {"__MACOSX/mine/._adapter_config.json": b"\0\5\26\7", "mine/.DS_Store": b"\0\0\0\1"}
        ),
    ),
    Case(
        "checkpoint without pickles",
        lora(),
        pack=lambda files: zipped(
            {**files, "trainer_state.json": b"{}", "README.md": b"# PEFT"}, "run/checkpoint-500/"
        ),
    ),
    Case(
        "names in labels.json",
        lora(),
        edit=add(labels__json=json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}).encode()),
        options={},
    ),
    Case(
        "names in config.json",
        lora(),
        edit=add(config__json=json.dumps({"id2label": {"0": "a", "1": "b", "2": "c"}}).encode()),
        options={},
    ),
]

FIELDS: dict[str, object] = {
    "alora_invocation_tokens": [1, 2],
    "arrow_config": {"top_k": 2},
    "auto_mapping": {"base_model_class": "BertModel"},
    "bias": "all",
    "future_math": True,
    "future_scale": 16,
    "future_settings": {"strength": 0.5},
    "kasa_config": {"beta": 1e-4},
    "layer_replication": [[0, 2], [1, 2]],
    "lora_bias": True,
    "megatron_config": {"x": 1},
    "monteclora_config": {"num_samples": 8},
    "target_parameters": ["mlp.weight"],
    "trainable_token_indices": [5, 6],
    "use_bdlora": {"nblocks": 2},
    "use_qalora": True,
    "velora_config": {"num_groups": 64},
}
TYPES = (
    *("ADAPTION_PROMPT", "BOFT", "FOURIERFT", "LN_TUNING", "MULTITASK_PROMPT_TUNING", "OFT"),
    *("POLY", "PREFIX_TUNING", "P_TUNING", "SHIRA", "TRAINABLE_TOKENS", "VERA", "XLORA"),
)
STARTS = ("pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "mica", "future")
PRETRAINED = ("query", "value")
OTHER_WIDTH = "but the base model needs"


def tuner(config: Any) -> Any:
    return named(config, classes=3)


class Trap:
    """Creates a folder when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("/tmp/sprung",)


def tar(files: Files) -> bytes:
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    return buffer.getvalue()


def duplicate(files: Files) -> bytes:
    buffer = BytesIO(zipped(files))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr(CONFIG, files[CONFIG])
    return buffer.getvalue()


def replace(**files: bytes) -> Any:
    names = {"config": CONFIG, "weights": ADAPTER}
    return lambda known: {**known, **{names[name]: data for name, data in files.items()}}


def without(name: str) -> Any:
    return lambda known: {key: data for key, data in known.items() if key != name}


REFUSED = [
    *[
        Case(f"init {kind}", lora(), edit=configure(init_lora_weights=kind), refused=repr(kind))
        for kind in STARTS
    ],
    Case("saved PiSSA", lora(init_lora_weights="pissa"), refused="init_lora_weights is 'pissa'"),
    Case("saved OLoRA", lora(init_lora_weights="olora"), refused="init_lora_weights is 'olora'"),
    Case("saved MiCA", lora(init_lora_weights="mica"), refused="init_lora_weights is 'mica'"),
    *[
        Case(f"field {name}", lora(), edit=configure(**{name: value}), refused=f"{name} is")
        for name, value in FIELDS.items()
    ],
    Case("bias of the adapted modules", lora(bias="lora_only"), refused="bias is 'lora_only'"),
    Case("all biases", lora(bias="all"), refused="bias is 'all'"),
    Case("biases in the adapter", lora(lora_bias=True), refused="lora_bias is True"),
    Case(
        "trained tokens",
        lora(trainable_token_indices={"word_embeddings": [5]}),
        refused="trainable_token_indices is",
    ),
    *[
        Case(
            f"type {kind}", lora(), edit=configure(peft_type=kind), refused=f"peft_type is '{kind}'"
        )
        for kind in TYPES
    ],
    Case(
        "LoHa", tuner(LoHaConfig(task_type="SEQ_CLS", target_modules=["query"])), refused="'LOHA'"
    ),
    Case(
        "LoKr", tuner(LoKrConfig(task_type="SEQ_CLS", target_modules=["query"])), refused="'LOKR'"
    ),
    Case(
        "AdaLoRA",
        tuner(AdaLoraConfig(task_type="SEQ_CLS", target_modules=["query"], total_step=9)),
        refused="'ADALORA'",
    ),
    Case(
        "IA3",
        tuner(IA3Config(task_type="SEQ_CLS", target_modules=["key"], feedforward_modules=[])),
        refused="'IA3'",
    ),
    Case(
        "prompt tuning",
        tuner(PromptTuningConfig(task_type="SEQ_CLS", num_virtual_tokens=4)),
        refused="'PROMPT_TUNING'",
    ),
    *[
        Case(
            f"task {task}", lora(), edit=configure(task_type=task), refused=f"task_type is {task!r}"
        )
        for task in ("CAUSAL_LM", "TOKEN_CLS", "FEATURE_EXTRACTION", "SEQ_2_SEQ_LM", None)
    ],
    Case(
        "regex and layers",
        lora(target_modules=".*query"),
        edit=configure(layers_to_transform=[1]),
        refused="layers_to_transform and layers_pattern need a list",
    ),
    Case(
        "layers pattern alone",
        lora(),
        edit=configure(layers_pattern="layer"),
        refused="layers_pattern needs layers_to_transform",
    ),
    Case("unknown target", lora(), edit=configure(target_modules=["c_attn"]), refused="'c_attn'"),
    Case(
        "a target of another model, too",
        lora(),
        edit=configure(target_modules=["query", "value", "q_lin"]),
        refused="no target module 'q_lin'",
    ),
    Case(
        "regex without modules",
        lora(),
        edit=configure(target_modules=".*q_proj"),
        refused="matches no module",
    ),
    Case(
        "look-ahead",
        lora(target_modules=r".*(?=query)query"),
        refused="not a supported regular expression",
    ),
    Case(
        "slow regex", lora(), edit=configure(target_modules="(a+)+$"), refused="matches no module"
    ),
    Case(
        "open group",
        lora(),
        edit=configure(rank_pattern={"a)|(b": 3}),
        refused="rank_pattern contains 'a)|(b'",
    ),
    Case(
        "everything excluded",
        lora(),
        edit=configure(exclude_modules=["query", "value"]),
        refused="matches no module",
    ),
    Case(
        "layer that does not exist",
        lora(),
        edit=configure(layers_to_transform=[9]),
        refused="matches no module",
    ),
    Case(
        "adapted embeddings", lora(target_modules=["word_embeddings"]), refused="'word_embeddings'"
    ),
    Case(
        "all-linear without the pooler's pair",
        lora(target_modules="all-linear"),
        edit=drop("pooler"),
        refused="no tensor bert.pooler.dense.lora_A.weight",
    ),
    Case(
        "all-linear, new pooler not saved",
        lora(target_modules="all-linear", modules_to_save=None),
        base="bare",
        refused="pooler",
    ),
    *(
        Case(
            f"own tokenizer, {field}",
            lora(),
            edit=add(tokenizer_config__json=json.dumps({field: value}).encode()),
            refused=f"another {field} in tokenizer_config.json",
        )
        for field, value in (("truncation_side", "left"), ("split_special_tokens", True))
    ),
    Case("unknown next to known", lora(target_modules=["query", "q_proj"]), refused="'q_proj'"),
    Case(
        "head saved twice",
        lora(modules_to_save=["classifier.out_proj"]),
        base="roberta",
        refused="selects classifier.out_proj and classifier",
    ),
    Case(
        "double prefix",
        lora(),
        edit=rename("base_model.model.", "base_model.model.base_model.model."),
        refused="a prefix that PEFT does not read",
    ),
    Case("rank 0", lora(), edit=configure(r=0), refused="r is 0"),
    Case("text as rank", lora(), edit=configure(r="4"), refused="r is '4'"),
    Case(
        "rank of a pattern",
        lora(),
        edit=configure(rank_pattern={"query": 0}),
        refused="rank_pattern is",
    ),
    Case("NaN alpha", lora(), edit=configure(lora_alpha=float("nan")), refused="lora_alpha is nan"),
    Case(
        "negative alpha",
        lora(),
        edit=configure(alpha_pattern={"query": -1}),
        refused="alpha_pattern is",
    ),
    Case("another rank", lora(), edit=configure(r=8), refused=OTHER_WIDTH),
    Case(
        "pattern removed",
        lora(rank_pattern={"query": 2}),
        edit=configure(rank_pattern={}),
        refused=OTHER_WIDTH,
    ),
    Case("fewer targets", lora(), edit=configure(target_modules=["query"]), refused="value.lora_"),
    Case(
        "more targets",
        lora(),
        edit=configure(target_modules=["query", "key", "value"]),
        refused="has no tensor",
    ),
    Case("one layer only", lora(), edit=configure(layers_to_transform=[0]), refused="layer.1"),
    Case(
        "prefix of RoBERTa", lora(), edit=rename(".bert.", ".roberta."), refused="roberta.encoder"
    ),
    Case(
        "no prefix of the encoder",
        lora(),
        edit=rename(".bert.", "."),
        refused="base_model.model.encoder.layer",
    ),
    Case(
        "no prefix of PEFT",
        lora(),
        edit=rename("base_model.model.", ""),
        refused="does not start with base_model.model.",
    ),
    Case(
        "two prefixes",
        lora(),
        edit=rename("base_model.", "base_model.base_model."),
        refused="does not start with",
    ),
    Case(
        "compiled model",
        lora(),
        edit=rename("base_model.model.", "base_model.model._orig_mod."),
        refused="as in 'base_model.model._orig_mod.classifier.weight'",
    ),
    Case(
        "adapter name in the names",
        lora(),
        edit=rename("lora_A.", "lora_A.default."),
        refused="lora_A.default",
    ),
    Case(
        "wrapped head",
        lora(),
        edit=rename("classifier.", "classifier.modules_to_save."),
        refused="no trained classifier",
    ),
    Case(
        "original head, too",
        lora(),
        edit=copy_tensor("classifier.weight", "base_model.model.classifier.original_module.weight"),
        refused="original_module",
    ),
    Case(
        "layer twice",
        lora(),
        edit=copy_tensor(
            "layer.0", "base_model.model.encoder.layer.0.attention.self.query.lora_A.weight"
        ),
        refused="base_model.model.encoder.layer.0",
    ),
    Case(
        "magnitudes twice",
        lora(use_dora=True),
        edit=copy_tensor(
            "query.lora_magnitude", f"base_model.model.{QUERY_0}.lora_magnitude_vector.weight"
        ),
        refused="twice",
    ),
    Case(
        "a layer missing",
        lora(),
        edit=drop("layer.1"),
        refused="has no tensor bert.encoder.layer.1",
    ),
    Case("B missing", lora(), edit=drop("lora_B"), refused="lora_B"),
    Case(
        "DoRA without magnitudes",
        lora(use_dora=True),
        edit=drop("magnitude"),
        refused="lora_magnitude_vector",
    ),
    Case(
        "magnitudes without DoRA",
        lora(use_dora=True),
        edit=configure(use_dora=False),
        refused="lora_magnitude_vector",
    ),
    Case(
        "a layer too many",
        lora(),
        edit=copy_tensor(
            "query.lora_A", f"base_model.model.{QUERY_0.replace('0', '7')}.lora_A.weight"
        ),
        refused="layer.7",
    ),
    Case("transposed", lora(), edit=reshape("lora_A", np.transpose), refused=OTHER_WIDTH),
    Case("no rows", lora(), edit=reshape("lora_A", lambda a: a[:0]), refused=OTHER_WIDTH),
    Case("NaN", lora(), edit=spoil(np.nan), refused="NaN or infinite"),
    Case("infinity", lora(), edit=spoil(np.inf), refused="NaN or infinite"),
    Case(
        "too large for fp32",
        lora(),
        edit=reshape("lora_B", lambda b: b.astype(np.float64) + 1e300),
        refused="NaN or infinite",
    ),
    Case(
        "integers",
        lora(),
        edit=reshape("lora_A", lambda a: a.astype(np.int32)),
        refused="not floating-point",
    ),
    Case(
        "saved embeddings",
        named(
            LoraConfig(task_type="SEQ_CLS", target_modules=["query"]), save_embedding_layers=True
        ),
        refused="trained embedding",
    ),
    Case(
        "embeddings to save", lora(modules_to_save=["word_embeddings"]), refused="'word_embeddings'"
    ),
    Case("norms to save", lora(modules_to_save=["LayerNorm"]), refused="'LayerNorm'"),
    Case("no head", lora(), edit=drop("classifier"), refused="no trained classifier"),
    Case(
        "no bias of the head",
        lora(),
        edit=drop("classifier.bias"),
        refused="no tensor classifier.bias",
    ),
    Case(
        "head of an LLM",
        lora(),
        edit=rename("classifier.", "score."),
        refused="no trained classifier",
    ),
    Case(
        "one output", lora(), edit=reshape("classifier", lambda a: a[:1]), refused="has 1 classes"
    ),
    Case(
        "head of another size",
        lora(),
        options={"classes": tuple("abcd")},
        refused="there are 4 names",
    ),
    Case(
        "no pre_classifier",
        lora(),
        base="distilbert",
        edit=drop("pre_classifier"),
        refused="pre_classifier",
    ),
    Case(
        "no pooler", lora(), base="bare", edit=drop("pooler"), refused="no tensor bert.pooler.dense"
    ),
    Case(
        "pooler that PEFT would not load",
        lora(),
        base="bare",
        edit=configure(modules_to_save=["classifier"]),
        refused="PEFT would not load it",
    ),
    Case(
        "half a RoBERTa head",
        lora(),
        base="roberta",
        edit=drop("classifier.dense"),
        refused="classifier.dense",
    ),
    Case("no names", lora(), options={}, refused="no class names"),
    Case(
        "placeholder names",
        lora(),
        edit=add(
            labels__json=json.dumps({"id2label": {str(n): f"LABEL_{n}" for n in range(3)}}).encode()
        ),
        options={},
        refused="only LABEL_0 to LABEL_2",
    ),
    Case("names twice", lora(), options={"classes": ("a", "a", "b")}, refused="same name"),
    Case(
        "fewer names in the file",
        lora(),
        edit=add(labels__json=json.dumps({"id2label": {"0": "a", "1": "b"}}).encode()),
        options={},
        refused="there are 2 names",
    ),
    Case(
        "base by path",
        lora(),
        edit=configure(base_model_name_or_path="/models/bert"),
        refused="not the id of a Hub",
    ),
    Case(
        "base by relative path",
        lora(),
        edit=configure(base_model_name_or_path="../bert"),
        refused="not the id of a Hub",
    ),
    Case(
        "Hub id without revision",
        lora(),
        edit=configure(base_model_name_or_path="org/bert", revision=None),
        refused="no revision",
    ),
    Case(
        "other weights",
        lora(),
        edit=configure(revision="0123456789ab"),
        refused="which no run on this machine has used",
    ),
    Case("unknown weights", lora(), edit=configure(revision=None), refused="fingerprint unknown"),
    Case(
        "no base",
        lora(),
        edit=configure(base_model_name_or_path=None),
        refused="base_model_name_or_path is None",
    ),
    Case(
        "wide base",
        named(LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"])),
        edit=reshape("lora_A", lambda a: np.tile(a, 2)),
        refused=OTHER_WIDTH,
    ),
    Case("added token", add_token, refused="another vocabulary"),
    Case("added token, RoBERTa", add_token, base="roberta", refused="another vocabulary"),
    Case("another vocabulary", edit_tokenizer(swap_tokens), refused="another vocabulary"),
    Case("cased tokenizer", edit_tokenizer(keep_case), refused="another normalization"),
    Case(
        "added_tokens.json",
        lora(),
        edit=add(added_tokens__json=b'{"<new>": 999}'),
        refused="another added_tokens.json",
    ),
    Case(
        "another vocab.txt",
        lora(),
        edit=add(vocab__txt=b"[PAD]\nteam\n"),
        refused="another vocab.txt",
    ),
    Case(
        "sentencepiece",
        lora(),
        edit=lambda f: {**f, "spiece.model": b"x"},
        refused="another spiece.model",
    ),
    Case(
        "token in tokenizer_config.json",
        lora(),
        edit=add(tokenizer_config__json=b'{"added_tokens_decoder": {"999": {"content": "<new>"}}}'),
        refused="another tokenizer_config.json",
    ),
    Case(
        "damaged tokenizer",
        lora(),
        edit=add(tokenizer__json=b"{}"),
        refused="tokenizer.json is damaged",
    ),
    Case(
        "path outside",
        lora(),
        edit=lambda f: {**f, "../run.json": b"{}"},
        refused="outside the zip",
    ),
    Case(
        "absolute path",
        lora(),
        edit=lambda f: {**f, "/etc/run.json": b"{}"},
        refused="outside the zip",
    ),
    Case(
        "pickled weights",
        lora(),
        edit=lambda f: {CONFIG: f[CONFIG], "adapter_model.bin": pickle.dumps(Trap())},
        refused="a pickle file",
    ),
    Case("checkpoint with optimizer", lora(), edit=add(optimizer__pt=b"x"), refused="optimizer.pt"),
    Case(
        "training arguments", lora(), edit=add(training_args__bin=b"x"), refused="training_args.bin"
    ),
    Case("tar.gz", lora(), pack=tar, refused="not a readable zip"),
    Case("bomb", lora(), edit=add(zeros=bytes(5_000_000)), refused="would unpack"),
    Case("two files of one name", lora(), pack=duplicate, refused="same name"),
    Case(
        "two adapters",
        lora(),
        edit=lambda f: {**f, f"checkpoint-9/{CONFIG}": f[CONFIG]},
        refused="2 adapters",
    ),
    Case(
        "truncated zip",
        lora(),
        pack=lambda files: zipped(files)[:-30],
        refused="not a readable zip",
    ),
    Case("no zip", lora(), pack=lambda files: files[ADAPTER], refused="not a readable zip"),
    Case("empty zip", lora(), edit=lambda files: {}, refused="contains no adapter"),
    Case("no configuration", lora(), edit=without(CONFIG), refused="contains no adapter"),
    Case(
        "no weights", lora(), edit=without(ADAPTER), refused="contains no adapter_model.safetensors"
    ),
    Case(
        "weights in another folder",
        lora(),
        edit=lambda f: {f"a/{CONFIG}": f[CONFIG], f"b/{ADAPTER}": f[ADAPTER]},
        refused="contains no adapter_model",
    ),
    Case("no JSON", lora(), edit=replace(config=b"{'r': 4}"), refused="not valid JSON"),
    Case(
        "truncated JSON",
        lora(),
        edit=lambda f: {**f, CONFIG: f[CONFIG][:50]},
        refused="not valid JSON",
    ),
    Case("list", lora(), edit=replace(config=b"[]"), refused="not a JSON object"),
    Case("empty object", lora(), edit=replace(config=b"{}"), refused="peft_type is None"),
    Case(
        "truncated weights",
        lora(),
        edit=lambda f: {**f, ADAPTER: f[ADAPTER][:-9]},
        refused="damaged or not a safetensors",
    ),
    Case(
        "Git LFS pointer",
        lora(),
        edit=replace(weights=b"version https://git-lfs.github.com/spec/v1\n"),
        refused="damaged or not a safetensors",
    ),
]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {name: write(root / name) for name, write in BASES.items()}


@pytest.fixture(scope="module")
def classifiers() -> Iterator[dict[tuple[str, int, bool], Classifier]]:
    """Share a classifier as the inference process does, so that adapters are next to others."""
    yield {}


@pytest.fixture
def lab(tmp_path: Path) -> Store:
    return Store(Settings(home=tmp_path / "home"))


def upload(case: Case, base: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Files, bytes]:
    """Return the files as PEFT saved them and the upload, in which the base has its identity."""
    monkeypatch.setenv("LORALAB_MODEL", str(base))
    saved = case.make(base)
    edited = case.edit(identify(saved, base))
    return edited, (case.pack or zipped)(edited)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_an_adapter_that_would_predict_something_else_is_rejected(
    case: Case, bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = upload(case, bases[case.base], monkeypatch)
    lab = Store(Settings(home=tmp_path / "home"))

    with pytest.raises((DataError, ModelUnavailable)) as caught:
        import_run(lab, read_upload("mine.zip", data), **case.options)

    assert case.refused in str(caught.value)
    assert lab.list_jobs() == []


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_an_imported_adapter_predicts_as_peft_does(
    case: Case,
    bases: dict[str, Path],
    classifiers: dict[tuple[str, int, bool], Classifier],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = bases[case.base]
    files, data = upload(case, base, monkeypatch)
    lab = Store(Settings(home=tmp_path / "home"))
    peft = Reference(base, write_adapter(tmp_path / "saved", files))

    job = import_run(lab, read_upload("mine.zip", data), **case.options)

    config, classes = read_train_request(job).config, read_result(job).classes or ()
    key = (case.base, len(classes), POOLER in config.target_modules)
    classifier = classifiers.setdefault(key, Classifier(base, classes))
    folder = artifacts.find_adapter(lab.get_folder(job))
    classifier.load_adapter(job.id, folder)
    expected = peft.predict(TEXTS)
    alone = [
        classifier.predict_all([Query(job.id, config.max_tokens)], text)[0].probabilities
        for text in TEXTS
    ]
    assert expected.std(0).max() > 1e-3  # the adapter makes a difference
    assert classifier.classify(job.id, TEXTS, config.max_tokens) == pytest.approx(
        expected, abs=1e-4
    )
    assert np.array(alone) == pytest.approx(expected, abs=1e-4)
    matrices = classifier.compute_spectra(job.id)
    scales = np.array(sorted((matrix.rank, matrix.scale) for matrix in matrices))
    assert scales == pytest.approx(np.array(peft.scales()), rel=1e-6)
    if len(set(peft.scales())) == 1 and config.target_modules and "pooler" not in case.name:
        counts = count_trainable(read_shape(base), config, len(classes))
        assert sum(count.parameters for count in counts) == peft.trained
    assert Reference(base, folder).predict(TEXTS) == pytest.approx(expected, abs=1e-4)


class Reference:
    """An adapter that plain PEFT reads on a base model that plain transformers reads."""

    def __init__(self, base: Path, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = copy.deepcopy(load_classifier(base, read_header_classes(folder)))
            self.model: Any = PeftModel.from_pretrained(model, folder).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.longest = read_shape(base).max_positions

    def predict(self, texts: list[str]) -> NDArray[np.float32]:
        rows = []
        for text in texts:
            inputs = self.tokenizer(
                text, truncation=True, max_length=self.longest, return_tensors="pt"
            )
            with torch.inference_mode():
                rows.append(self.model(**inputs).logits.softmax(-1))
        return torch.cat(rows).numpy()

    def scales(self) -> list[tuple[int, float]]:
        """Return rank and scale of each adapted module."""
        layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        return sorted((layer.r["default"], layer.scaling["default"]) for layer in layers)

    @property
    def trained(self) -> int:
        """Number of parameters that the adapter trains."""
        return sum(
            parameter.numel()
            for name, parameter in self.model.named_parameters()
            if "lora_" in name or "modules_to_save" in name
        )


def read_header_classes(folder: Path) -> int:
    tensors = safetensors.torch.load_file(folder / ADAPTER)
    return len(
        next(tensors[n] for n in tensors if n.endswith(("classifier.bias", "out_proj.bias")))
    )


def write_adapter(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, data in files.items():
        if Path(name).name.startswith("adapter_"):
            (folder / Path(name).name).write_bytes(data)
    return folder


def test_a_base_that_the_adapter_does_not_record_can_be_chosen(
    bases: dict[str, Path], lab: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = upload(
        Case("path", lora(), edit=configure(revision=None)), bases["bert"], monkeypatch
    )

    job = import_run(lab, read_upload("mine.zip", data), classes=CLASSES, base=str(bases["bert"]))

    assert not read_result(job).base_known


def test_an_imported_adapter_is_exported_unchanged(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Export writes the files of the run, which the cases above compare with PEFT."""
    make = lora(rank_pattern={"query": 2}, alpha_pattern={"value": 3}, layers_to_transform=[1])
    _, data = upload(Case("exported", make), bases["bert"], monkeypatch)
    lab = Store(Settings(home=tmp_path / "home"))
    job = import_run(lab, read_upload("mine.zip", data), classes=CLASSES)
    folder, exported = artifacts.find_adapter(lab.get_folder(job)), tmp_path / "exported"
    exported.mkdir()
    source = ExportSource(bases["bert"], "local/bert", "", folder, CLASSES, 128, 0)

    write_model(source, Format.ADAPTER, exported)

    files = {path.name: path.read_bytes() for path in exported.iterdir()}
    assert files[ADAPTER] == (folder / ADAPTER).read_bytes()
    again = import_run(lab, read_upload("again.zip", zipped(identify(files, bases["bert"]))))
    stored = artifacts.find_adapter(lab.get_folder(again))
    assert Reference(bases["bert"], stored).predict(TEXTS) == pytest.approx(
        Reference(bases["bert"], folder).predict(TEXTS), abs=1e-6
    )


@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_names_of_encoders_are_those_of_transformers(model_type: str, tmp_path: Path) -> None:
    shape = read_shape(write_bert(tmp_path / "bert"))
    classifier = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES[model_type]
    classifier = classifier if isinstance(classifier, str) else classifier[0]

    name = find_encoder_name(dataclasses.replace(shape, model_type=model_type))

    assert name == getattr(transformers, classifier).base_model_prefix
