"""Lab notebook of a lesson: guesses, notes, runs, tagged texts and pinned charts, as one HTML file
for a person or for the class, and the runs of the class as a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from core.access import Action, Role, Visitor, require
from core.config import RunConfig
from core.errors import ArtifactDamaged
from core.evaluation.error_analysis import read_tags
from core.lesson import open_lesson
from core.lesson.open_lesson import OpenLesson
from core.reports.pinned_charts import describe_hidden_pins, list_visible_pins
from core.reports.run_report import HtmlReport, ReportSection, render
from core.runs.artifacts import read_predictions
from core.runs.run import Run
from core.storage import lesson_records
from core.storage.accounts import list_people
from core.storage.job import JobKind
from core.storage.lesson_records import Entry, Pin
from core.storage.store import Store
from core.translation import format_number, translate, translate_plural

MOST_TAGGED = 20  # texts of a run


def write_notebook(store: Store, lesson: OpenLesson) -> bytes:
    """Write the visitor's notebook of a lesson as HTML. Raises NotAllowed."""
    require(store.visitor, Action.ANSWER)
    visitor = store.visitor
    sections = _list_sections(store, lesson, visitor)
    return render(
        HtmlReport(lesson.lesson.title, [_format_author(visitor)], translate("Notebook"), sections)
    )


def write_class_notebook(store: Store, lesson: OpenLesson) -> bytes:
    """Write the notebooks of all people with an entry as one HTML file. Raises NotAllowed."""
    require(store.visitor, Action.TEACH)
    people = {person.id: person for person in list_people(store)}
    sections = [_summarize_guesses(store, lesson)]
    for progress in open_lesson.read_progress(store, lesson.place.id):
        person = people.get(progress.person, Visitor(progress.person, progress.name, Role.STUDENT))
        sections += [
            replace(section, heading=f"{person.name or translate('You')}: {section.heading}")
            for section in _list_sections(store, lesson, person)
        ]
    lead = translate_plural("{n:,} person in this class", "{n:,} people in this class", len(people))
    about = translate("Notebook of the class")
    return render(HtmlReport(lesson.lesson.title, [lead], about, sections))


def tabulate_runs(store: Store) -> pd.DataFrame:
    """Return one row per finished run of the class, with its id, result and configuration.

    Percentages have one decimal. Raises NotAllowed.
    """
    require(store.visitor, Action.TEACH)
    names = {person.id: person.name for person in list_people(store)}
    return pd.DataFrame(
        [_describe_run(run) | _list_settings(run) for run in _list_runs(store, names, None)]
    )


def _format_author(visitor: Visitor) -> str:
    if not visitor.name:
        return translate("Your notebook")
    return translate("Notebook of {name}", name=visitor.name)


def _list_sections(store: Store, lesson: OpenLesson, person: Visitor) -> list[ReportSection]:
    entries = lesson_records.list_entries(store, lesson.place.id, person=person.id)
    runs = list(_list_runs(store, {person.id: person.name}, person.id))
    sections = [
        ReportSection(translate("Guesses and notes"), table=_tabulate_steps(lesson, entries)),
        ReportSection(translate("Runs"), table=_format_runs(runs)),
        ReportSection(translate("Tagged texts"), table=_tabulate_tags([run for run, _ in runs])),
    ]
    tables = [section for section in sections if section.table is not None and len(section.table)]
    pins, hidden = list_visible_pins(store, lesson.place.id, person.id)
    charts = [
        ReportSection(pin.title, [_describe_pin(lesson, pin)], pin.svg, pin.alt) for pin in pins
    ]
    if hidden:
        charts.append(ReportSection(translate("Pinned charts"), [describe_hidden_pins(hidden)]))
    return tables + charts


def _describe_pin(lesson: OpenLesson, pin: Pin) -> str:
    title = lesson.lesson.steps[pin.step].title
    step = translate("Pinned in step {n} {title}", n=pin.step + 1, title=title)
    return f"{step} · {pin.about}" if pin.about else step


def _tabulate_steps(lesson: OpenLesson, entries: Sequence[Entry]) -> pd.DataFrame:
    """Return a row per step with an entry; the answer only where it has been shown."""
    values = {(entry.step, entry.kind): entry.value for entry in entries}
    rows = []
    for number, step in enumerate(lesson.lesson.steps):
        guess, note = values.get((number, "guess"), ""), values.get((number, "note"), "")
        if not guess and not note:
            continue
        shown = number < lesson.place.step or (number == lesson.place.step and lesson.revealed)
        unit = f" {step.guess.unit}" if step.guess and step.guess.unit else ""
        rows.append(
            {
                translate("Step"): f"{number + 1} {step.title}",
                translate("Question"): step.question,
                translate("Guess"): f"{open_lesson.format_guess(step.guess, guess)}{unit}"
                if guess
                else "",
                translate("Answer"): step.reveal if shown else "",
                translate("Prompt"): step.prompt,
                translate("Note"): note,
            }
        )
    return pd.DataFrame(rows)


def _summarize_guesses(store: Store, lesson: OpenLesson) -> ReportSection:
    lines = []
    for number, step in enumerate(lesson.lesson.steps):
        if step.guess:
            counts = open_lesson.count_guesses(store, lesson.place, number)
            summary = open_lesson.summarize_guesses(step.guess, counts)
            lines.append(f"{number + 1}. {step.question} {summary}")
    return ReportSection(translate("All guesses"), lines)


NamedRun = tuple[Run, str]


def _list_runs(store: Store, names: Mapping[str, str], owner: str | None) -> list[NamedRun]:
    """List the readable runs of the people in ``names``, the oldest first."""
    runs = []
    for job in reversed(store.list_jobs(JobKind.TRAIN)):
        if job.owner not in names or owner not in (None, job.owner):
            continue
        run = Run.of(store, job)
        try:
            run.require_readable()
        except ArtifactDamaged:  # the list of runs shows it
            continue
        runs.append((run, names[job.owner]))
    return runs


def _describe_run(named: NamedRun) -> dict[str, object]:
    run, owner = named
    test, guess = run.test, run.request.guess
    return {
        translate("Who"): owner,
        translate("Run id"): run.id,
        translate("Run"): run.name,
        translate("State"): translate(str(run.job.state)),
        translate("Accuracy (%)"): None if test is None else round(test.value * 100, 1),
        translate("95 % interval (±)"): None if test is None else round(test.half_width * 100, 1),
        translate("Test texts"): None if test is None else test.n,
        translate("Guess (%)"): None if guess is None else round(guess * 100, 1),
    }


def _format_runs(runs: Sequence[NamedRun]) -> pd.DataFrame:
    """Tabulate runs for people: numbers with the separators of the language, – where one is
    missing.
    """

    def formatted(value: object) -> object:
        if isinstance(value, int | float):
            return format_number(value, ",.1f" if isinstance(value, float) else ",")
        return "–" if value is None else value

    rows = [_describe_run(run) for run in runs]
    return pd.DataFrame([{name: formatted(value) for name, value in row.items()} for row in rows])


def _list_settings(named: NamedRun) -> dict[str, object]:
    values = named[0].request.config.model_dump(mode="json")
    return {
        name: ", ".join(map(str, value)) if isinstance(value, list) else value
        for name, value in values.items()
        if name in RunConfig.model_fields
    }


def _tabulate_tags(runs: Sequence[Run]) -> pd.DataFrame:
    rows = []
    for run in runs:
        try:
            tags = read_tags(run.folder)
            texts = read_predictions(run.folder, "test") if tags else pd.DataFrame()
        except ArtifactDamaged:  # the pages of the run show it
            continue
        known = dict(zip(texts["row"], texts["text"], strict=True)) if "text" in texts else {}
        rows += [
            {
                translate("Run"): run.name,
                translate("Tag"): tag.tag,
                translate("Note"): tag.note,
                translate("Text"): known.get(tag.row, ""),
            }
            for tag in list(tags.values())[:MOST_TAGGED]
        ]
    return pd.DataFrame(rows)
