import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.data.load import load_rows
from core.data.rows import RawData
from core.data.sources import Source, SourceKind, folder_source
from core.errors import DataError
from tests.support.pet_rows import Make, items

pytestmark = pytest.mark.slow

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), min_size=1
).filter(lambda text: text.strip() != "")


def load(source: Source) -> RawData:
    assert source.folder is not None
    return load_rows(source, source.folder.parent / "cache")


def rows(raw: RawData) -> list[tuple[str, str]]:
    return [
        (text, raw.classes[label])
        for text, label in zip(raw.train["text"], raw.train["label"], strict=True)
    ]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_each_format_gives_the_same_rows(make_source: Make, suffix: str) -> None:
    raw = load(make_source(suffix))

    assert (raw.classes, raw.notes) == (("cat", "dog"), ())
    assert rows(raw) == list(items(40).itertuples(index=False, name=None))
    assert raw.test["row"].tolist() == list(range(10))


def test_files_of_one_split_are_read_in_their_order(make_source: Make) -> None:
    make_source(
        **{"train-00000-of-00002": items(30).head(20), "train-00001-of-00002": items(30).tail(10)}
    )
    source = make_source(test=items(10))

    assert load(source).train["text"].tolist() == items(30)["text"].tolist()


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_whole_numbers_are_classes_in_numeric_order(make_source: Make, suffix: str) -> None:
    raw = load(
        make_source(suffix, train=items(60, labels=(10, 2, 1)), test=items(6, labels=(10, 2, 1)))
    )

    assert raw.classes == ("1", "2", "10")
    assert raw.train["label"].tolist()[:3] == [2, 1, 0]


def test_class_label_keeps_its_names_and_their_order(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["spam", "ham"])}
    )
    (tmp_path / "mail").mkdir()
    for split, count in (("train", 40), ("test", 10)):
        table = datasets.Dataset.from_pandas(items(count, labels=(0, 1)), features=features)
        pq.write_table(table.data.table, tmp_path / "mail" / f"{split}.parquet")

    raw = load(folder_source(tmp_path / "mail"))

    assert raw.classes == ("spam", "ham")
    assert raw.train["label"].tolist()[:2] == [0, 1]


def test_the_text_na_is_a_text(make_source: Make) -> None:
    frame = items(40)
    frame.loc[:2, "text"] = ["NA", "null", "007"]

    raw = load(make_source("csv", train=frame, test=items(10)))

    assert raw.train["text"].tolist()[:3] == ["NA", "null", "007"]
    assert raw.notes == ()


def test_other_columns_and_a_byte_order_mark_do_no_harm(make_source: Make) -> None:
    source = make_source(train=items(40).assign(url="http://x", id=1.5), test=items(10))
    path = source.folder / "train.csv" if source.folder else Path()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert len(load(source).train) == 40


def test_own_validation_files_are_left_and_the_note_says_so(make_source: Make) -> None:
    raw = load(make_source(train=items(40), test=items(10), validation=items(4)))

    assert len(raw.train) == 40
    assert raw.notes == (
        (
            "The validation files in the folder are not used: a tenth of the training rows is held"
            " out."
        ),
    )


ROOT = Path(__file__).parents[3]
READ_EACH = """
import contextlib, pathlib, sys
from core.data.load import load_rows
from core.data.sources import folder_source
from core.errors import DataError
for folder in map(pathlib.Path, sys.argv[1:]):
    with contextlib.suppress(DataError):
        load_rows(folder_source(folder), folder / ".cache")
"""
CSV = "text,label\n"
BAD_FILES = {
    "ragged": (
        "csv",
        (CSV + "one,cat\none, two,cat\nthree,dog\n").encode(),
        r"train.csv: left out: wrong number of cells: 1 \(line 3\).",
    ),
    "mostly ragged": (
        "csv",
        (CSV + "one, two,cat\n" * 3).encode(),
        "train.csv, line 2: expected 2 cells separated by comma, found 3. Choose another",
    ),
    "damaged UTF-8": (
        "csv",
        "text,label\nnaïve café,cat\n".encode() + b"caf\xe9,cat\n",
        "train.csv, line 3: a byte is not UTF-8, although other characters are. Correct the line",
    ),
    "other columns": (
        "csv",
        b"title,label\none,cat\n",
        "has no column text; its columns are 'title', 'label'. Rename the columns",
    ),
    "empty file": ("csv", b"", "train.csv is empty. Choose a file"),
    "header only": ("csv", CSV.encode(), "train.csv has a header and no rows. Choose a file"),
    "no JSON": (
        "jsonl",
        b'{"text": "one", "label": 1}\n{"text": \n',
        r"train.jsonl: left out: not a JSON object: 1 \(line 2\)",
    ),
    "JSON list": ("jsonl", b'["one", 1]\n', "train.jsonl, line 1, is not a JSON object"),
    "JSON without label": (
        "jsonl",
        b'{"text": "one"}\n',
        "train.jsonl has no column label; its columns are 'text'",
    ),
    "minus one": (
        "csv",
        (CSV + "a,-1\nb,0\nc,1\n" * 12).encode(),
        "The label '-1' may be a class, or mark rows without a label. Add the folder with",
    ),
    "no Parquet": ("parquet", b"PAR1 or so", "train.parquet looks like Parquet but cannot be read"),
    "empty Parquet": ("parquet", b"", "train.parquet is empty"),
}


@pytest.mark.parametrize(("suffix", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_read_is_refused_with_its_name_and_a_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, content: bytes, message: str
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / f"train.{suffix}").write_bytes(content)

    with pytest.raises(DataError, match=message) as caught:
        load(folder_source(tmp_path / "bad"))

    assert caught.value.fix
    assert capfd.readouterr() == ("", "")


def test_reading_says_nothing_on_the_terminal(make_source: Make, tmp_path: Path) -> None:
    good = make_source("csv").folder
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "train.jsonl").write_bytes(BAD_FILES["no JSON"][1])

    done = subprocess.run(
        [sys.executable, "-c", READ_EACH, str(good), str(bad)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stdout, done.stderr) == ("", "")


def test_a_parquet_file_without_the_columns_is_refused(make_source: Make) -> None:
    with pytest.raises(
        DataError, match="train.parquet has no column label; its columns are 'text', 'class'"
    ):
        load(make_source("parquet", train=items(40).rename(columns={"label": "class"})))


def test_ag_news_that_cannot_be_downloaded_is_refused_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    with pytest.raises(
        DataError,
        match=(
            "AG News could not be downloaded from the Hub .* LORALAB_HUB=false for the demo corpus"
        ),
    ):
        load_rows(Source(SourceKind.HUB, "AG News"), tmp_path / "cache")


@examples(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TEXTS, min_size=20, max_size=20))
def test_any_text_survives_csv(make_source: Make, texts: list[str]) -> None:
    frame = items(20).assign(text=texts)

    assert load(make_source("csv", train=frame, test=items(2))).train["text"].tolist() == texts
