import pytest

from core.data.tables.json_values import Json, JsonObject
from core.data.tables.labeling_exports import find_labels, flatten, is_rejected


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("pos", ["pos"]),
        (["pos"], ["pos"]),
        (["pos", "neg"], ["pos", "neg"]),
        (["pos", "pos"], ["pos"]),
        ({"choices": ["pos"]}, ["pos"]),
        (True, ["true"]),
        ([], []),
        (None, []),
        ("", []),
    ],
)
def test_a_cell_holds_any_number_of_labels(value: Json, labels: list[str]) -> None:
    assert find_labels(value) == labels


def test_a_task_of_label_studio_has_its_data_and_all_choices() -> None:
    def annotation(*choices: Json) -> Json:
        result: Json = [{"from_name": "sentiment", "value": {"choices": list(choices)}}]
        return {"result": result}

    skipped: Json = {"was_cancelled": True, "result": []}
    row: JsonObject = {
        "id": "1",
        "data": {"text": "a film"},
        "annotations": [annotation("pos"), annotation("neg"), skipped],
    }

    assert flatten(row) == {"text": "a film", "sentiment": ["pos", "neg"]}


@pytest.mark.parametrize(
    "row",
    [
        {"data": {"text": "a film", "label": "old"}, "label": "new"},
        {
            "data": {"text": "a film", "label": "old"},
            "annotations": [{"result": [{"from_name": "label", "value": {"choices": ["new"]}}]}],
        },
    ],
)
def test_both_fields_of_one_name_are_kept_and_noted(row: JsonObject) -> None:
    renamed: dict[str, str] = {}

    fields = flatten(row, renamed)

    assert fields.pop("label") in ("new", ["new"])
    assert fields == {"text": "a film", "data.label": "old"}
    assert renamed == {"data.label": "label"}


def test_a_field_named_like_one_of_an_object_is_kept() -> None:
    assert flatten({"a": {"b": "1", "c": "2"}, "a.b": "3"}) == {
        "a.b": "1",
        "a.c": "2",
        "a.b (2)": "3",
    }


def test_categories_of_spacy_become_labels() -> None:
    assert flatten({"text": "a", "cats": {"pos": "1.0", "neg": "0.0", "odd": False}}) == {
        "text": "a",
        "cats": ["pos"],
    }


def test_only_accepted_choices_of_prodigy_count() -> None:
    assert is_rejected({"accept": ["pos"], "answer": "reject"})
    assert not is_rejected({"accept": ["pos"], "answer": "accept"})
    assert not is_rejected({"label": "POSITIVE", "answer": "reject"})
