"""What a report says of one run, or of several side by side."""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from core import charts
from core.errors import LoraLabError
from core.evaluation.comparison import Pair, Result, class_differences
from core.evaluation.scores import Proportion
from core.reports.html import HtmlReport, ReportSection, configurations, picture, render, shares
from core.runs import compared_runs
from core.runs.requests import read_train_request
from core.runs.run import Run, read_result
from core.runs.run_baselines import Fitted, read_baselines
from core.settings import PROJECT
from core.storage.job import Job
from core.storage.store import Store

SHOWN_MISTAKES = 20
PATIENCE_SECONDS = 120  # it takes three, and longer beside a training
LONGEST_TEXT = 600  # characters of a mistake

log = logging.getLogger(__name__)


def write_report(store: Store, jobs: Sequence[Job]) -> bytes:
    """The HTML file of one run, or of two to ten. Raises StateConflict for more or for one that has
    not been scored, ArtifactDamaged.
    """
    different = list({job.id: job for job in jobs}.values())
    return render(
        _of_run(store, different[0]) if len(different) == 1 else _of_comparison(store, different)
    )


def write_in_process(store: Store, jobs: Sequence[Job]) -> bytes:
    """The same, made by a process of its own: drawing pictures would leave 150 MB in the server.
    Raises LoraLabError.
    """
    for job in jobs:
        compared_runs.read_test_result(
            store, job
        )  # what that process says goes to the log alone: why not is said here
    with TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        command = [
            sys.executable,
            "-m",
            "core",
            "report",
            *(job.id for job in jobs),
            "--to",
            str(path),
            "--json",
        ]
        environment = {**os.environ, "LORALAB_HOME": str(store.settings.home.absolute())}
        try:
            done = subprocess.run(
                command,
                cwd=PROJECT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoraLabError(
                f"The report was not made ({type(error).__name__}).",
                "Try again when the machine is less busy.",
            ) from error
        if done.returncode or not path.is_file():
            log.error("the report was not made: %s", done.stderr.strip()[-2000:])
            raise LoraLabError(
                "The report was not made; the server's log tells more.", "Choose another run."
            )
        return path.read_bytes()


def _of_run(store: Store, job: Job) -> HtmlReport:
    run, result = Run.of(store, job), compared_runs.read_test_result(store, job)
    scores, config = result.predictions.scores, run.config
    fitted = read_baselines(store, job, config, len(result.classes))
    lead = [
        f"{_share(scores.accuracy)} of {scores.accuracy.n:,} test texts right, macro-F1"
        f" {scores.macro_f1:.3f}."
    ]
    per_class = scores.per_class(result.classes)
    per_class.columns = pd.Index(["Class", "Precision", "Recall", "F1", "Texts"])
    numbers = frozenset(per_class.columns[1:])
    sections = [
        *_curves_of_run(store, job, config.validation_rows, fitted),
        *_baselines(fitted),
        picture(
            "Confusion matrix",
            charts.confusion_matrix(scores.counts, result.classes),
            note="Rows are the true classes.",
        ),
        ReportSection(
            "Scores per class",
            table=shares(per_class, ["Precision", "Recall", "F1"]),
            numbers=numbers,
        ),
        *_mistakes(result),
        ReportSection("Configuration", table=configurations({"Value": config})),
    ]
    about = f"{run.data_name}, fingerprint {job.fingerprint} · run {job.id}"
    return HtmlReport(job.name or job.id, lead, about, sections)


def _of_comparison(store: Store, jobs: Sequence[Job]) -> HtmlReport:
    pairs = compared_runs.compare_runs(store, jobs)
    results = [compared_runs.read_test_result(store, job) for job in jobs]
    names = compared_runs.distinct_names(jobs)
    configs = {names[job.id]: read_train_request(job).config for job in jobs}
    metrics = pd.concat(
        [
            compared_runs.read_curve(store, job, names[job.id], configs[names[job.id]])
            for job in jobs
        ],
        ignore_index=True,
    )
    differences = configurations(configs)
    shown = (
        [
            charts.run_curves(metrics, list(names.values()), "step", measure)
            for measure in ("loss", "accuracy")
        ]
        if len(metrics)
        else []
    )
    sections = [
        ReportSection("Is the difference real?", [pair.verdict for pair in pairs]),
        ReportSection(
            "Results", table=_results(jobs, results, names), note="Intervals: 95 % (Wilson)."
        ),
        ReportSection(
            "Differences of the configurations",
            table=differences if len(differences) else None,
            lines=_same(differences),
        ),
        *(picture(chart.title, chart) for chart in shown),
        *(_pair(pairs[0]) if len(pairs) == 1 else _f1_per_class(results, names)),
    ]
    prints = ", ".join(sorted({job.fingerprint for job in jobs}))
    return HtmlReport(
        f"Comparison of {len(jobs)} runs",
        [", ".join(names.values())],
        f"data fingerprint {prints}",
        sections,
    )


def _curves_of_run(
    store: Store, job: Job, validation_rows: int, fitted: Sequence[Fitted]
) -> list[ReportSection]:
    points = store.read_metrics(job.id)
    if not points:
        return []
    columns = ("step", "split", "loss", "accuracy", "macro_f1", "best")
    frame = pd.DataFrame({name: [getattr(point, name) for point in points] for name in columns})
    loss = charts.loss_curves(frame)
    sections = [picture(loss.title, loss)]
    if frame["accuracy"].notna().any():
        levels = {
            str(one.baseline): one.predictions.scores.accuracy.value
            for one in fitted
            if len(one.predictions)
        }
        scores = charts.score_curves(frame, validation_rows, levels)
        sections.append(picture(scores.title, scores))
    return sections


def _baselines(fitted: Sequence[Fitted]) -> list[ReportSection]:
    rows = [
        {
            "Baseline": one.name,
            "Accuracy": _share(one.predictions.scores.accuracy),
            "Test texts": f"{len(one.predictions):,}",
        }
        for one in fitted
        if len(one.predictions)
    ]
    return (
        [ReportSection("Baselines", table=pd.DataFrame(rows), numbers=frozenset({"Test texts"}))]
        if rows
        else []
    )


def _mistakes(result: Result) -> list[ReportSection]:
    table = result.predictions.table()
    wrong = (
        table[table["true"] != table["predicted"]]
        .sort_values("loss", ascending=False)
        .head(SHOWN_MISTAKES)
    )
    if wrong.empty or "text" not in result.predictions.frame:
        return []
    texts = result.predictions.frame.set_index("row")["text"].loc[wrong["row"]]
    shown = pd.DataFrame(
        {
            "Text": [
                text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…" for text in texts
            ],
            "True class": [result.classes[index] for index in wrong["true"]],
            "Predicted": [result.classes[index] for index in wrong["predicted"]],
            "Loss": [f"{loss:.2f}" for loss in wrong["loss"]],
        }
    )
    return [
        ReportSection("Mistakes with the highest loss", table=shown, numbers=frozenset({"Loss"}))
    ]


def _results(jobs: Sequence[Job], results: Sequence[Result], names: dict[str, str]) -> pd.DataFrame:
    rows = []
    for job, result in zip(jobs, results, strict=True):
        recorded = read_result(job)
        seconds, memory = recorded.train_seconds, recorded.peak_memory_mb
        scores = result.predictions.scores
        rows.append(
            {
                "Run": names[job.id],
                "Accuracy": f"{_share(scores.accuracy)} of {scores.accuracy.n:,}",
                "Macro-F1": f"{scores.macro_f1:.3f}",
                "Test loss": f"{result.predictions.mean_loss:.3f}",
                "Training": f"{seconds / 60:.1f} min" if seconds is not None else "–",
                "Peak memory": f"{memory:,.0f} MB" if memory is not None else "–",
            }
        )
    return pd.DataFrame(rows)


def _f1_per_class(results: Sequence[Result], names: dict[str, str]) -> list[ReportSection]:
    if len({result.classes for result in results}) > 1:
        return []
    columns = {names[result.id]: result.predictions.scores.f1 for result in results}
    frame = shares(pd.DataFrame({"Class": list(results[0].classes), **columns}), list(columns))
    return [ReportSection("F1 per class", table=frame, numbers=frozenset(columns))]


def _pair(pair: Pair) -> list[ReportSection]:
    """What changed from the first of two runs to the second, in the matrix and in each class."""
    if pair.paired is None:
        return []
    first, second = pair.aligned()
    names = pair.first.name, pair.second.name
    chart = charts.matrix_difference(
        first.scores.counts, second.scores.counts, pair.first.classes, names
    )
    found = class_differences(pair)
    sides = [f"F1 of {name}" for name in names]
    frame = shares(
        pd.DataFrame(
            {"Class": found["class"], sides[0]: found["first"], sides[1]: found["second"]}
        ),
        sides,
    )
    frame["Change"] = [
        f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
        for value, low, high in found[["difference", "low", "high"]].to_numpy()
    ]
    note = "Intervals: 95 %, paired bootstrap over the texts."
    return [
        picture(chart.title, chart),
        ReportSection("F1 per class", table=frame, numbers=frozenset(sides), note=note),
    ]


def _same(differences: pd.DataFrame) -> list[str]:
    return [] if len(differences) else ["The configurations are the same."]


def _share(accuracy: Proportion) -> str:
    low, high = accuracy.interval
    return f"{accuracy.value:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")
