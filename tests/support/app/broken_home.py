"""A home folder in a state that no page foresees."""

from pathlib import Path


def break_home(home: Path) -> None:
    """Put a file in the place of the folder of the jobs: opening the store raises OSError."""
    (home / "jobs").rmdir()
    (home / "jobs").touch()
