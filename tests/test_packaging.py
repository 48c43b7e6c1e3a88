"""Content of ``pip install .``: the pinned versions, the command and every data file."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_INSTALLED = {".job.lock"}  # an empty file that marks no data


def read_requirements(name: str) -> list[str]:
    """Requirements in a file without comments and references to other files."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    bare = [line.split("#")[0].strip() for line in lines]
    return [line for line in bare if line and not line.startswith("-r ")]


def tracked_files(*folders: str) -> set[str]:
    """Files under version control in ``folders``."""
    listed = subprocess.check_output(["git", "ls-files", *folders], cwd=ROOT, text=True)
    return {name for name in listed.splitlines() if Path(name).name not in NOT_INSTALLED}


def test_the_build_reads_its_dependencies_from_the_requirements() -> None:
    assert "dependencies" in PROJECT["project"]["dynamic"]
    files = PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"]["file"]
    assert files == ["requirements.txt"]


def test_the_extra_for_development_is_the_requirements_for_development() -> None:
    extra = PROJECT["project"]["optional-dependencies"]["dev"]
    assert extra == read_requirements("requirements-dev.txt")


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_version_is_pinned(name: str) -> None:
    assert [line for line in read_requirements(name) if line.count("==") != 1] == []


def test_the_command_starts_an_existing_function() -> None:
    module, _, function = PROJECT["project"]["scripts"]["lora-lab"].partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.slow
def test_a_wheel_holds_every_file_that_the_app_reads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    apart = ("Home.py", ".streamlit/config.toml", "docs/glossary.md")
    names = tracked_files("core", "ui", "pages", *apart)
    of_the_build = tracked_files("pyproject.toml", "setup.py", "MANIFEST.in", "requirements*.txt")
    for name in names | of_the_build | {"README.md", "LICENSE", "NOTICE"}:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)

    pip = [sys.executable, "-m", "pip", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, "wheel", *options, str(source)], check=True, timeout=240)

    (wheel,) = tmp_path.glob("lora_lab-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert names - set(archive.namelist()) == set()
