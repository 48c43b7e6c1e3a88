"""Which base models a visitor may name. A folder of the machine is only for who is in charge, or
one that is in use here already.
"""

from core.access import Action, require
from core.data.hub import hub_reachable
from core.errors import ArtifactDamaged, NotAllowed
from core.models.catalog import MODELS, ModelLocation, find_model, is_pinned
from core.runs.requests import read_train_request
from core.storage.job import JobKind
from core.storage.store import Store


def require_model(store: Store, *model_ids: str) -> None:
    """Raise NotAllowed for a folder that the visitor may not name; it is not looked at."""
    strange = [
        model
        for model in model_ids
        if model not in (store.settings.model, *MODELS) and not is_pinned(model)
    ]
    if strange and not store.visitor.in_charge and not set(strange) <= set(known_bases(store)):
        require(store.visitor, Action.NAME_FOLDER)


def look_up(store: Store, model_id: str) -> ModelLocation:
    """Where the model that a visitor names is found, or why it is not."""
    try:
        require_model(store, model_id)
    except NotAllowed as error:
        return ModelLocation(model_id, False, str(error))
    return find_model(model_id, store.settings, hub_reachable(store.settings))


def known_bases(store: Store) -> list[str]:
    """The bases that runs here name."""
    found = []
    for job in store.jobs(JobKind.TRAIN):
        try:
            found.append(read_train_request(job).config.model)
        except ArtifactDamaged:  # it has no say in this
            continue
    return found
