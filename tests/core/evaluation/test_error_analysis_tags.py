from pathlib import Path

import pytest

from core.errors import ArtifactDamaged, StateConflict
from core.evaluation.error_analysis import read_tags, remove_tag, write_tag


def test_a_tag_is_read_back(tmp_path: Path) -> None:
    write_tag(tmp_path, 7, "wrong label", "  it is about sports ")
    write_tag(tmp_path, 3, "hard", "")

    tags = read_tags(tmp_path)

    assert [(tag.row, tag.tag, tag.note) for tag in tags.values()] == [
        (3, "hard", ""),
        (7, "wrong label", "it is about sports"),
    ]


def test_a_second_tag_replaces_the_first_and_can_be_removed(tmp_path: Path) -> None:
    write_tag(tmp_path, 7, "hard", "")
    write_tag(tmp_path, 7, "ambiguous", "")
    assert read_tags(tmp_path)[7].tag == "ambiguous"

    remove_tag(tmp_path, 7)
    remove_tag(tmp_path, 8)

    assert read_tags(tmp_path) == {}


def test_an_unknown_tag_and_a_long_note_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(StateConflict, match="no tag 'odd'"):
        write_tag(tmp_path, 7, "odd", "")
    with pytest.raises(StateConflict, match="501 characters"):
        write_tag(tmp_path, 7, "hard", "x" * 501)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'[{"row": "x", "tag": "hard", "note": "", "at": 0}]']
)
def test_damaged_tags_are_reported_and_never_overwritten(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tags.json").write_bytes(content)

    with pytest.raises(ArtifactDamaged):
        read_tags(tmp_path)
    with pytest.raises(ArtifactDamaged):
        write_tag(tmp_path, 7, "hard", "")
    assert (tmp_path / "tags.json").read_bytes() == content
