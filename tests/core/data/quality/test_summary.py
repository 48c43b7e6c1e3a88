from pathlib import Path

import pytest

from core.data.explore.index import ensure_index
from core.data.quality.findings import QualityReport
from core.data.quality.summary import SummarySection, describe_data, render_document
from tests.support.indexed_data import Rows, write_rows

PETS: Rows = [("(AP) the cat sleeps", 0)] * 12 + [("a dog barks all day long", 1)] * 8


def describe(folder: Path, classes: tuple[str, ...], rows: Rows) -> dict[str, SummarySection]:
    dataset = write_rows(folder, classes, train=rows, test=[("the cat", 0)])
    return {
        section.title: section
        for section in describe_data(
            dataset, ensure_index(dataset, lambda progress: None, lambda: False)
        )
    }


def test_each_section_has_the_numbers_of_the_data(tmp_path: Path) -> None:
    result = describe(tmp_path / "pets", ("cat", "dog"), PETS)

    assert result["Texts per class"].table.values.tolist() == [
        ["cat", "12", "0", "1", "60.0 %"],
        ["dog", "8", "0", "0", "40.0 %"],
    ]
    lengths = result["Lengths of the training texts"].table
    assert lengths[lengths["In"] == "tokens"].values.tolist() == [
        ["cat", "tokens", *["6"] * 4],
        ["dog", "tokens", *["8"] * 4],
    ]
    assert result["Truncation by token limit"].table.iloc[0].tolist() == [
        "32",
        "0",
        "0.0 %",
        "0.0 %",
    ]
    assert result["Tokens per word"].table["Characters per token"].tolist() == [19 / 4, 4.0]
    assert (
        result["Distinctive words of each class"].table["Words"].tolist()[0]
        == "ap (12), sleeps (12), cat (12), the (12)"
    )
    patterns = result["Sources and boilerplate in the training texts"].table
    assert patterns.iloc[0].tolist()[:5] == ["(AP)", "in brackets", "12", "cat", "100.0 %"]


@pytest.mark.parametrize(
    ("classes", "texts"),
    [
        (("Katze", "Hund"), ["Die Katze schläft über Mittag", "Der Hund bellt laut"]),
        (("قطة", "كلب"), ["القطة نائمة في البيت", "الكلب ينبح بصوت عال"]),
        (("猫", "狗"), ["猫在家里睡觉", "狗在大声叫"]),
        (
            tuple(f"class {number}" for number in range(50)),
            [f"thing{number} is here" for number in range(50)],
        ),
    ],
)
def test_any_language_and_fifty_classes_have_a_report(
    tmp_path: Path, classes: tuple[str, ...], texts: list[str]
) -> None:
    rows = [(text, label) for label, text in enumerate(texts) for _ in range(12)]

    result = describe(tmp_path / "any", classes, rows)

    assert result["Texts per class"].table["Class"].tolist() == list(classes)
    assert (result["Distinctive words of each class"].table["Words"] != "none").all()
    page = render_document(
        QualityReport(1, "0123456789ab", classes[0], len(rows), 1.0, (), ()),
        result["Tokens per word"].table,
        list(result.values()),
    )
    assert all(f'<td dir="auto">{name}</td>' in page for name in classes)
