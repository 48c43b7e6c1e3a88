"""Settings from ``LORALAB_*`` environment variables, and what this machine has."""

import os
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


def _folder(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


class Settings(BaseSettings):
    """Where things are kept and how much of the machine may be used. Read afresh from the environment each time."""

    model_config = SettingsConfigDict(env_prefix="LORALAB_", frozen=True, extra="ignore", env_ignore_empty=True)

    home: Annotated[Path, BeforeValidator(_folder)] = Field(
        default_factory=lambda: Path.home() / ".loralab", description="Folder of the database, runs and prepared data."
    )
    data: Annotated[Path | None, BeforeValidator(_folder)] = Field(None, description="Local dataset folder; wins over the Hub.")
    model: str = Field("minilm", description="Base model that the form starts with.")
    hub: bool = Field(True, description="Whether the Hugging Face Hub may be asked at all.")
    threads: int = Field(0, ge=0, le=256, description="Threads of a training; 0 takes all cores.")

    @property
    def database(self) -> Path:
        """The SQLite file with jobs and metrics."""
        return self.home / "loralab.db"

    @property
    def jobs(self) -> Path:
        """The folder that holds one folder per job."""
        return self.home / "jobs"

    @property
    def prepared(self) -> Path:
        """The folder that holds one folder per prepared dataset."""
        return self.home / "data"

    @property
    def used_threads(self) -> int:
        """Threads a training gets."""
        return self.threads or cores()


def cores() -> int:
    """Cores this process may use: the control group's quota where there is one, at least 1."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = CGROUP_CPU.read_text().split() if CGROUP_CPU.is_file() else ["max"]
    return available if quota[0] == "max" else max(1, min(available, round(int(quota[0]) / int(quota[1]))))


def memory_mb() -> int:
    """Memory in MB that this machine or its control group offers."""
    total = psutil.virtual_memory().total
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return (total if limit == "max" else min(total, int(limit))) // 2**20
