"""Save and delete datasets, with regard to who asks and to the runs that use them."""

from collections.abc import Sequence

from core import files, people
from core.access import Action, require
from core.data.building import Built, Choice
from core.data.prepared import find_prepared
from core.data.saved import delete_saved, save
from core.data.sources import Source, saved_source
from core.data.table import Found
from core.errors import ArtifactDamaged, StateConflict
from core.jobs.requests import read_train_request
from core.states import Job, Kind
from core.store import Store


def runs_on(store: Store, source: Source) -> list[Job]:
    """All runs that were launched on the saved dataset, newest first."""
    found = []
    for job in store.jobs(Kind.TRAIN):
        try:
            if read_train_request(job).source == source:
                found.append(job)
        except ArtifactDamaged:  # nobody knows any more what it was trained on
            continue
    return found


def keep_dataset(store: Store, name: str, built: Built, choice: Choice, found: Sequence[Found], origin: str = "") -> Source:
    """Save the dataset under a name that is free; ``origin`` says where its files are from. Raises NotAllowed, DataError."""
    require(store.visitor, Action.KEEP_DATA)
    source = save(store.settings, name, built, choice, found, origin=origin)
    people.note(store, "save a dataset", source.name)
    return source


def delete_dataset(store: Store, name: str) -> int:
    """Delete the dataset with its prepared copy; how many runs were trained on it. They keep their results, texts included.

    Raises NotAllowed, DataError if there is none of that name, and StateConflict while a run that uses it waits or is under way.
    """
    require(store.visitor, Action.KEEP_DATA)
    source = saved_source(store.settings, name)
    runs = runs_on(store, source) if source else []
    busy = [job for job in runs if not job.state.over]
    if busy:
        raise StateConflict(f"The dataset {name!r} is in use by {busy[0].name}.", "Stop the run or wait for its end, then delete.")
    prepared = find_prepared(store.settings, source) if source else None
    delete_saved(store.settings, name)
    people.note(store, "delete a dataset", name)
    if prepared is not None:
        files.remove_folder(prepared.folder)
    return len(runs)
