"""Load a base model with a new classification head, offline and without a word on the terminal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from core.errors import ModelUnavailable
from core.models.architecture import ModelShape, read_shape
from core.models.catalog import ModelLocation, verify

FETCHED = [
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "tokenizer*",
    "vocab*",
    "special_tokens_map.json",
    "merges.txt",
]


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded model; ``head`` names the modules that are new or belong to the classifier, and so
    are trained in full.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    shape: ModelShape
    head: tuple[str, ...]


def fetch(model: ModelLocation) -> Path:
    """The model's folder, verified; fetched from the Hub if it is not here yet. Raises
    ModelUnavailable.
    """
    if not model.available:
        raise ModelUnavailable(model.reason, "Choose another base model.")
    folder = model.folder or _download(model)
    found = ModelLocation(
        model.id, True, model.reason, folder, model.hub_id, model.revision, model.sha256
    )
    verify(found)
    return folder


def load_base(folder: Path, classes: Sequence[str], seed: int) -> Base:
    """The model in ``folder`` with a head of ``len(classes)`` outputs. One seed always gives the
    same head.

    Raises ModelUnavailable if transformers cannot build it, or weights of the encoder itself are
    missing.
    """
    names = dict(enumerate(classes))
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                folder,
                num_labels=len(classes),
                id2label=names,
                label2id={name: index for index, name in names.items()},
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
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            message = (
                f"The model in {folder} cannot be loaded as a text classifier"
                f" ({type(error).__name__}: {str(error)[:200]})."
            )
            raise ModelUnavailable(message, "Choose another base model.") from error
    new = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    return Base(model, tokenizer, read_shape(folder), _find_head(model, new))


def _find_head(model: PreTrainedModel, new: set[str]) -> tuple[str, ...]:
    """All of the classifier outside the encoder, and parts of the encoder that the checkpoint lacks
    as a whole (a pooler).
    """
    prefix = model.base_model_prefix
    head = [
        name
        for name, child in model.named_children()
        if name != prefix and any(True for _ in child.parameters())
    ]
    for name, child in model.base_model.named_children():
        own = {f"{prefix}.{name}.{key}" for key, _ in child.named_parameters()}
        if own and own <= new:
            head.insert(0, name)
            new = new - own
    if missing := sorted(key for key in new if key.startswith(f"{prefix}.")):
        raise ModelUnavailable(
            f"The weights lack {len(missing)} tensors of the encoder, {missing[0]} among them.",
            "Choose another model.",
        )
    return tuple(head)


def _download(model: ModelLocation) -> Path:
    with quiet():
        try:
            return Path(
                snapshot_download(model.hub_id, revision=model.revision, allow_patterns=FETCHED)
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            message = f"{model.hub_id} could not be fetched from the Hub ({type(error).__name__})."
            raise ModelUnavailable(
                message, "Check the connection and the revision, or choose another base model."
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Transformers without progress bars, and without its report that the head is new: it always
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
