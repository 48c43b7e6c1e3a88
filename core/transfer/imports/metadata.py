"""Read and validate the metadata of an imported adapter: class names, configuration, curves and
predictions.

Shapes: n texts, C classes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError
from tokenizers import Tokenizer

from core.access import sanitize_name
from core.config import RunConfig, find_bounds
from core.data.tables.table import clean
from core.errors import ArtifactDamaged, DataError
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.models.model_shape import ModelShape
from core.runs.run import PORTABLE_FIGURES, RunResult
from core.storage.database import Metric
from core.storage.job import check_types
from core.transfer.imports.adapter_config import AdapterConfig, read_object
from core.transfer.imports.archive import (
    ADDED_TOKENS,
    LABELS,
    MODEL,
    PREDICTIONS,
    RUN,
    TOKENIZER,
    TOKENIZER_CONFIG,
    VOCABULARIES,
    AdapterArchive,
)
from core.transfer.imports.peft_adapter import CheckedAdapter

LONGEST_NAME, LONGEST_CLASS = 120, 80  # characters
MOST_POINTS, MOST_LINES = 200_000, 1_000_000
COUNTS = ("trained_rows", "steps", "best_step")  # the integers among them
AGAIN = "Export the run again, or remove this file from the zip."
PLACEHOLDER = re.compile(r"LABEL_\d+")  # transformers' name of a class that has none
USUAL_TOKENS = 512  # the limit of most encoders, for one that records none
# tokenizers with the same vocabulary that differ in the ids of these texts are different
PROBES = (
    "The team won the FINAL, 3-1; it was Jürgen's 1st goal!",
    "naïve café — “Überraschung” costs 1,299.50 € (≈ $1.4k).",
    "  two  spaces,\ttabs\nand\r\nlines ",
    "新しいモデル 한국어 Привет мир Ελλάδα עברית",
    "e\u0301 n\u0303 \ufb01 \u00ad \u200b \u00a0 \U0001f600 \x00",
    "a-b_c/d\\e@f.com #tag x=y+z 100% don't can't I'm",
    "[CLS] [SEP] [MASK] [UNK] [PAD] <s> </s> <mask> <unk> <pad>",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
)
# of tokenizer_config.json: with the usual value; and those whose usual value varies between classes
TOKENIZER_OPTIONS: Mapping[str, object] = {
    "truncation_side": "right",
    "split_special_tokens": False,
}
NORMALIZER_OPTIONS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


@dataclass(frozen=True)
class RunMetadata:
    """Valid values of ``run.json``; the defaults stand for missing and invalid ones.

    ``config`` holds the stored fields of ``RunConfig``, unchecked: see ``read_run_config``. It is
    empty if the configuration is not known. ``figures`` has only ``PORTABLE_FIGURES``.
    """

    name: str = ""
    config: Mapping[str, object] = field(default_factory=dict)
    data: str = ""
    fingerprint: str = ""
    figures: RunResult = RunResult()
    metrics: tuple[Metric, ...] = ()


def read_metadata(archive: AdapterArchive) -> RunMetadata:
    """Read ``run.json``. Raises DataError if it is not JSON or its curves are damaged."""
    if RUN not in archive.files:
        return RunMetadata()
    content = read_object(archive.files[RUN], RUN)
    name, config = content.get("name"), content.get("config")
    data, fingerprint = _read_data(content.get("data"))
    return RunMetadata(
        name if isinstance(name, str) else "",
        config if isinstance(config, dict) else {},
        data,
        fingerprint,
        read_figures(content),
        read_metrics(content.get("metrics", [])),
    )


def with_revision(config: AdapterConfig, archive: AdapterArchive) -> AdapterConfig:
    """Add the base model's revision from ``labels.json`` if ``adapter_config.json`` has none.

    For a base model from a folder, the revision is a fingerprint of its files.
    """
    labels = read_object(archive.files[LABELS], LABELS) if LABELS in archive.files else {}
    revision = labels.get("revision")
    is_same_base = labels.get("base") == config.base_model_name_or_path
    if config.revision or not is_same_base or not isinstance(revision, str):
        return config
    return config.model_copy(update={"revision": revision[:200]})


def choose_import_name(metadata: RunMetadata, requested: str, archive: AdapterArchive) -> str:
    """Choose the name of the run: the requested one, else the stored one, else the file name."""
    chosen = requested.strip() or metadata.name or archive.name.rpartition(".")[0] or archive.name
    return sanitize_name(chosen, LONGEST_NAME) or "imported"


def read_classes(
    archive: AdapterArchive, requested: Sequence[str], classes: int
) -> tuple[str, ...]:
    """Return C class names in the order of their ids: the requested ones, else the stored ones.

    Raises DataError.
    """
    names = list(requested) or _read_stored_names(archive)
    if not requested and names and all(PLACEHOLDER.fullmatch(name) for name in names):
        message = f"The adapter's class names are only {names[0]} to {names[-1]}."
        raise DataError(
            message, f"Enter {classes} names in the order of their ids, separated by commas."
        )
    if not names:
        message = f"The adapter has {classes} classes but no class names."
        raise DataError(
            message, f"Enter {classes} names in the order of their ids, separated by commas."
        )
    if len(names) != classes:
        raise DataError(
            f"The adapter's classifier has {classes} classes, but there are {len(names)} names.",
            f"Enter {classes} names.",
        )
    plain = tuple(sanitize_name(str(name), LONGEST_CLASS + 1) for name in names)
    if bad := [name for name in plain if not 1 <= len(name) <= LONGEST_CLASS]:
        raise DataError(
            f"{bad[0][:20]!r} is not a valid class name: names have 1 to {LONGEST_CLASS}"
            " characters.",
            "Choose other names.",
        )
    if len(set(plain)) < len(plain):
        raise DataError("Two classes have the same name.", "Give each class a different name.")
    return plain


def read_run_config(
    stored: Mapping[str, object],
    adapter: CheckedAdapter,
    model: str,
    archive: AdapterArchive,
    shape: ModelShape,
) -> RunConfig:
    """Build the run configuration from ``stored`` fields; values of the adapter take precedence.

    Raises DataError.
    """
    known = {name: value for name, value in stored.items() if name in RunConfig.model_fields}
    if LABELS in archive.files and isinstance(
        tokens := read_object(archive.files[LABELS], LABELS).get("max_tokens"), int
    ):
        known["max_tokens"] = tokens
    try:
        run_config = RunConfig.model_validate({**known, **adapter.fields(), "model": model})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(
            f"{RUN}: {'.'.join(map(str, first['loc']))} is invalid. {first['msg']}.", AGAIN
        ) from error
    if shape.max_positions and run_config.max_tokens > shape.max_positions:
        raise DataError(
            f"{RUN}: the base model accepts at most {shape.max_positions} tokens, not"
            f" {run_config.max_tokens}.",
            AGAIN,
        )
    return run_config


def find_max_tokens(archive: AdapterArchive, folder: Path | None, shape: ModelShape) -> int:
    """Return the length at which a reader without LoRA Lab truncates texts.

    It is that of the tokenizer, at most that of the base model in ``folder``.
    """
    data = archive.files.get(TOKENIZER_CONFIG) or _read_file(folder, TOKENIZER_CONFIG) or b"{}"
    longest = read_object(data, TOKENIZER_CONFIG).get("model_max_length")
    low, high = (int(bound or 0) for bound in find_bounds("max_tokens"))
    limits = [high, *([shape.max_positions] if shape.max_positions else [])]
    if isinstance(longest, int | float) and longest >= low:
        limits.append(int(min(longest, high)))
    return min(limits) if len(limits) > 1 else USUAL_TOKENS


def check_tokenizer(archive: AdapterArchive, folder: Path | None) -> None:
    """Check that the adapter's own tokenizer, if it has one, is that of the base model.

    ``folder`` is that of the base model, None before its download. Raises DataError.
    """
    different = (
        f"{archive.name} has a tokenizer that differs from that of the base model: {{}}. LoRA Lab"
        " tokenizes with the base model's tokenizer."
    )
    fix = "Use a base model with this tokenizer, and choose an adapter without added tokens."
    vocabulary = _read_vocabulary(folder)
    if TOKENIZER in archive.files:
        own = _parse_tokenizer(archive.files[TOKENIZER])
        if vocabulary and own.get_vocab() != vocabulary:
            size = f"{len(own.get_vocab()):,} tokens instead of {len(vocabulary):,}"
            raise DataError(different.format(f"another vocabulary ({size})"), fix)
        data = _read_file(folder, TOKENIZER)
        if data is not None and _encode_probes(own) != _encode_probes(_parse_tokenizer(data)):
            raise DataError(different.format("another normalization or other special tokens"), fix)
    if option := _find_other_option(archive, folder):
        raise DataError(different.format(f"another {option} in {TOKENIZER_CONFIG}"), fix)
    for name in sorted(VOCABULARIES & archive.files.keys()):
        # transformers reads only added tokens next to a tokenizer.json
        if TOKENIZER in archive.files and name not in (ADDED_TOKENS, TOKENIZER_CONFIG):
            continue
        if not _has_tokens(archive.files[name], name, folder, vocabulary):
            raise DataError(different.format(f"another {name}"), fix)


def _find_other_option(archive: AdapterArchive, folder: Path | None) -> str:
    """Return an option that changes the tokens of a text and differs from the base model's."""
    own, base = (
        read_object(data or b"{}", TOKENIZER_CONFIG)
        for data in (archive.files.get(TOKENIZER_CONFIG), _read_file(folder, TOKENIZER_CONFIG))
    )
    for option, usual in TOKENIZER_OPTIONS.items():
        if option in own and own[option] != base.get(option, usual):
            return option
    written = (option for option in NORMALIZER_OPTIONS if option in own and option in base)
    return next((option for option in written if own[option] != base[option]), "")


def _has_tokens(data: bytes, name: str, folder: Path | None, vocabulary: Mapping[str, int]) -> bool:
    """Whether the tokens and ids in a file of a tokenizer are those of the base model."""
    tokens: dict[str, object] = {}
    if name == TOKENIZER_CONFIG:
        added = read_object(data, name).get("added_tokens_decoder")
        for index, token in added.items() if isinstance(added, dict) else ():
            if isinstance(token, dict) and str(index).isdecimal():
                tokens[str(token.get("content"))] = int(index)
    elif name.endswith(".txt"):
        tokens.update(_read_lines(data))
    elif name.endswith(".json"):
        tokens.update(read_object(data, name))
    else:
        return _read_file(folder, name) == data
    return tokens.items() <= vocabulary.items()


def _read_lines(data: bytes) -> dict[str, int]:
    lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
    return {line.removesuffix("\r"): index for index, line in enumerate(lines)}


def _read_file(folder: Path | None, name: str) -> bytes | None:
    path = folder / name if folder else None
    return path.read_bytes() if path and path.is_file() else None


def _read_vocabulary(folder: Path | None) -> dict[str, int]:
    """Read the tokens of the base model with their ids; empty if they are not on this machine."""
    if data := _read_file(folder, TOKENIZER):
        vocabulary: dict[str, int] = _parse_tokenizer(data).get_vocab()
        return vocabulary
    return _read_lines(_read_file(folder, "vocab.txt") or b"")


def _parse_tokenizer(data: bytes) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
    except Exception as error:  # the library raises a bare Exception for a damaged file
        message = f"{TOKENIZER} is damaged or of another version ({str(error)[:100]})."
        raise DataError(message, "Save the tokenizer again with save_pretrained.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _encode_probes(tokenizer: Tokenizer) -> list[list[int]]:
    return [tokenizer.encode(text).ids for text in PROBES]


def read_metrics(rows: object) -> tuple[Metric, ...]:
    """Check the points of the curves. Raises DataError."""
    try:
        if not isinstance(rows, list) or len(rows) > MOST_POINTS:
            raise TypeError("not a list of points")
        metrics = [Metric(**row) for row in rows]
        for metric in metrics:
            check_types(metric)
            if metric.split not in ("train", "validation") or not all(
                map(_is_not_extreme, asdict(metric).values())
            ):
                raise ValueError(f"step {metric.step}")
        return tuple(metrics)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{RUN}: the learning curves are damaged ({str(error)[:80]}).", AGAIN
        ) from error


def read_figures(content: Mapping[str, object]) -> RunResult:
    """Read the times, sizes and counts that are valid numbers."""
    amounts = {name: value for name in PORTABLE_FIGURES if is_amount(value := content.get(name))}
    return RunResult.model_validate(
        {
            name: value
            for name, value in amounts.items()
            if name not in COUNTS or isinstance(value, int)
        }
    )


def _read_data(stored: object) -> tuple[str, str]:
    """Read the name and the fingerprint of the data; empty strings if they are missing."""
    data = stored if isinstance(stored, dict) else {}
    name, fingerprint = (
        sanitize_name(str(data.get(key) or ""), LONGEST_NAME) for key in ("name", "fingerprint")
    )
    return name, fingerprint if fingerprint.isalnum() and len(fingerprint) <= 64 else ""


def read_predictions(archive: AdapterArchive, classes: Sequence[str]) -> pd.DataFrame | None:
    """Read the test predictions with their texts; None if there are none. Raises DataError."""
    if PREDICTIONS not in archive.files:
        return None
    lines = archive.files[PREDICTIONS].splitlines()
    ids = {name: index for index, name in enumerate(classes)}
    try:
        if len(lines) > MOST_LINES:
            raise ValueError(f"{len(lines):,} lines, more than {MOST_LINES:,}")
        rows = [json.loads(line) for line in lines if line.strip()]
        probabilities = np.array(
            [[row["probabilities"][name] for name in classes] for row in rows], dtype=np.float32
        ).reshape(-1, len(classes))  # (n, C)
        labels = np.array([ids[row["label"]] for row in rows], dtype=np.int64)  # (n,)
        numbers = np.array([row["row"] for row in rows], dtype=np.int64)  # (n,)
        frame = build_prediction_frame(numbers, labels, probabilities)
        frame["text"] = [clean(row["text"]) for row in rows]
        return Predictions.of(frame, len(classes)).frame
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        ArtifactDamaged,
    ) as error:
        raise DataError(
            f"{PREDICTIONS} is damaged ({type(error).__name__}: {str(error)[:100]}).", AGAIN
        ) from error


def _read_stored_names(archive: AdapterArchive) -> list[str]:
    """Read class names from ``labels.json`` of an export or ``config.json`` of transformers."""
    for name in (LABELS, MODEL):
        if name in archive.files:
            names = read_object(archive.files[name], name).get("id2label")
            if isinstance(names, dict) and all(
                str(number) in names for number in range(len(names))
            ):
                return [str(names[str(number)]) for number in range(len(names))]
    return []


def _is_not_extreme(value: object) -> bool:
    """Return whether ``value`` is a number of a usual size, or of another type.

    JSON allows NaN, infinities and numbers of any size.
    """
    return not isinstance(value, int | float) or abs(value) < 1e12


def is_amount(value: object) -> bool:
    """Return whether ``value`` is a number from 0 to 1e12."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
