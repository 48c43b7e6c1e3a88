"""Execute the code of exports of tiny models, for each family and for difficult names."""

import dataclasses
import os
from pathlib import Path

import pytest
import yaml

from core.errors import ArtifactDamaged
from core.training.load_model import load_base
from core.transfer.export.formats import Format
from core.transfer.export.verify import PrintedCode, build_probes, verify_code
from tests.support.export_verifications import make_details, make_source, write_exports
from tests.support.tiny_models import WRITERS, write_bert

pytestmark = pytest.mark.slow

FORMATS = (Format.ADAPTER, Format.MERGED, Format.ONNX, Format.ONNX_INT8)
TEXTS = [
    "the team won the final game of the season",
    "stocks fell as oil prices rose",
    "the minister said the vote would be held next week after talks with the party " * 3,
    "a new chip for phones",
    "police",
]
OTHER_PYTHON = os.environ.get("LORALAB_OTHER_PYTHON")  # tests run without such variables
CARDS_ONLY = PrintedCode("data", scripts=False)
NASTY = (
    'it\'s "quoted"',
    "two\nlines",
    "emoji 😀 and ```",
    "{{ x }} ${BASE} $BASE | *b* <i>",
    "back\\slash \x85 #1: - yes",
    "no",
)


def pair(texts: list[str], classes: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(text, classes[number % len(classes)]) for number, text in enumerate(texts)]


@pytest.mark.parametrize("family", WRITERS)
def test_the_cards_of_each_family_predict_as_the_run(family: str, tmp_path: Path) -> None:
    base = WRITERS[family](tmp_path / "my bäse")
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    models = write_exports(source, FORMATS, tmp_path / "out", make_details())

    executed = verify_code(
        source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY
    )

    assert [each.name for each in executed] == [
        f"{target}/README.md, block 1" for target in sorted(FORMATS)
    ]
    assert all(len(rows) == 7 for each in executed for rows in each.probabilities.values())


@pytest.mark.parametrize("identity", ["org/tiny", "local/my base ü"])
def test_names_with_any_characters_stay_names(identity: str, tmp_path: Path) -> None:
    base = write_bert(tmp_path / "base")
    source = make_source(base, tmp_path / "adapter", NASTY, identity)
    details = make_details('100 %(prog)s """ \\N{no} 😀 {{x}}', "my $BASE: {data} #1")
    models = write_exports(source, (Format.ADAPTER, Format.ONNX), tmp_path / "out", details)

    executed = verify_code(
        source,
        models,
        tmp_path / "out",
        pair(TEXTS * 2, NASTY),
        PrintedCode("data", scripts=True),
    )

    assert [each.name for each in executed][2:] == ["python train.py", "train.ipynb"]
    assert "(the run: 0.9000)" in executed[-1].output
    card = (tmp_path / "out" / "adapter" / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["model-index"][0]["name"] == details.name
    assert metadata["model-index"][0]["results"][0]["dataset"]["name"] == "my $BASE: {data} #1"
    assert metadata.get("base_model") == (None if source.is_local else identity)


def test_a_card_that_predicts_otherwise_is_refused(tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.ONNX], tmp_path / "out", make_details())
    card = tmp_path / "out" / "onnx" / "README.md"
    code = card.read_text().replace("text.attention_mask for", "[1] * len(text.ids) for")
    card.write_text(code)

    with pytest.raises(ArtifactDamaged, match="onnx/README.md, block 1 does not predict"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY)


def test_code_that_fails_is_refused(tmp_path: Path) -> None:
    source = make_source(write_bert(tmp_path / "base"), tmp_path / "adapter", ("a", "b"))
    models = write_exports(source, [Format.MERGED], tmp_path / "out", make_details())
    (tmp_path / "out" / "merged" / "tokenizer.json").unlink()

    with pytest.raises(ArtifactDamaged, match="merged/README.md, block 1"):
        verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), CARDS_ONLY)


def test_probes_have_few_and_many_tokens(tmp_path: Path) -> None:
    tokenizer = load_base(write_bert(tmp_path / "base"), ("a", "b"), 1).tokenizer

    probes = build_probes(TEXTS, tokenizer)

    lengths = [len(tokenizer(text, truncation=False)["input_ids"]) for text in probes]
    assert lengths[:3] == [3, 60, 220]
    assert probes[3:] == TEXTS[:4]


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.skipif(OTHER_PYTHON is None, reason="see Export in docs/pages.md")
def test_other_versions_of_the_libraries_read_an_export(family: str, tmp_path: Path) -> None:
    """``LORALAB_OTHER_PYTHON`` is a Python with older versions of transformers and PEFT."""
    base = WRITERS[family](tmp_path / "base")
    source = make_source(base, tmp_path / "adapter", ("a", "b", "c"))
    models = write_exports(source, FORMATS, tmp_path / "out", make_details())
    other = dataclasses.replace(PrintedCode("data", scripts=True), python=str(OTHER_PYTHON))

    executed = verify_code(source, models, tmp_path / "out", pair(TEXTS, source.classes), other)

    assert len(executed) == len(FORMATS) + 2
