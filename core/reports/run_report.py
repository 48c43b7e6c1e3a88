"""Write one run, or a comparison of several, as an HTML file with SVG charts.

The file contains its charts and its style. It has no script and needs no network.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader
from numpy.typing import NDArray

from core import charts
from core.charts.base import Chart
from core.config import RunConfig
from core.errors import LoraLabError
from core.evaluation.class_scores import UndisputedScores
from core.evaluation.comparison import Pair, Result, compare_classes
from core.evaluation.scores import Proportion, list_errors
from core.runs import compared_runs
from core.runs.requests import read_train_request
from core.runs.run import Run, read_result
from core.runs.run_baselines import Fitted, read_baselines
from core.settings import PROJECT
from core.storage.job import Job
from core.storage.store import Store
from core.translation import mark, read_language, translate

TEMPLATE = Path(__file__).with_name("report.html")
WIDTH = 640  # px
TEXT = "#5f6368"  # 5.9:1 on the white of a report
SHOWN_MISTAKES = 20
SHOWN_ERRORS = 50  # pairs of classes, where the matrix has no room for all classes
TIMEOUT_SECONDS = 120  # a report takes 3 s, and longer during a training
LONGEST_TEXT = 600  # characters
MONTHS = (
    mark("January"),
    mark("February"),
    mark("March"),
    mark("April"),
    mark("May"),
    mark("June"),
    mark("July"),
    mark("August"),
    mark("September"),
    mark("October"),
    mark("November"),
    mark("December"),
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportSection:
    """A heading with lines, a chart, a table of formatted cells, and a note. ``numbers`` are the
    columns that are aligned to the right.
    """

    heading: str
    lines: Sequence[str] = ()
    svg: str = ""
    alt: str = ""
    table: pd.DataFrame | None = None
    numbers: frozenset[str] = frozenset()
    note: str = ""


@dataclass(frozen=True)
class HtmlReport:
    """Content of the file, in order, and its language. ``made_at`` is a Unix time in seconds."""

    title: str
    lead: Sequence[str]
    about: str
    sections: Sequence[ReportSection]
    made_at: float = field(default_factory=time.time)
    language: str = field(default_factory=read_language)

    @property
    def origin(self) -> str:
        """Data and date of the report."""
        made_at = time.localtime(self.made_at)
        day = translate(
            "{day} {month} {year}",
            day=made_at.tm_mday,
            month=translate(MONTHS[made_at.tm_mon - 1]),
            year=made_at.tm_year,
        )
        return f"{self.about} · {day}, {time.strftime('%H:%M', made_at)} · LoRA Lab"


def render(report: HtmlReport) -> bytes:
    """Render the HTML file. Every text in it is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, trim_blocks=True
    )
    return environment.get_template(TEMPLATE.name).render(report=report).encode()


def picture(heading: str, chart: Chart, lines: Sequence[str] = (), note: str = "") -> ReportSection:
    """Create a section with a chart."""
    return ReportSection(heading, lines, to_svg(chart), chart.alt, note=note)


def shares(frame: pd.DataFrame, columns: Sequence[str], digits: int = 3) -> pd.DataFrame:
    """Format the numbers of ``columns`` with ``digits`` decimals, and NaN as –."""

    def formatted(value: float) -> str:
        return "–" if isnan(value) else f"{value:.{digits}f}"

    return frame.assign(**{name: frame[name].map(formatted) for name in columns})


def configurations(configs: dict[str, RunConfig]) -> pd.DataFrame:
    """Tabulate a row per field and a column per run; of several runs only fields that differ."""
    values = {name: config.model_dump() for name, config in configs.items()}
    first = next(iter(values.values()))
    fields = [
        name
        for name in first
        if len(values) == 1 or any(other[name] != first[name] for other in values.values())
    ]
    titles = [RunConfig.model_fields[name].title or name for name in fields]
    return pd.DataFrame(
        {
            "Field": titles,
            **{name: [_format_value(each[key]) for key in fields] for name, each in values.items()},
        }
    )


def _format_value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "the model default"
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def to_svg(chart: Chart, width: int = WIDTH) -> str:
    """Convert a chart to an SVG element of ``width`` px; all text in it is escaped."""
    # Contains a JavaScript engine, so it is loaded only for reports.
    import vl_convert  # noqa: PLC0415

    return finish_svg(vl_convert.vegalite_to_svg(make_static_spec(chart, width)))


def make_static_spec(chart: Chart, width: int = WIDTH) -> dict[str, object]:
    """Return the spec of a chart with its data, on white and without its title."""
    config = chart.spec.get("config")
    look = {
        **(config if isinstance(config, dict) else {}),
        "font": "sans-serif",
        "background": "white",
    }
    values = chart.data.astype(object).where(chart.data.notna(), None).to_dict("records")
    return {
        **{name: value for name, value in chart.spec.items() if name != "title"},
        "config": look,
        "width": width,
        "data": {"values": values},
    }


def finish_svg(drawn: str) -> str:
    """Return the SVG element of a converted chart, with texts that are dark enough on white."""
    svg = drawn.replace('"gray"', f'"{TEXT}"')
    return svg[svg.index("<svg") :]


def write_report(store: Store, jobs: Sequence[Job]) -> bytes:
    """Write the HTML file of one run, or of two to ten. Raises StateConflict for more runs or for
    one that has not been scored, and ArtifactDamaged.
    """
    different = list({job.id: job for job in jobs}.values())
    return render(
        _of_run(store, different[0]) if len(different) == 1 else _of_comparison(store, different)
    )


def write_in_process(store: Store, jobs: Sequence[Job]) -> bytes:
    """Write the HTML file in another process, because SVG charts would leave 150 MB in the server.
    Raises LoraLabError.
    """
    for job in jobs:
        # raises the specific error here: errors of the other process only go to the log
        compared_runs.read_test_result(store, job)
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
                timeout=TIMEOUT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise LoraLabError(
                f"The report could not be written ({type(error).__name__}).",
                "Try again when the machine is less busy.",
            ) from error
        if done.returncode or not path.is_file():
            log.error("the report could not be written: %s", done.stderr.strip()[-2000:])
            raise LoraLabError(
                "The report could not be written; the server's log has details.",
                "Choose another run.",
            )
        return path.read_bytes()


def _of_run(store: Store, job: Job) -> HtmlReport:
    run, result = Run.of(store, job), compared_runs.read_test_result(store, job)
    scores, config = result.predictions.scores, run.config
    fitted = read_baselines(store, job, config, len(result.classes))
    lead = [
        f"{_format_proportion(scores.accuracy)} of {scores.accuracy.n:,} test texts correct,"
        f" macro-F1 {scores.macro_f1:.3f} {scores.described_classes}.",
        *([run.hidden_note] if run.hidden_note else []),
        *_undisputed(compared_runs.score_undisputed(store, run)),
    ]
    per_class = scores.tabulate_classes(result.classes)
    per_class.columns = pd.Index(["Class", "Precision", "Recall", "F1", "Texts"])
    numbers = frozenset(per_class.columns[1:])
    sections = [
        *_curves_of_run(store, job, config.validation_rows, fitted),
        *_baselines(fitted),
        *_confusion(scores.counts, result.classes),
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


def _undisputed(undisputed: UndisputedScores | None) -> list[str]:
    """Describe the scores without disputed labels, if there are any."""
    if undisputed is None:
        return []
    scores, (low, high) = undisputed.scores, undisputed.macro_f1_interval
    if not scores.accuracy.n:
        return [f"The labels of all {undisputed.disputed:,} test texts are disputed."]
    return [
        f"Without the {undisputed.disputed:,} test texts whose labels are disputed:"
        f" {_format_proportion(scores.accuracy)} of {scores.accuracy.n:,} correct,"
        f" macro-F1 {scores.macro_f1:.3f} ({low:.3f}–{high:.3f}) {scores.described_classes}."
    ]


def _confusion(counts: NDArray[np.int64], classes: Sequence[str]) -> list[ReportSection]:
    """Draw the matrix; of many classes also list the most frequent errors."""
    chart = charts.draw_confusion_matrix(counts, classes)
    note = "Rows are the true classes."
    if chart.whole is None:
        return [picture("Confusion matrix", chart, note=note)]
    errors = list_errors(counts.tolist())
    table = pd.DataFrame(
        [
            (classes[true], classes[predicted], f"{texts:,}")
            for texts, true, predicted in errors[:SHOWN_ERRORS]
        ],
        columns=["True class", "Predicted", "Texts"],
    )
    rest = f"{max(0, len(errors) - SHOWN_ERRORS):,} more kinds of errors are not listed."
    note = f"{note} The {charts.MOST_LABELED} of {len(classes)} classes with the most errors."
    return [
        picture("Confusion matrix", chart, note=note),
        ReportSection("Most frequent errors", table=table, numbers=frozenset({"Texts"}), note=rest),
    ]


def _of_comparison(store: Store, jobs: Sequence[Job]) -> HtmlReport:
    pairs = compared_runs.compare_runs(store, jobs)
    undisputed = _list_undisputed(store, jobs)
    results = [compared_runs.read_test_result(store, job) for job in jobs]
    notes = compared_runs.list_hidden_notes(store, jobs)
    names = compared_runs.make_distinct_names(jobs)
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
            charts.draw_run_curves(metrics, list(names.values()), "step", measure)
            for measure in ("loss", "accuracy")
        ]
        if len(metrics)
        else []
    )
    sections = [
        ReportSection("Is the difference significant?", [pair.verdict for pair in pairs]),
        *([ReportSection("Without disputed labels", undisputed)] if undisputed else []),
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
        [", ".join(names.values()), *notes],
        f"data fingerprint {prints}",
        sections,
    )


def _list_undisputed(store: Store, jobs: Sequence[Job]) -> list[str]:
    """List scores and verdicts without disputed labels, if there are any."""
    names = compared_runs.make_distinct_names(jobs)
    lines = [
        f"{names[job.id]}: {line}"
        for job in jobs
        for line in _undisputed(compared_runs.score_undisputed(store, Run.of(store, job)))
    ]
    return lines + [pair.verdict for pair in compared_runs.compare_undisputed(store, jobs)]


def _curves_of_run(
    store: Store, job: Job, validation_rows: int, fitted: Sequence[Fitted]
) -> list[ReportSection]:
    points = store.read_metrics(job.id)
    if not points:
        return []
    columns = ("step", "split", "loss", "accuracy", "macro_f1", "best")
    frame = pd.DataFrame({name: [getattr(point, name) for point in points] for name in columns})
    loss = charts.draw_loss_curves(frame)
    sections = [picture(loss.title, loss)]
    if frame["accuracy"].notna().any():
        levels = {
            str(baseline.baseline): baseline.predictions.scores.accuracy.value
            for baseline in fitted
            if len(baseline.predictions)
        }
        scores = charts.draw_score_curves(frame, validation_rows, levels)
        sections.append(picture(scores.title, scores))
    return sections


def _baselines(fitted: Sequence[Fitted]) -> list[ReportSection]:
    rows = [
        {
            "Baseline": baseline.name,
            "Accuracy": _format_proportion(baseline.predictions.scores.accuracy),
            "Test texts": f"{len(baseline.predictions):,}",
        }
        for baseline in fitted
        if len(baseline.predictions)
    ]
    return (
        [ReportSection("Baselines", table=pd.DataFrame(rows), numbers=frozenset({"Test texts"}))]
        if rows
        else []
    )


def _mistakes(result: Result) -> list[ReportSection]:
    table = result.predictions.tabulate()
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
                "Accuracy": f"{_format_proportion(scores.accuracy)} of {scores.accuracy.n:,}",
                "Macro-F1": f"{scores.macro_f1:.3f} {scores.described_classes}",
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
    """Compare the second of two runs with the first, in the matrix and in each class."""
    if pair.paired is None:
        return []
    first, second = pair.align()
    names = pair.first.name, pair.second.name
    chart = charts.draw_matrix_difference(
        first.scores.counts, second.scores.counts, pair.first.classes, names
    )
    differences = compare_classes(pair)
    sides = [f"F1 of {name}" for name in names]
    frame = shares(
        pd.DataFrame(
            {
                "Class": differences["class"],
                sides[0]: differences["first"],
                sides[1]: differences["second"],
            }
        ),
        sides,
    )
    frame["Change"] = [
        "–" if isnan(value) else f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
        for value, low, high in differences[["difference", "low", "high"]].to_numpy()
    ]
    note = "Intervals: 95 %, paired bootstrap over the texts."
    return [
        picture(chart.title, chart),
        ReportSection("F1 per class", table=frame, numbers=frozenset(sides), note=note),
    ]


def _same(differences: pd.DataFrame) -> list[str]:
    return [] if len(differences) else ["The configurations are the same."]


def _format_proportion(accuracy: Proportion) -> str:
    low, high = accuracy.interval
    return f"{accuracy.value:.1%} ({low:.1%} to {high:.1%})".replace("%", " %")
