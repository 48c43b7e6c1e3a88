"""The leaderboard of a class: runs ranked by the lower bound of their test accuracy, with ties that
are not significant; and the scores of the hidden final test, once it is revealed.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.config import RunConfig
from core.data.hidden_test import read_hidden_texts
from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion, compute_difference_interval
from core.people.classroom import Rules, read_beginning
from core.runs import artifacts
from core.runs.run import Run
from core.storage import files
from core.storage.accounts import list_people
from core.storage.job import BUNDLED_OWNERS, JobKind
from core.storage.store import Store
from core.translation import format_number, mark, translate

CLOSE = mark("too close to call")


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """A finished run. ``owner_name`` is empty where names are hidden; ``varied`` names the settings
    that differ from those of most runs.
    """

    run: Run
    owner_name: str
    test: Proportion
    place: str
    varied: str
    hidden_texts: frozenset[str] = frozenset()

    @property
    def cpu_minutes(self) -> float | None:
        """Minutes of training times threads."""
        return self.run.result.cpu_minutes

    @property
    def trained_parameters(self) -> int | None:
        """Number of parameters that were trained."""
        return self.run.result.trained_parameters

    @property
    def guess(self) -> float | None:
        """The accuracy that was guessed before the run began, from 0 to 1."""
        return self.run.request.guess


@dataclass(frozen=True, slots=True)
class FinalScore:
    """The accuracy of a person's best run on the hidden final test."""

    row: LeaderboardRow
    hidden: Proportion

    @property
    def difference(self) -> float:
        """Hidden minus visible accuracy: negative if the run was chosen by luck."""
        return self.hidden.value - self.row.test.value

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference."""
        return compute_difference_interval(self.row.test, self.hidden)


def read_leaderboard(store: Store, rules: Rules) -> list[LeaderboardRow]:
    """List the runs that have been scored on test texts, the highest lower bound first.

    The lower bound of the 95 % interval does not reward a run for being scored on few texts.
    A run whose 95 % interval overlaps the one of the first run is marked as too close to call,
    because another sample of test texts might reverse their order. Bundled, imported, archived and
    damaged runs are left out.
    """
    names = {visitor.id: visitor.name for visitor in list_people(store)}
    began = read_beginning(store)
    hidden = read_hidden_texts(store.settings)
    scored = [
        (run, test)
        for job in store.list_jobs(JobKind.TRAIN)
        if job.created_at >= began
        and (test := _read_test(run := Run.of(store, job), rules, hidden))
    ]
    scored.sort(key=lambda pair: (pair[1].interval[0], pair[1].value), reverse=True)
    usual = _find_usual([run.request.config for run, _ in scored])
    rows = []
    for position, (run, test) in enumerate(scored):
        owner = run.job.owner
        visible = rules.names or store.visitor.is_admin or owner == store.visitor.id
        owner_name = names.get(owner, "") if visible else ""
        varied = _list_varied(run.request.config, usual)
        place = _format_place(position, scored)
        rows.append(LeaderboardRow(run, owner_name, test, place, varied, hidden))
    return rows


def _find_usual(configs: Sequence[RunConfig]) -> dict[str, object]:
    """Return the most frequent value of each setting except the seed, which is each student's."""
    return {
        name: Counter(getattr(config, name) for config in configs).most_common(1)[0][0]
        for name in RunConfig.model_fields
        if name != "seed" and configs
    }


def _list_varied(config: RunConfig, usual: Mapping[str, object]) -> str:
    return ", ".join(
        f"{translate(str(RunConfig.model_fields[name].title))} {_format(getattr(config, name))}"
        for name, value in usual.items()
        if getattr(config, name) != value
    )


def _format(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or translate("as usual")
    return format_number(value, "g") if isinstance(value, float) else str(value)


def _format_place(position: int, scored: Sequence[tuple[Run, Proportion]]) -> str:
    """Return ``first``, the place as a number, or ``CLOSE`` if the intervals overlap."""
    first, test = scored[0][1], scored[position][1]
    if test.interval[1] < first.interval[0]:
        return str(position + 1)
    overlapping = any(other.interval[1] >= first.interval[0] for _, other in scored[1:])
    return CLOSE if overlapping else mark("first")


def read_final_scores(rules: Rules, rows: Sequence[LeaderboardRow]) -> list[FinalScore]:
    """List the best run of each person with its score on the hidden final test, the highest lower
    bound first; empty until the test is revealed.

    The best run is the first of its owner on the leaderboard ``rows``, of those that had ended when
    the test was revealed.
    """
    best: dict[str, LeaderboardRow] = {}
    for row in rows:
        if (row.run.job.ended_at or 0) <= rules.hidden_revealed:
            best.setdefault(row.run.job.owner, row)
    scores = [
        FinalScore(row, score)
        for row in best.values()
        if (score := _read_hidden(row.run, rules, row.hidden_texts)) is not None and score.n
    ]
    return sorted(scores, key=lambda each: each.hidden.interval[0], reverse=True)


def _read_test(run: Run, rules: Rules, hidden: frozenset[str]) -> Proportion | None:
    """Read the accuracy of a run on the test texts that are not ``hidden``; None for bundled and
    damaged runs, and for imported ones, whose scores were not measured here.
    """
    try:
        run.require_readable()
        if run.bundled or run.imported:
            return None
        if run.test and hidden and not artifacts.hidden_path(run.folder, rules).is_file():
            return _split_scores(run.folder, run.version, run.classes, hidden)[0]
        return run.test
    except ArtifactDamaged:
        return None


def _read_hidden(run: Run, rules: Rules, hidden: frozenset[str]) -> Proportion | None:
    path = artifacts.hidden_path(run.folder, rules)
    try:
        if path.is_file():
            return Predictions.read(path, len(run.classes)).scores.accuracy
        return _split_scores(run.folder, run.version, run.classes, hidden)[1]
    except ArtifactDamaged:
        return None


@lru_cache(maxsize=64)
def _split_scores(
    folder: Path, version: int, classes: tuple[str, ...], hidden: frozenset[str]
) -> tuple[Proportion, Proportion]:
    """Return the accuracy on the visible and on the hidden texts, for a run that was trained before
    the class had hidden texts.
    """
    table = files.read_parquet(artifacts.predictions_path(folder, "test"))
    if "text" not in table:
        raise ArtifactDamaged(
            mark("The predictions of this run do not contain their texts."),
            mark("Train the run again."),
        )
    is_hidden = table["text"].isin(hidden)
    visible, final = (
        Predictions.of(part, len(classes)).scores.accuracy
        for part in (table[~is_hidden], table[is_hidden])
    )
    return visible, final


def read_guesses(store: Store) -> list[float]:
    """List the guessed accuracies of all runs of the class, from 0 to 1, without their owners."""
    guesses, began = [], read_beginning(store)
    for job in store.list_jobs(JobKind.TRAIN):
        try:
            guess = Run.of(store, job).request.guess
        except ArtifactDamaged:  # the list of runs shows it
            continue
        if guess is not None and job.created_at >= began and job.owner not in BUNDLED_OWNERS:
            guesses.append(guess)
    return guesses
