"""Synthetic verifications of exports, and exports of tiny adapters with random weights."""

from collections.abc import Sequence
from pathlib import Path

import torch

from core.config import RunConfig
from core.data.sources import Source, SourceKind
from core.runs.descriptions import RunDetails
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.training.adapted_model import add_adapter, serialize_adapter
from core.training.load_model import load_base
from core.transfer.export.formats import Format, Verification
from core.transfer.export.model_card import build_card
from core.transfer.export.script import SavedLora, build_notebook, build_script
from core.transfer.export.write_files import ExportSource, write_model


def make_verification(**changes: object) -> Verification:
    """Build a passed verification with ``changes``."""
    usual = {
        "format": Format.MERGED,
        "texts": 200,
        "labels_equal": 200,
        "max_probability_difference": 1e-6,
        "differs_from_base": 0.4,
    }
    return Verification.model_validate(
        {**usual, "bytes": 1, "rows_per_second": 1, "run_rows_per_second": 1, **changes}
    )


def make_source(
    base: Path,
    adapter: Path,
    classes: Sequence[str],
    identity: str = "org/tiny",
    revision: str = "c" * 40,
    max_tokens: int = 64,
) -> ExportSource:
    """Write an adapter of ``base`` that changes the predictions into the new folder ``adapter``."""
    names = tuple(classes)
    model = add_adapter(load_base(base, names, 1), RunConfig(rank=4), identity, revision)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    adapter.mkdir(parents=True)
    for name, content in serialize_adapter(model).items():
        (adapter / name).write_bytes(content)
    return ExportSource(base, identity, revision, adapter, names, max_tokens, 1)


def make_details(name: str = "mine", data: str = "my news") -> RunDetails:
    """Build details of a run with a score."""
    request = TrainRequest(
        config=RunConfig(rank=4, epochs=1), source=Source(SourceKind.FOLDER, data)
    )
    return RunDetails(name, request, "fp32", "1234", RunResult(test=SplitScores(accuracy=0.9)))


def write_exports(
    source: ExportSource, targets: Sequence[Format], folder: Path, details: RunDetails
) -> dict[str, Format]:
    """Write each format with its card into a folder of ``folder``, the scripts into ``folder``.

    Returns the format of each folder, as ``verify_code`` expects it.
    """
    for target in targets:
        (folder / target).mkdir(parents=True)
        write_model(source, target, folder / target)
        card = build_card(details, source, make_verification(format=target))
        (folder / target / "README.md").write_text(card, encoding="utf-8")
    lora = SavedLora.model_validate_json((source.adapter / "adapter_config.json").read_bytes())
    script = build_script(details, source, lora)
    (folder / "train.py").write_text(script, encoding="utf-8")
    (folder / "train.ipynb").write_text(build_notebook(script), encoding="utf-8")
    return {str(target): target for target in targets}
