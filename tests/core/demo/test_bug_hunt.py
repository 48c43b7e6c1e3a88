import random

import pytest

from core.access import GUEST, Role, Visitor
from core.data.sources import DEMO_FILES, DEMO_FOLDER
from core.demo import bug_hunt
from core.demo.bug_hunt import Answers, Fault
from core.errors import DataError, NotAllowed, StateConflict
from core.storage import files
from core.storage.store import Store

ADA, BOB = Visitor("ada", "Ada", Role.STUDENT), Visitor("bob", "Bob", Role.STUDENT)


@pytest.fixture
def planted(store: Store) -> Answers:
    bug_hunt.plant(store)
    return Answers.model_validate(files.read_json(store.settings.home / "hunt" / "answers.json"))


@pytest.mark.parametrize("seed", range(8))
def test_the_answers_are_true_of_the_data_and_complete(seed: int) -> None:
    splits, faults = bug_hunt.draw_faults(random.Random(seed))

    train, test = splits["train"], splits["test"]
    (word,), (rare,) = faults[Fault.SHORTCUT], faults[Fault.RARE_CLASS]
    assert set(faults[Fault.LEAK]) == set(train["text"]) & set(test["text"])
    assert train["label"].value_counts().idxmin() == rare
    marked = train[train["text"].str.lower().str.contains(word)]
    assert marked["label"].nunique() == 1
    assert not test["text"].str.lower().str.contains(word).any()
    true = {
        text: name
        for name, file in DEMO_FILES.items()
        for text in (DEMO_FOLDER / file).read_text(encoding="utf-8").splitlines()
    }
    wrong = {
        text
        for text, label in zip(train["text"], train["label"], strict=True)
        if true.get(text, label) != label
    }
    assert wrong == set(faults[Fault.WRONG_LABEL])
    assert train["text"].is_unique


def test_two_hunts_differ() -> None:
    first, second = (bug_hunt.draw_faults(random.Random(seed))[1] for seed in (1, 2))

    assert set(first[Fault.WRONG_LABEL]) != set(second[Fault.WRONG_LABEL])


def test_a_true_mark_gives_points_once_and_a_wrong_one_costs_a_point(
    store: Store, planted: Answers
) -> None:
    text, other = planted.faults[Fault.LEAK][:2]

    assert bug_hunt.mark(store, Fault.LEAK, [text, "not leaked"]).points == 0
    assert bug_hunt.mark(store, Fault.LEAK, [text, other]).points == 1
    assert bug_hunt.mark(store, Fault.LEAK, [other, "not leaked"]).points == 1
    assert bug_hunt.mark(store, Fault.WRONG_LABEL, [text]).points == 0


def test_a_word_counts_in_any_case(store: Store, planted: Answers) -> None:
    (word,) = planted.faults[Fault.SHORTCUT]

    assert bug_hunt.mark(store, Fault.SHORTCUT, [f" {word.upper()} "]).points == 5


def test_finding_everything_gives_all_points(store: Store, planted: Answers) -> None:
    for kind, values in planted.faults.items():
        score = bug_hunt.mark(store, kind, values)

    assert score.points == planted.most == 12 + 10 + 5 + 3
    assert score.wrong == 0


def test_each_student_has_points_of_their_own(store: Store, planted: Answers) -> None:
    ada, bob = store.for_visitor(ADA), store.for_visitor(BOB)

    bug_hunt.mark(ada, Fault.LEAK, planted.faults[Fault.LEAK])

    assert bug_hunt.read_findings(ada)[1].points == 10
    assert bug_hunt.read_findings(bob)[1].points == 0


def test_the_answers_are_shown_after_the_end_only_and_end_the_marking(
    store: Store, planted: Answers
) -> None:
    assert bug_hunt.read_solution(store) is None

    bug_hunt.end_hunt(store)

    assert bug_hunt.read_solution(store) == planted
    assert bug_hunt.read_solution(store.for_visitor(ADA)) is None
    with pytest.raises(StateConflict, match="ended"):
        bug_hunt.mark(store, Fault.LEAK, planted.faults[Fault.LEAK])


def test_students_start_no_hunt_and_guests_mark_nothing(store: Store, planted: Answers) -> None:
    with pytest.raises(NotAllowed):
        bug_hunt.plant(store.for_visitor(ADA))
    with pytest.raises(NotAllowed):
        bug_hunt.mark(store.for_visitor(GUEST), Fault.LEAK, ["x"])
    with pytest.raises(DataError, match="already"):
        bug_hunt.plant(store)


def test_marks_of_an_earlier_hunt_do_not_count(store: Store, planted: Answers) -> None:
    bug_hunt.mark(store, Fault.LEAK, planted.faults[Fault.LEAK])
    path = store.settings.home / "hunt" / "answers.json"
    files.write_json(path, planted.model_copy(update={"id": "f" * 16}).model_dump(mode="json"))

    assert bug_hunt.read_findings(store)[1].points == 0
