"""What a run may take: the teacher's rules against a student's choices, their estimate, and the
places in the queue.
"""

from collections.abc import Sequence

from core.access import Role
from core.config import RunConfig
from core.errors import NotAllowed
from core.estimate.estimate import Estimate
from core.people import classroom
from core.people.classroom import RUNNING_PER_STUDENT, Rules
from core.runs.expected import expect_request
from core.runs.guests import require_guest_preset
from core.runs.requests import TrainRequest
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.store import Store

BOUNDED = frozenset({Role.STUDENT, Role.TASTER})


def require_within(store: Store, request: TrainRequest, also: Sequence[Job] = ()) -> None:
    """Raise NotAllowed where a student asks for more than the class allows, or a guest for more
    than a taste.

    ``also`` stands for runs that are about to be queued. Where the data is not prepared yet there
    is no estimate, and rows, tokens and batch bound what it can come to.
    """
    if store.visitor.role is Role.TASTER and request.recipe is not None:
        raise NotAllowed(
            "A cleaned copy of the data cannot be trained on here.", "Leave the recipe out."
        )
    if store.visitor.role in BOUNDED:
        require_allowed(store, request.config, expect_request(store, request), also)


def require_allowed(
    store: Store, config: RunConfig, expected: Estimate | None, also: Sequence[Job] = ()
) -> None:
    """The same for choices whose estimate is known. Raises NotAllowed."""
    if store.visitor.role not in BOUNDED:
        return
    at_work = [*store.jobs(JobKind.TRAIN, JobState.QUEUED, *ACTIVE), *also]
    if store.visitor.role is Role.TASTER:
        require_guest_preset(store, config, at_work)
        return
    classroom.require_place(store, at_work, config)
    if expected is None:
        return
    rules = classroom.read_rules(store)
    minutes = expected.likely_seconds / 60
    if minutes > rules.minutes:
        message = f"About {minutes:,.0f} minutes are more than this class allows."
        raise NotAllowed(
            message, f"Train on fewer rows or tokens, for up to {rules.minutes:,} minutes."
        )
    if expected.memory_mb > rules.memory_mb:
        message = f"{expected.memory_mb:,} MB of memory are more than this class allows."
        raise NotAllowed(
            message,
            "Choose a smaller batch, fewer tokens or a smaller model, for up to"
            f" {rules.memory_mb:,} MB.",
        )
    if expected.disk_mb > rules.disk_mb:
        message = f"{expected.disk_mb:,} MB of disk are more than this class allows."
        raise NotAllowed(
            message, f"Choose a lower rank or fewer validations, for up to {rules.disk_mb:,} MB."
        )


def describe_limits(rules: Rules) -> str:
    """What a run may take and how many there may be, in two sentences."""
    return (
        f"In this class a run may take up to {rules.rows:,} rows × epochs, {rules.max_tokens}"
        f" tokens a text, batches of {rules.batch_size}, {rules.minutes:,} minutes,"
        f" {rules.memory_mb:,} MB of memory and {rules.disk_mb:,} MB of disk. Each of you may have"
        f" {RUNNING_PER_STUDENT} run under way and {rules.waiting} waiting."
    )
