from core.cli.output import MOST_COLUMNS, format_details
from core.data.sources import demo_source
from core.runs.descriptions import describe_run_details
from core.storage.store import Store
from tests.support.json_values import value_at
from tests.support.stored_runs import CLASSES, make_finished


def test_a_run_with_a_few_classes_has_its_matrix(store: Store) -> None:
    job = make_finished(store, demo_source(), "few")

    text = format_details(describe_run_details(store, job))

    assert "accuracy 85.0%, macro-F1 0.850 over 4 classes, 40 texts" in text
    assert "Confusion matrix (rows: true class, columns: predicted)" in text


def test_a_run_with_many_classes_has_its_most_frequent_errors(store: Store) -> None:
    classes = tuple(f"class {number}" for number in range(MOST_COLUMNS + 1))
    job = make_finished(store, demo_source(), "many", rows=63, right=60, classes=classes)

    text = format_details(describe_run_details(store, job))

    assert "Most frequent of 3 errors (--json has the matrix)" in text
    assert "       1  class 18 predicted as class 19" in text
    assert "Confusion matrix" not in text


def test_a_class_that_does_not_occur_has_a_dash(store: Store) -> None:
    job = make_finished(
        store, demo_source(), "absent", rows=4, right=4, classes=(*CLASSES, "Weather")
    )

    details = describe_run_details(store, job)
    (line,) = [
        line for line in format_details(details).splitlines() if line.startswith("Weather ")
    ][:1]

    assert value_at(details, "test", "macro_f1_classes") == 4
    assert line.split() == ["Weather", "–", "–", "–", "–", "0"]
