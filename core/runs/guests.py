"""Runs of guests, on a public page whose owner lets them: the preset Taste as it is, few at a time,
and only the newest are kept.
"""

import secrets
from collections.abc import Sequence

from core.access import GUEST_PREFIX, Role, Visitor
from core.config import RunConfig
from core.errors import JobNotFound, NotAllowed, StateConflict
from core.presets import Preset, make_config
from core.storage import accounts
from core.storage.job import Job, JobKind
from core.storage.store import Store, remove_job

MOST = 3  # waiting or under way: nobody should wait for more than some minutes
KEPT = 20  # that are over; each takes 6 MB


def as_guest_trainer() -> Visitor:
    """A guest who is told from others for the time of a visit."""
    return Visitor(GUEST_PREFIX + secrets.token_hex(6), "", Role.TASTER)


def require_guest_preset(store: Store, config: RunConfig, at_work: Sequence[Job]) -> None:
    """Raise NotAllowed for other choices than the preset's on the page's own model, or for too many
    runs.

    ``at_work`` are the runs queued or under way; guests who launch at the same moment may come to
    one more.
    """
    if config != make_config(Preset.TASTE, {"model": store.settings.model}):
        message = (
            "On this public page only the preset Taste can be run, as it is, on"
            f" {store.settings.model}."
        )
        raise NotAllowed(
            message, "Choose Taste, or install LoRA Lab on your own machine for the rest."
        )
    theirs = [job.owner for job in at_work if job.owner.startswith(GUEST_PREFIX)]
    if store.visitor.id in theirs:
        raise NotAllowed("A run of yours is waiting or under way.", "Watch it, or stop it first.")
    if len(theirs) >= MOST:
        raise NotAllowed(
            f"{MOST} runs of guests are waiting or under way, the most on this page.",
            "Try again in some minutes.",
        )


def make_room(store: Store) -> None:
    """Remove the oldest runs of guests that are over."""
    over = [
        job
        for job in store.jobs(JobKind.TRAIN)
        if job.owner.startswith(GUEST_PREFIX) and job.state.over
    ]
    for job in over[KEPT:]:
        try:
            remove_job(store, job)
        except (JobNotFound, StateConflict):  # another guest removed it, or somebody resumed it
            continue
        accounts.note(store, "make room for a guest's run", f"{job.id} {job.name}")
