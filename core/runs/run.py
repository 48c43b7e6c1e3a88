"""Runs by name: find one, name the next one, and read which classes it distinguishes."""

from core.errors import ArtifactDamaged, JobNotFound
from core.storage.job import Job, JobKind
from core.storage.store import Store


def find_run(store: Store, text: str) -> Job:
    """The run with this id, or else this name. Raises JobNotFound if there is none or the name is
    not unique.
    """
    runs = store.jobs(JobKind.TRAIN)
    found = [job for job in runs if job.id == text] or [job for job in runs if job.name == text]
    if len(found) != 1:
        how_many = "no run" if not found else f"{len(found)} runs"
        raise JobNotFound(
            f"There is {how_many} {text!r}.", "`python -m core runs` lists ids and names."
        )
    return found[0]


def next_name(store: Store, preset: str, model: str) -> str:
    """What a run is called that nobody gives a name, for example ``quick-minilm-07``."""
    short = model.rstrip("/").rsplit("/", 1)[-1].partition("@")[0][:40]
    stem = f"{preset}-{short}"
    taken = {job.name for job in store.jobs(JobKind.TRAIN)}
    return next(
        f"{stem}-{number:02d}"
        for number in range(1, len(taken) + 2)
        if f"{stem}-{number:02d}" not in taken
    )


def read_classes(job: Job) -> tuple[str, ...]:
    """Class names in the order of their ids. Raises ArtifactDamaged before the worker has read the
    data.
    """
    classes = job.result.get("classes")
    if not isinstance(classes, list):
        raise ArtifactDamaged(f"{job.name} has not read its data yet.", "Wait until it trains.")
    return tuple(map(str, classes))


def is_imported(job: Job) -> bool:
    """Whether the run was brought here. What it says of itself is then somebody's word. Raises
    ArtifactDamaged.
    """
    return "imported" in job.result
