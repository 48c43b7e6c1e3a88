"""Export one run: write a format, verify its predictions, and add the model card and scripts."""

import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import pandas as pd

from core.data.hub import hub_reachable
from core.errors import ArtifactDamaged, Stopped
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.runs.descriptions import RunDetails, read_run_details
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from core.training.fast.matmul import machine_products
from core.training.load_model import fetch
from core.transfer.export import model_card, script, write_files
from core.transfer.export.formats import (
    MODELS,
    TITLES,
    Format,
    Verification,
    read_ready,
)
from core.transfer.export.verify import PrintedCode, verify_code, verify_export

# test texts of a verification; the proportion of equal labels of an 8-bit model needs more
TEXTS = {Format.ONNX_INT8: 2000}
USUAL_TEXTS = 200
ALWAYS = (Format.ADAPTER, Format.ONNX)  # part of every bundle; other formats if already exported
# of the progress bar: files, verification, and each block of code
STEPS = {Format.BUNDLE: 11, Format.SCRIPT: 4, Format.TENSORBOARD: 2}
USUAL_STEPS = 6
UNSCORED = "a text of a run that has no test texts"  # train.py is executed on it
SHARED_FILES = ("run.json", "predictions.jsonl", "train.py", "train.ipynb")  # not of one format


class Exporter:
    """Writes exports of one run.

    ``write`` raises ArtifactDamaged if verification fails or data of the run are missing,
    ModelUnavailable, and Stopped.
    """

    def __init__(
        self,
        store: Store,
        job: Job,
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        verify: Callable[..., Verification] = verify_export,
        verify_code: Callable[..., object] = verify_code,
    ) -> None:
        self._verify, self._verify_code = verify, verify_code
        self.store, self.job, self.run = store, job, Run.of(store, job)
        self._report, self._should_stop = report, should_stop
        self._done, self._total = 0, USUAL_STEPS

    def write(self, target: Format, folder: Path) -> Verification | None:
        """Write a format into the empty ``folder`` and return its verification.

        For a bundle it is the verification of the adapter; None for a format without a model.
        """
        self._total = STEPS.get(target, USUAL_STEPS)
        self._step(0)
        if target in MODELS:
            verification = self._write_model(target, folder)
            self._execute(folder, {".": target})
            return verification.model_copy(update={"code_executed": True})
        if target is Format.TENSORBOARD:
            write_files.write_curves(self.details, folder)
        elif target is Format.SCRIPT:
            self._write_scripts(folder)
            self._execute(folder, {})
        else:
            return self._write_bundle(folder)
        write_files.write_run(self.details, self.source, folder / "run.json")
        return None

    @cached_property
    def source(self) -> write_files.ExportSource:
        """The model to export."""
        settings, config = self.store.settings, self.run.config
        adapter = self.run.adapter
        model = find_model(config.model, settings, hub_reachable(settings))
        self.run.require_same_base(model)
        return write_files.ExportSource(
            fetch(model),
            model.identity,
            model.revision,
            adapter,
            self.run.classes,
            config.max_tokens,
            config.seed,
        )

    @cached_property
    def details(self) -> RunDetails:
        """Details of the run for model cards, scripts and ``run.json``."""
        return read_run_details(self.store, self.job)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Test predictions with their texts."""
        if not self.run.has_predictions():
            raise ArtifactDamaged(
                "The run has no test texts to verify an export with.",
                "If the run was imported, score it on the page Runs first.",
            )
        return self.run.read_predictions().frame

    def _write_model(self, target: Format, folder: Path) -> Verification:
        source = self.source
        texts = self.predictions["text"].head(TEXTS.get(target, USUAL_TEXTS)).tolist()
        write_files.write_model(source, target, folder)
        self._step()
        onednn = machine_products(self.store.settings).onednn_is_faster
        verification = self._verify(source, target, folder, texts, onednn)
        self._step()
        if not verification.holds:
            message = (
                f"The export does not predict as the run does: {verification.equal.hits} of"
                f" {verification.texts} labels are equal; probabilities differ by up to"
                f" {verification.max_probability_difference:.2g}."
            )
            raise ArtifactDamaged(message, "Choose another format. The run is unchanged.")
        (folder / "README.md").write_text(
            model_card.build_card(self.details, source, verification), encoding="utf-8"
        )
        self._write_scripts(folder)
        write_files.write_run(self.details, source, folder / "run.json")
        if target is Format.ADAPTER:
            write_files.write_predictions(
                self.predictions, source.classes, folder / "predictions.jsonl"
            )
        return verification

    def _write_bundle(self, folder: Path) -> Verification | None:
        verification = None
        for target in MODELS:
            ready = read_ready(self.store, self.job, target)
            verified = ready and ready.verification and ready.verification.code_executed
            if target is not Format.ADAPTER and ready and verified:
                _unpack(ready.path, folder / target)
            elif target in ALWAYS:
                (folder / target).mkdir()
                result = self._write_model(target, folder / target)
                verification = result if target is Format.ADAPTER else verification
        (folder / "curves").mkdir()
        write_files.write_curves(self.details, folder / "curves")
        for name in SHARED_FILES:
            (folder / Format.ADAPTER / name).rename(folder / name)
            for target in MODELS:
                (folder / target / name).unlink(missing_ok=True)
        self._write_bundle_readme(folder)
        models = {str(target): target for target in MODELS if (folder / target).is_dir()}
        self._execute(folder, {".": Format.ADAPTER, **models})
        return verification and verification.model_copy(update={"code_executed": True})

    def _write_bundle_readme(self, folder: Path) -> None:
        """Write the adapter's card, with its paths from the bundle, and the list of contents."""
        card = (folder / Format.ADAPTER / "README.md").read_text(encoding="utf-8")
        for target in MODELS:
            self._refer_to_scripts_above(folder / target / "README.md", target)
        contents = [
            *(
                f"- `{target}/`: {TITLES[target]}"
                for target in MODELS
                if (folder / target).is_dir()
            ),
            "- `predictions.jsonl`: all test texts with their probabilities",
            "- `curves/`: event files for TensorBoard",
            "- `train.py`, `train.ipynb`: script and notebook that repeat the training",
            "- `run.json`: configuration, data and scores",
        ]
        (folder / "README.md").write_text(
            card.replace('"."', f'"{Format.ADAPTER}"').replace(
                "--adapter .", f"--adapter {Format.ADAPTER}"
            )
            + "\n## In this zip\n\n"
            + "\n".join(contents)
            + "\n",
            encoding="utf-8",
        )

    def _refer_to_scripts_above(self, path: Path, target: Format) -> None:
        """Replace the commands in the card of a model of a bundle, which has the scripts above."""
        if path.is_file():
            commands = model_card.describe_scripts(self.details, self.source, target)
            card = path.read_text(encoding="utf-8").replace(commands, model_card.SCRIPTS_ABOVE)
            path.write_text(card, encoding="utf-8")

    def _write_scripts(self, folder: Path) -> None:
        saved = (self.source.adapter / "adapter_config.json").read_bytes()
        lora = script.SavedLora.model_validate_json(saved)
        retrain = script.build_script(self.details, self.source, lora)
        for name, content in {
            "train.py": retrain,
            "train.ipynb": script.build_notebook(retrain),
        }.items():
            (folder / name).write_text(content, encoding="utf-8")

    def _execute(self, folder: Path, models: dict[str, Format]) -> None:
        """Execute the code of the export as printed, as its last check."""
        classes = self.source.classes
        rows = [(UNSCORED, name) for name in classes]
        if self.run.has_predictions():
            frame = self.predictions.head(USUAL_TEXTS)
            labels = [classes[label] for label in frame["label"]]
            rows = list(zip(frame["text"], labels, strict=True))
        printed = PrintedCode(
            script.find_training_data(self.details),
            not self.run.config.four_bit,
            machine_products(self.store.settings).onednn_is_faster,
            self._should_stop,
            self._advance,  # does not raise: a thread that reads the output calls it
        )
        self._verify_code(self.source, models, folder, rows, printed)

    def _step(self, more: int = 1) -> None:
        self._advance(more)
        if self._should_stop():
            raise Stopped("The export was stopped.")

    def _advance(self, more: int = 1) -> None:
        self._done = min(self._done + more, self._total - 1)
        self._report(Progress(Phase.EXPORTING, self._done, self._total))


def _unpack(path: Path, folder: Path) -> None:
    """Unpack an export of this app, without the zip's top-level folder."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            target = folder / name.partition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))
