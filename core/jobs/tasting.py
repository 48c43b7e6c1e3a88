"""Runs of guests, on a public page whose owner lets them: the preset Taste as it is, few at a time, and only the newest are kept."""

import secrets
from collections.abc import Sequence

from core.access import Role, Visitor
from core.config import RunConfig
from core.errors import NotAllowed
from core.presets import Preset, make_config
from core.states import Job, Kind
from core.store import Store

PREFIX = "guest-"  # of the ids of such guests
MOST = 3  # waiting or under way: nobody should wait for more than some minutes
KEPT = 20  # that are over; each takes 2 MB


def make_taster() -> Visitor:
    """A guest who is told from others for the time of a visit."""
    return Visitor(PREFIX + secrets.token_hex(6), "", Role.TASTER)


def require_taste(visitor: Visitor, config: RunConfig, at_work: Sequence[Job]) -> None:
    """Raise NotAllowed for other choices than the preset's, or for too many runs. ``at_work`` are the runs queued or under way."""
    if config != make_config(Preset.TASTE, {"model": config.model}):
        message = "On this public page only the preset Taste can be run, as it is."
        raise NotAllowed(message, "Choose Taste, or install LoRA Lab on your own machine for the rest.")
    theirs = [job.owner for job in at_work if job.owner.startswith(PREFIX)]
    if visitor.id in theirs:
        raise NotAllowed("A run of yours is waiting or under way.", "Watch it, or stop it first.")
    if len(theirs) >= MOST:
        raise NotAllowed(f"{MOST} runs of guests are waiting or under way, the most on this page.", "Try again in some minutes.")


def outdated(store: Store) -> list[Job]:
    """The runs of guests that make room for newer ones."""
    over = [job for job in store.jobs(Kind.TRAIN) if job.owner.startswith(PREFIX) and job.state.over]
    return over[KEPT:]
