"""Load a base model with a new classification head, offline, in fp32 or in 4 bits.

4 bits: the frozen linear layers as NF4 with double quantization, by bitsandbytes (Dettmers et al.
2023, "QLoRA: Efficient Finetuning of Quantized LLMs").
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from peft import prepare_model_for_kbit_training
from safetensors import safe_open
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.config import Precision, find_four_bit_problem
from core.errors import ConfigError, ModelUnavailable
from core.models.base_check import KNOWN_TENSORS
from core.models.catalog import ModelLocation, verify
from core.models.model_shape import ModelShape, read_model_config, read_shape

DOWNLOADED_FILES = [
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab*",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
]

META, CPU = torch.device("meta"), torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded model; ``head`` names the modules that are new or part of the classifier, and are
    trained in full.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: ModelShape
    head: tuple[str, ...]


def fetch(model: ModelLocation) -> Path:
    """Return the verified folder of the model, downloaded from the Hub if necessary. Raises
    ModelUnavailable.
    """
    if not model.available:
        raise ModelUnavailable(model.reason)
    folder = model.folder or _download(model)
    verify(
        ModelLocation(
            model.id, True, model.reason, folder, model.hub_id, model.revision, model.sha256
        )
    )
    return folder


def load_base(folder: Path, classes: Sequence[str], seed: int) -> Base:
    """Load the model in ``folder`` with a new head of ``len(classes)`` outputs; a seed always gives
    the same head. A head in the folder is not used.

    Raises ModelUnavailable if transformers cannot build it, or if weights are missing, unexpected,
    NaN or infinite.
    """
    names = dict(enumerate(classes))
    with quiet(), torch.random.fork_rng(devices=[]), _PlainMetaTensors():
        torch.manual_seed(seed)
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=len(classes),
                id2label=names,
                label2id={name: index for index, name in names.items()},
                problem_type="single_label_classification",
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # a head for other classes is replaced
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except MemoryError:
            raise
        except Exception as error:  # of transformers; tokenizers raises no narrower type
            message = (
                f"The model in {folder} cannot be loaded as a text classifier"
                f" ({type(error).__name__}: {str(error)[:200]})."
            )
            raise ModelUnavailable(message, "Choose another base model.") from error
        base = Base(model, tokenizer, read_shape(folder), _find_head(model, _list_new(report)))
        _draw_stored_head(base, _list_new(report), seed)
    _require_same_tensors(base, report)
    _require_finite(model, folder)
    _forget_own_task(model, folder)
    return base


class _PlainMetaTensors(TorchFunctionMode):
    """Makes tensors without values, which a model has until its files are read, in simple ways.

    torch imports its compiler and sympy, 70 MB, to draw such a tensor, to count in it, or to copy
    its shape.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        if func is nn.init.normal_ and options["tensor"].is_meta:
            return options["tensor"]
        if func is torch.arange and options.get("device") == META:
            return torch.empty_like(func(*args, **options | {"device": CPU}), device=META)
        if func is torch.empty_like and args[0].is_meta:
            return torch.empty(args[0].shape, **{"dtype": args[0].dtype} | options)
        return func(*args, **options)


def _list_new(report: Mapping[str, Collection[Any]]) -> set[str]:
    """Return the tensors that have been drawn, because the files have none of this shape."""
    return {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}


def _draw_stored_head(base: Base, new: set[str], seed: int) -> None:
    """Draw a head that the files have, as transformers draws one that is missing."""
    linears = _list_head_linears(base)
    if new.issuperset(f"{name}.weight" for name in linears):
        return
    torch.manual_seed(seed)
    for name in linears:
        linear = base.model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        nn.init.normal_(linear.weight, std=base.model.config.initializer_range)
        nn.init.zeros_(linear.bias)


def _require_same_tensors(base: Base, report: Mapping[str, Collection[Any]]) -> None:
    """Raise ModelUnavailable if the files have other tensors than the encoder, or fewer tokens than
    the tokenizer.

    ``core.models.base_check`` has refused such files; this is what transformers reports.
    """
    prefix = f"{base.model.base_model_prefix}."
    for key in sorted(report["unexpected_keys"]):
        if not KNOWN_TENSORS.fullmatch(key.removeprefix(prefix)):
            raise ModelUnavailable(
                f"The weights have the tensor {key}, which a {type(base.model).__name__} does not"
                " have.",
                "Choose another base model.",
            )
    for key, stored, expected in sorted(report["mismatched_keys"]):
        if not _is_in_head(base, key):
            raise ModelUnavailable(
                f"The tensor {key} has the shape {tuple(stored)}, but {tuple(expected)} according"
                " to config.json.",
                "Choose another base model.",
            )
    rows = base.model.get_input_embeddings().weight.shape[0]
    if (largest := max(base.tokenizer.get_vocab().values())) >= rows:
        raise ModelUnavailable(
            f"The tokenizer has tokens up to the id {largest}, but the embedding only {rows} rows.",
            "Choose another base model.",
        )


def _forget_own_task(model: PreTrainedModel, folder: Path) -> None:
    """Remove what ``config.json`` says about the task of the model's own head, and fields that
    transformers does not know, so that no export repeats them.
    """
    config = model.config
    config.architectures = [type(model).__name__]
    config.finetuning_task = config.task_specific_params = None
    for field in read_model_config(folder).keys() - vars(type(config)()).keys():
        if field in vars(config):
            delattr(config, field)


def _require_finite(model: PreTrainedModel, folder: Path) -> None:
    """Raise ModelUnavailable with the file and tensor if a loaded weight is NaN or infinite."""
    names = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if names:
        where = _find_in_files(folder, names) or names[0]
        more = f" and {len(names) - 1} more tensors" if len(names) > 1 else ""
        raise ModelUnavailable(
            f"The base model in {folder} is damaged. Tensors with NaN or infinite values:"
            f" {where}{more}.",
            "Save or download the base model again, or choose another one.",
        )


def _find_in_files(folder: Path, names: Sequence[str]) -> str:
    """Return the first of the tensors that is not finite in a file of the folder, and that file.

    A checkpoint may store a tensor without the first part of its name in the model.
    """
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as weights:
            for key in weights.keys():  # noqa: SIM118 - it has no iterator
                is_loaded = any(f".{name}".endswith(f".{key}") for name in names)
                if is_loaded and not torch.isfinite(weights.get_tensor(key)).all():
                    return f"{key} in {path.name}"
    return ""


def _find_head(model: PreTrainedModel, new: set[str]) -> tuple[str, ...]:
    """Find the modules outside the encoder, and its pooler if that is missing in the checkpoint."""
    prefix = model.base_model_prefix
    head = [
        name
        for name, child in model.named_children()
        if name != prefix and any(True for _ in child.parameters())
    ]
    pooler = getattr(model.base_model, "pooler", None)
    if isinstance(pooler, nn.Module):
        own = {f"{prefix}.pooler.{key}" for key, _ in pooler.named_parameters()}
        if own & new:
            head.insert(0, "pooler")
            new = new - own
    if missing := sorted(key for key in new if key.startswith(f"{prefix}.")):
        raise ModelUnavailable(
            f"{len(missing)} tensors of the encoder are missing in the weights, for example"
            f" {missing[0]}.",
            "Choose another model.",
        )
    return tuple(head)


def _download(model: ModelLocation) -> Path:
    with quiet():
        try:
            return Path(
                snapshot_download(
                    model.hub_id, revision=model.revision, allow_patterns=DOWNLOADED_FILES
                )
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            message = (
                f"{model.hub_id} could not be downloaded from the Hub ({type(error).__name__})."
            )
            raise ModelUnavailable(
                message, "Check the connection and the revision, or choose another base model."
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence progress bars of transformers and its warning that the head is new, which it always
    is.
    """
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


COMPUTE_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}  # fp32 otherwise


def require_four_bit(device: torch.device, problem: str) -> None:
    """Raise ConfigError if a base model cannot be loaded in 4 bits on ``device``.

    ``problem`` is that of ``find_four_bit_problem``.
    """
    reason = problem
    if not reason and device.type != "cuda":
        reason = "needs an NVIDIA GPU that PyTorch can use, and there is none"
    if reason:
        raise ConfigError(f"A 4-bit base model {reason}.", "Switch off the 4-bit base model.")


def load_in_four_bits(base: Base, folder: Path, precision: Precision, device: torch.device) -> Base:
    """Load the model in ``folder`` again, with frozen layers in 4 bits and the head of ``base``.

    Raises ConfigError if 4 bits are unsupported, and ModelUnavailable if the package fails.
    """
    require_four_bit(device, find_four_bit_problem())
    quantization = BitsAndBytesConfig(**describe_quantization(base, precision))
    return load_quantized(base, folder, quantization, device)


def describe_quantization(base: Base, precision: Precision) -> dict[str, object]:
    """Return the options of ``BitsAndBytesConfig``: NF4, with the head in full precision."""
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": COMPUTE_DTYPES.get(precision, torch.float32),
        "llm_int8_skip_modules": _list_head_linears(base),
    }


def load_quantized(
    base: Base,
    folder: Path,
    quantization: BitsAndBytesConfig,
    device: torch.device,
    load: Callable[..., PreTrainedModel] = AutoModelForSequenceClassification.from_pretrained,
) -> Base:
    """Load the frozen layers with ``load``, and copy the head of ``base``.

    Raises ModelUnavailable if bitsandbytes fails.
    """
    with quiet(), torch.random.fork_rng(devices=[]):
        try:
            model = load(
                folder,
                config=base.model.config,
                quantization_config=quantization,
                device_map={"": device},
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
            )
        except (OSError, ValueError, ImportError, RuntimeError) as error:
            message = (
                f"The base model could not be loaded in 4 bits ({type(error).__name__}:"
                f" {str(error)[:200]})."
            )
            raise ModelUnavailable(message, "Switch off the 4-bit base model.") from error
    prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    _copy_head(base, model)
    return replace(base, model=model)


def _list_head_linears(base: Base) -> list[str]:
    """List full names of the head's linear modules: transformers compares the start or the end of a
    name, and a pooler is in the middle.
    """
    return [
        name
        for name, module in base.model.named_modules()
        if isinstance(module, nn.Linear) and _is_in_head(base, name)
    ]


def _is_in_head(base: Base, name: str) -> bool:
    return any(f".{module}." in f".{name}." for module in base.head)


def _copy_head(base: Base, model: nn.Module) -> None:
    """Copy the head of ``base``, so that a seed gives the same head in any number format."""
    drawn = dict(base.model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if _is_in_head(base, name):
                parameter.copy_(drawn[name])
