import os
from pathlib import Path

import pytest

from core.transfer.export.fresh_process import Executed, PrintedExport, execute

CARD = """---
title: card
---
```python
import os, sys
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("core", "torch")))
print([name for name in os.environ if name.startswith(("LORALAB", "PYTHONPATH"))])


def classify(texts):
    return [[float(len(texts)), float(len(text))] for text in texts]
```

```python
raise ValueError("no such class")
```

```bash
python train.py --adapter .  # only scores
```
"""
SCRIPT = """import sys
from pathlib import Path

print(sys.argv, __name__, Path("data/train.jsonl").read_text().count('"x"'))
"""
NOTEBOOK = """{"cells": [
  {"cell_type": "markdown", "source": ["a title"]},
  {"cell_type": "code", "source": ["first = 1\\n", "second = first + 1"]},
  {"cell_type": "code", "source": ["print(second)"]}
]}"""


def make_export(folder: Path, base: Path, **changes: object) -> PrintedExport:
    base.mkdir(exist_ok=True)
    values: dict[str, object] = {
        "folder": str(folder),
        "base": str(base),
        "identity": "local/my base",
        "revision": "1234",
        "data": "data",
        "rows": {"train": [("x", "a"), ("x", "b")], "test": [("y", "a")]},
        "classes": ["a", "b"],
        "texts": ["x", "xx", "xxx"],
        "batch_sizes": [1, 2],
        "scripts": True,
    }
    return PrintedExport(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "an export ü"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    (folder / "train.py").write_text(SCRIPT)
    (folder / "train.ipynb").write_text(NOTEBOOK)
    return folder


def run(export: PrintedExport) -> dict[str, Executed]:
    executed = execute(export)
    assert executed is not None
    return {each.name: each for each in executed}


def test_blocks_scripts_and_cells_are_executed_without_the_project(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_HOME", "somewhere")
    monkeypatch.setenv("PYTHONPATH", os.getcwd())

    executed = run(make_export(folder, tmp_path / "base"))

    assert list(executed) == [
        "README.md, block 1",
        "README.md, block 2",
        "python train.py --adapter .",
        "train.ipynb",
    ]
    first, second, script, notebook = executed.values()
    assert first.output == "[]\n[]\n"
    assert first.probabilities == {
        "1": [[1.0, 1.0], [1.0, 2.0], [1.0, 3.0]],
        "2": [[2.0, 1.0], [2.0, 2.0], [1.0, 3.0]],
    }
    assert "ValueError: no such class" in second.error
    assert script.output == "['train.py', '--adapter', '.'] __main__ 2\n"
    assert notebook.output == "2\n"
    assert [each.error for each in (first, script, notebook)] == ["", "", ""]


def test_the_code_finds_a_local_base_where_it_names_it(folder: Path, tmp_path: Path) -> None:
    export = make_export(folder, tmp_path / "base", scripts=False)
    (tmp_path / "base" / "config.json").write_text("{}")
    (folder / "README.md").write_text(
        "```python\nfrom pathlib import Path\n"
        "print(Path('local/my base/config.json').is_file())\n```\n"
    )

    assert [each.output for each in run(export).values()] == ["True\n"]


def test_what_a_library_prints_is_not_a_result(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("```python\nimport os\nos.write(1, b'from C\\n')\n```\n")

    (executed,) = run(make_export(folder, tmp_path / "base", scripts=False)).values()

    assert (executed.name, executed.error) == ("README.md, block 1", "")


def test_the_export_is_unchanged(folder: Path, tmp_path: Path) -> None:
    (folder / "train.py").write_text("open('result', 'w').write('written')\n")
    before = sorted(path.name for path in folder.iterdir())

    run(make_export(folder, tmp_path / "base"))

    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_process_that_ends_early_is_reported(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("```python\nimport os\nos._exit(3)\n```\n")

    (executed,) = run(make_export(folder, tmp_path / "base")).values()

    assert (executed.name, executed.error) == ("the process", "it ended early")


def test_a_stop_ends_the_process(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("```python\nimport time\ntime.sleep(600)\n```\n")

    assert execute(make_export(folder, tmp_path / "base"), should_stop=lambda: True) is None


def test_code_that_takes_too_long_is_ended(folder: Path, tmp_path: Path) -> None:
    (folder / "README.md").write_text("```python\nimport time\ntime.sleep(600)\n```\n")

    with pytest.raises(TimeoutError, match="more than 0 s"):
        execute(make_export(folder, tmp_path / "base"), most_seconds=0)


def test_each_block_of_code_is_progress(folder: Path, tmp_path: Path) -> None:
    blocks: list[int] = []

    execute(make_export(folder, tmp_path / "base"), on_code=lambda: blocks.append(1))

    assert len(blocks) == 4
