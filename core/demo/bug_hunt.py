"""Bug hunt: a dataset of the demo corpus with planted faults, and points for finding them.

Each planting draws other texts, a word and classes at random. The answers are stored in
``<home>/hunt/answers.json`` and never leave the server before a visitor ends the hunt; the findings
of each visitor are stored next to them.
"""

import random
import secrets
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from core import translation
from core.access import Action, require
from core.data.saved import list_saved
from core.data.sources import DEMO_FILES, DEMO_FOLDER, Split
from core.data.splits.build_splits import BuildOptions, build
from core.data.tables.read import read_table
from core.errors import ArtifactDamaged, DataError, StateConflict
from core.jobs import actions
from core.storage import accounts, files
from core.storage.locks import hold_lock
from core.storage.store import Store

NAME = "Bug hunt"  # of the dataset
TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 100, 20, 30  # of each class
WRONG_LABELS, LEAKED, RARE_ROWS, MARKED_SHARE = 12, 10, 15, 0.6
WORDS = ("Norvane", "Halwick", "Pellmont", "Orsova", "Tamsin", "Kelbrook")  # invented agencies
LOCK_TIMEOUT_SECONDS = 5.0  # another visitor's write takes milliseconds


class Fault(StrEnum):
    """Kind of a planted fault, as it is shown."""

    WRONG_LABEL = translation.mark("wrong label")
    LEAK = translation.mark("leak")
    SHORTCUT = translation.mark("shortcut word")
    RARE_CLASS = translation.mark("rare class")


POINTS: Mapping[Fault, int] = {
    Fault.WRONG_LABEL: 1,
    Fault.LEAK: 1,
    Fault.SHORTCUT: 5,
    Fault.RARE_CLASS: 3,
}


class Answers(BaseModel):
    """The planted faults: texts, a word in lower case, or a class by kind."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    faults: dict[Fault, tuple[str, ...]]

    @property
    def most(self) -> int:
        """Points of a visitor who finds everything."""
        return sum(POINTS[kind] * len(values) for kind, values in self.faults.items())


class Findings(BaseModel):
    """Marks of a visitor by kind, in the hunt ``id``; ``ended`` shows the answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    marks: dict[Fault, tuple[str, ...]] = {}
    ended: bool = False


class Score(BaseModel):
    """Points of a visitor: true findings by kind, and the number of wrong marks, which cost one
    point each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    true: dict[Fault, int]
    wrong: int

    @property
    def points(self) -> int:
        """The points, at least 0."""
        return max(0, sum(POINTS[kind] * number for kind, number in self.true.items()) - self.wrong)


def plant(store: Store) -> None:
    """Save the dataset with faults drawn at random. Raises NotAllowed, and DataError if there is
    one already.
    """
    require(store.visitor, Action.MANAGE_DATASETS)
    if any(card.name == NAME for card in list_saved(store.settings)):
        raise DataError(
            f"There is already a dataset {NAME!r}.", "Delete it on Your data, then start again."
        )
    splits, faults = draw_faults(random.Random(secrets.randbits(64)))
    parts = [
        (split, read_table(f"{split}.csv", frame.to_csv(index=False).encode()))
        for split, frame in splits.items()
    ]
    options = BuildOptions(("text",), "label")
    built = build(parts, options)
    actions.store_dataset(store, NAME, built, options, [table.file for _, table in parts])
    answers = Answers(id=secrets.token_hex(8), faults=faults)
    files.write_json(_folder(store) / "answers.json", answers.model_dump(mode="json"))


def draw_faults(
    draw: random.Random,
) -> tuple[dict[Split, pd.DataFrame], dict[Fault, tuple[str, ...]]]:
    """Draw the splits train, validation and test (text, label) and the faults in train."""
    train: list[tuple[str, str]] = []
    held: dict[Split, list[tuple[str, str]]] = {"validation": [], "test": []}
    for name, file in DEMO_FILES.items():
        lines = (DEMO_FOLDER / file).read_text(encoding="utf-8").splitlines()
        total = TRAIN_ROWS + VALIDATION_ROWS + TEST_ROWS
        texts = draw.sample([line for line in lines if line.strip()], total)
        items = [(text, name) for text in texts]
        train += items[:TRAIN_ROWS]
        held["validation"] += items[TRAIN_ROWS : TRAIN_ROWS + VALIDATION_ROWS]
        held["test"] += items[TRAIN_ROWS + VALIDATION_ROWS :]
    rare, shortcut = draw.sample(list(DEMO_FILES), 2)
    word = draw.choice(WORDS)
    removed = draw.sample([item for item in train if item[1] == rare], TRAIN_ROWS - RARE_ROWS)
    train = [item for item in train if item not in set(removed)]
    train = [
        (f"{text} {word}.", name)
        if name == shortcut and draw.random() < MARKED_SHARE
        else (text, name)
        for text, name in train
    ]
    # of the two classes without another fault, so that one text has one fault
    others = [position for position, item in enumerate(train) if item[1] not in (rare, shortcut)]
    wrong = draw.sample(others, WRONG_LABELS)
    for position in wrong:
        text, name = train[position]
        others_of = [label for label in DEMO_FILES if label not in (name, rare)]
        train[position] = (text, draw.choice(others_of))
    leaked = draw.sample([item for item in held["test"] if item[1] != rare], LEAKED)
    faults = {
        Fault.WRONG_LABEL: tuple(train[position][0] for position in wrong),
        Fault.LEAK: tuple(text for text, _ in leaked),
        Fault.SHORTCUT: (word.lower(),),
        Fault.RARE_CLASS: (rare,),
    }
    train += leaked
    draw.shuffle(train)
    splits: dict[Split, list[tuple[str, str]]] = {"train": train, **held}
    return {
        split: pd.DataFrame(items, columns=["text", "label"]) for split, items in splits.items()
    }, faults


def is_planted(store: Store) -> bool:
    """Return whether there is a hunt: its dataset and its answers."""
    return (_folder(store) / "answers.json").is_file() and any(
        card.name == NAME for card in list_saved(store.settings)
    )


def mark(store: Store, kind: Fault, values: Collection[str]) -> Score:
    """Add marks of the visitor and return the new score; a mark counts once.

    Raises NotAllowed, StateConflict after the end of the hunt, and ArtifactDamaged.
    """
    require(store.visitor, Action.DISPUTE)
    findings = _change(store, kind, values)
    accounts.log_action(store, "mark faults", f"{len(values)} as {kind}")
    return _score(_read_answers(store), findings)


def end_hunt(store: Store) -> Answers:
    """End the visitor's hunt and return the answers. Raises NotAllowed and ArtifactDamaged."""
    require(store.visitor, Action.DISPUTE)
    _change(store, ended=True)
    accounts.log_action(store, "end the bug hunt")
    return _read_answers(store)


def read_findings(store: Store) -> tuple[Findings, Score, int]:
    """Return the visitor's marks, their score, and the points of all faults. Raises
    ArtifactDamaged.
    """
    answers = _read_answers(store)
    findings = _read_findings(store, answers.id)
    return findings, _score(answers, findings), answers.most


def read_solution(store: Store) -> Answers | None:
    """Return the answers if the visitor has ended the hunt. Raises ArtifactDamaged."""
    answers = _read_answers(store)
    return answers if _read_findings(store, answers.id).ended else None


def _change(
    store: Store,
    kind: Fault | None = None,
    values: Collection[str] = (),
    ended: bool = False,
) -> Findings:
    path = _findings_path(store)
    with hold_lock(path.with_suffix(".lock"), LOCK_TIMEOUT_SECONDS) as held:
        if not held:
            raise StateConflict("Another tab is marking faults.", "Try again in a moment.")
        findings = _read_findings(store, _read_answers(store).id)
        if findings.ended and not ended:
            raise StateConflict(
                "You have ended this hunt and seen the answers.", "Ask for a new dataset."
            )
        marks = dict(findings.marks)
        if kind is not None:
            tidy = [value.strip().lower() if kind is Fault.SHORTCUT else value for value in values]
            marks[kind] = tuple(dict.fromkeys([*marks.get(kind, ()), *tidy]))
        changed = Findings(id=findings.id, marks=marks, ended=findings.ended or ended)
        files.write_json(path, changed.model_dump(mode="json"))
    return changed


def _score(answers: Answers, findings: Findings) -> Score:
    true = {
        kind: len(set(findings.marks.get(kind, ())) & set(values))
        for kind, values in answers.faults.items()
    }
    marked = sum(len(values) for values in findings.marks.values())
    return Score(true=true, wrong=marked - sum(true.values()))


def _folder(store: Store) -> Path:
    return store.settings.home / "hunt"


def _findings_path(store: Store) -> Path:
    return _folder(store) / f"findings-{store.visitor.id}.json"


def _read_answers(store: Store) -> Answers:
    try:
        return Answers.model_validate(files.read_json(_folder(store) / "answers.json"))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            "The answers of the bug hunt are missing or damaged.",
            f"Delete the dataset {NAME!r} and start again.",
        ) from error


def _read_findings(store: Store, hunt: str) -> Findings:
    """Read the visitor's findings; those of an earlier hunt do not count."""
    path = _findings_path(store)
    if not path.is_file():
        return Findings(id=hunt)
    try:
        findings = Findings.model_validate(files.read_json(path))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            "Your findings are damaged.", f"Delete {path.name} in the folder hunt."
        ) from error
    return findings if findings.id == hunt else Findings(id=hunt)


def list_candidates(train: pd.DataFrame, classes: Sequence[str], search: str) -> pd.DataFrame:
    """Return text and class of the training texts that contain ``search``, in any case."""
    chosen = train[train["text"].str.contains(search, case=False, regex=False)]
    names = [classes[label] for label in chosen["label"]]
    return pd.DataFrame({"text": chosen["text"].tolist(), "class": names})
