import pytest

from core.data.sources import Split
from core.data.splits.build_splits import (
    LONGEST_TEXT,
    BuildOptions,
    BuiltDataset,
    DroppedRows,
    build,
)
from core.data.tables.read import read_table
from core.data.tables.table import Table
from core.errors import DataError

CHOICE = BuildOptions(("text",), "label")


def table(*rows: str, header: str = "text,label", name: str = "a.csv") -> Table:
    return read_table(name, "\n".join([header, *rows]).encode())


def pets(rows: int = 20, labels: tuple[str, ...] = ("cat", "dog")) -> list[str]:
    return [f"text {i} here,{labels[i % len(labels)]}" for i in range(rows)]


def built(*rows: str, choice: BuildOptions = CHOICE) -> BuiltDataset:
    return build([("train", table(*rows))], choice)


def test_a_split_is_made_with_the_same_share_of_each_class() -> None:
    result = built(*pets(30), *[f"rare {i},emu" for i in range(10)])

    assert result.classes == ("cat", "dog", "emu")
    assert result.report.classes == (("cat", 12, 0, 3), ("dog", 12, 0, 3), ("emu", 8, 0, 2))
    assert set(result.splits) == {"train", "test"}
    texts = [*result.splits["train"]["text"], *result.splits["test"]["text"]]
    assert len(set(texts)) == len(texts) == 40
    assert result.report.notes == ("Test split: 20 % of each class, drawn at random.",)
    again = built(*pets(30), *[f"rare {i},emu" for i in range(10)])
    assert result.splits["test"].equals(again.splits["test"])


def test_the_report_says_what_was_left_out_why_and_where() -> None:
    result = built(
        " ,cat", "no label here,", "one,two,three", f"{'x' * (LONGEST_TEXT + 1)},dog", *pets()
    )

    assert result.report.dropped == (
        DroppedRows("wrong number of cells", 1, ("a.csv: 4",)),
        DroppedRows("no text", 1, ("a.csv: 2",)),
        DroppedRows("no label", 1, ("a.csv: 3",)),
        DroppedRows("text longer than 100,000 characters", 1, ("a.csv: 5",)),
    )


def test_labels_are_named_merged_and_left_out_as_chosen() -> None:
    choice = BuildOptions(("text",), "label", {"0": "cat", "1": "dog", "Dog": "dog", "9": ""})

    result = built(*pets(20, ("0", "1")), *pets(10, ("Dog", "9")), choice=choice)

    assert result.classes == ("cat", "dog")
    assert [(name, train + test) for name, train, _, test in result.report.classes] == [
        ("cat", 10),
        ("dog", 15),
    ]
    assert result.report.merged == (("0", "cat"), ("1", "dog"), ("Dog", "dog"))
    assert result.report.dropped == (
        DroppedRows("class left out", 5, tuple(f"a.csv: {line}" for line in (23, 25, 27, 29, 31))),
    )


def test_several_columns_become_one_text() -> None:
    rows = [f"title {i},body {i},{'ab'[i % 2]}" for i in range(20)]

    result = build(
        [("train", table(*rows, header="title,body,label"))],
        BuildOptions(("title", "body"), "label"),
    )

    assert result.splits["train"]["text"].iloc[0] == "title 0\nbody 0"


def test_a_split_column_is_taken() -> None:
    rows = [
        f"text {i},{'ab'[i % 2]},{'test' if i >= 24 else 'dev' if i >= 20 else 'train'}"
        for i in range(30)
    ]

    result = build(
        [("train", table(*rows, "unsaid,a,", header="text,label,split"))],
        BuildOptions(("text",), "label", split="split"),
    )

    assert result.report.classes == (("a", 10, 2, 3), ("b", 10, 2, 3))
    assert [item.reason for item in result.report.dropped] == ["no split"]


def test_several_files_are_splits() -> None:
    parts: list[tuple[Split, Table]] = [
        ("train", table(*pets(), name="train.csv")),
        ("test", table("new,cat", "newer,emu", name="test.csv")),
    ]

    result = build(parts, CHOICE)

    assert result.report.classes == (("cat", 10, 0, 1), ("dog", 10, 0, 0))
    assert result.report.dropped == (
        DroppedRows("class not in the training split", 1, ("test.csv: 3",)),
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([",a", "b,"], "No training row has both a text and a label."),
        (pets(20, ("cat",)), "All rows have the label 'cat'."),
        (
            pets(23, ("cat", "dog", "emu")),
            r"Too few training rows: 'cat' \(8\), 'dog' \(8\), 'emu' \(7\).",
        ),
        (
            pets(2100, tuple(f"class {i}" for i in range(201))),
            "The labels have 201 different values; the limit is 200 classes.",
        ),
        (pets(20, ("x" * 81, "y")), "A label has 81 characters"),
    ],
)
def test_what_no_classifier_can_learn_from_is_refused(rows: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        built(*rows)

    assert caught.value.fix


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(DataError, match="has no column 'body'. Its columns are 'text', 'label'."):
        built(*pets(), choice=BuildOptions(("body",), "label"))
    with pytest.raises(
        DataError, match="'label' does not name the split of each row: its values are 'cat', 'dog'"
    ):
        built(*pets(), choice=BuildOptions(("text",), "label", split="label"))


def test_two_hundred_classes_work() -> None:
    result = built(*pets(2000, tuple(str(i) for i in range(200))))

    assert result.classes == tuple(str(i) for i in range(200))
    assert len(result.splits["test"]) == 400


def test_an_error_names_what_was_left_out() -> None:
    with pytest.raises(DataError, match=r"Too few .*Left out: no text: 1 \(a.csv: 2\)\. A class"):
        built(" ,cat", *pets(12))


def test_it_has_to_be_clear_whether_minus_one_is_a_class() -> None:
    rows = pets(36, ("-1", "0", "1"))

    with pytest.raises(DataError, match=r"'-1' \(12 rows\) may be a class.*--leave-out=-1"):
        built(*rows)
    assert built(*rows, choice=BuildOptions(("text",), "label", {"-1": "-1"})).classes == (
        "-1",
        "0",
        "1",
    )
    left_out = built(*rows, choice=BuildOptions(("text",), "label", {"-1": ""})).report.dropped
    assert [(item.reason, item.rows) for item in left_out] == [("class left out", 12)]


def test_labels_that_look_alike_and_texts_that_are_not_read_are_named() -> None:
    rows = [f"text {i} here,a title {i},{label}" for i in range(15) for label in ("us", "US")]

    report = build(
        [("train", table(*rows, header="text,title,label"))], BuildOptions(("text",), "label")
    ).report

    assert report.similar == (("us", "US"),)
    assert report.notes[0] == "Texts in other columns are not read: 'title'."
    assert report.rows_read == report.rows_kept == 30
