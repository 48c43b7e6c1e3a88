"""What earlier runs on the same data and model came to."""

from core.budget import Outcome
from core.errors import ArtifactDamaged
from core.facts import ModelFacts
from core.jobs.requests import read_train_request
from core.states import JobState, Kind
from core.store import Store


def earlier_outcomes(store: Store, fingerprint: str, model: ModelFacts) -> list[Outcome]:
    """Rows, epochs and test accuracy of each completed run on the data with this fingerprint and this base model."""
    found = []
    for job in store.jobs(Kind.TRAIN, JobState.COMPLETED):
        if job.fingerprint != fingerprint:
            continue
        try:
            config, test, rows = read_train_request(job).config, job.result.get("test"), job.result.get("trained_rows")
        except ArtifactDamaged:  # a damaged run has no say in this
            continue
        if config.model == model.id and isinstance(test, dict) and isinstance(rows, int):
            found.append(Outcome(rows, config.epochs, float(test["accuracy"])))
    return found
