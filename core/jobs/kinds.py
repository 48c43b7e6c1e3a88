"""The kinds of job, one row each. A new kind is a row here and the module that the row names.

Free of pydantic and of ML libraries: the supervisor reads the rows and lives as long as there is
work. Modules and classes are therefore named in full and imported where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.access import Action
from core.errors import ArtifactDamaged
from core.progress import Phase
from core.storage.job import Job


class Slot(StrEnum):
    """What may run at the same time: one job of each slot, with the exceptions named here."""

    TRAINING = "training"
    LIGHT = "light"  # next to a training
    LOW_PRIORITY = "low priority"  # only while no training runs or waits
    EXCLUSIVE = "exclusive"  # timed, so it runs alone; stopped as soon as a training waits


class KeyRule(StrEnum):
    """Which launches count as one while the job that they ask for is queued or running."""

    REQUEST = "request"  # the same request of any visitor
    OWNER = "request and owner"
    CALLER = "caller"  # the caller gives the key: the same configuration may be trained twice


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase of a kind.

    ``paced_after`` units of it are done, the time left follows from the pace so far; 0 where the
    phase is too short, or counts no units. ``polls_stop`` is False where a library or a server
    works and does not check for a stop: the worker then ends its process.
    """

    phase: str
    paced_after: int = 0
    polls_stop: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    Args:
        name: What the database stores.
        slot: What it may run next to.
        worker: Module with ``run(context)``, imported by the worker process only.
        request: ``module:Class`` of the pydantic model of its request.
        title: Name of a job, with ``{}`` for its subject.
        noun: The job in a sentence, as in "The record of this map is damaged."
        again: What to do where a record is damaged.
        key: Which launches count as one.
        identity: Fields of the request that make two requests the same one; None for all.
        action: What the visitor must be allowed to do.
        audit: What the audit log calls a launch; the action where empty.
        phases: In their order. Phases without a row are short.
        result: ``module:Class`` of its typed result; empty where it has none.
        needs_resources: Whether a launch is refused where memory or disk are short.
        resumable: Whether a stopped or failed job goes on from a checkpoint.
    """

    name: str
    slot: Slot
    worker: str
    request: str
    title: str
    noun: str
    again: str
    key: KeyRule = KeyRule.REQUEST
    identity: tuple[str, ...] | None = None
    action: Action = Action.WORK
    audit: str = ""
    phases: tuple[PhaseRow, ...] = ()
    result: str = ""
    needs_resources: bool = True
    resumable: bool = False

    def seconds_left(self, job: Job, now: float) -> float | None:
        """Seconds left of the job's phase at its pace so far; None before that is known.

        ``now`` is in seconds since 1970. A job that an earlier version has run has no start of its
        phase. A run's time left follows from its estimate instead: ``core.estimate.estimate``.
        """
        after = self.phase(job.phase).paced_after
        if job.phase_at is None or not after or job.done < after:
            return None
        return max(0.0, (now - job.phase_at) / job.done * (job.total - job.done))

    def phase(self, phase: str) -> PhaseRow:
        """The row of the phase; the usual one where the kind has none."""
        usual = COMMON.get(phase, PhaseRow(phase))
        return next((row for row in self.phases if row.phase == phase), usual)


IMPORTING = PhaseRow(Phase.IMPORTING, polls_stop=False)
PREPARING = PhaseRow(Phase.PREPARING, polls_stop=False)
LOADING = PhaseRow(Phase.LOADING, polls_stop=False)
FITTING = PhaseRow(Phase.FITTING, polls_stop=False)
ENCODING = PhaseRow(Phase.ENCODING, paced_after=64)  # texts
COMMON: dict[str, PhaseRow] = {row.phase: row for row in (IMPORTING, PREPARING, LOADING)}

_ROWS = (
    Kind(
        "train",
        Slot.TRAINING,
        worker="core.jobs.workers.train",
        request="core.runs.requests:TrainRequest",
        title="{}",
        noun="this run",
        again="Delete the run.",
        key=KeyRule.CALLER,
        action=Action.LAUNCH,
        resumable=True,
    ),
    Kind(
        "prepare",
        Slot.LIGHT,
        worker="core.jobs.tasks.prepare_data",
        request="core.runs.requests:PrepareRequest",
        title="Prepare {}",
        noun="this preparation",
        again="Prepare the data again.",
        needs_resources=False,
    ),
    Kind(
        "calibrate",
        Slot.EXCLUSIVE,
        worker="core.jobs.workers.calibrate",
        request="core.runs.requests:CalibrateRequest",
        title="Measure {}",
        noun="this calibration",
        again="Measure again.",
    ),
    Kind(
        "embed",
        Slot.LIGHT,
        worker="core.jobs.workers.embed",
        request="core.jobs.tasks.embed_texts:MapRequest",
        title="Map by {}",
        noun="this map",
        again="Compute the map again.",
        phases=(ENCODING, PhaseRow(Phase.PROJECTING, polls_stop=False)),
    ),
    Kind(
        "quality",
        Slot.LIGHT,
        worker="core.jobs.workers.check_quality",
        request="core.runs.requests:QualityRequest",
        title="Check {}",
        noun="this check",
        again="Check the data again.",
        phases=(ENCODING,),
    ),
    Kind(
        "baseline",
        Slot.LOW_PRIORITY,
        worker="core.jobs.workers.fit_baselines",
        request="core.runs.run_baselines:BaselineRequest",
        result="core.runs.run_baselines:BaselineResult",
        title="Baselines of {}",
        noun="these baselines",
        again="Compute the baselines again.",
        phases=(FITTING, ENCODING),
    ),
    Kind(
        "classify",
        Slot.LIGHT,
        worker="core.jobs.workers.classify",
        request="core.jobs.tasks.classify_file:BatchRequest",
        result="core.jobs.tasks.classify_file:ClassifyResult",
        title="Classify {}",
        noun="this file",
        again="Give the file again.",
        key=KeyRule.OWNER,
        phases=(PhaseRow(Phase.CLASSIFYING, paced_after=64),),
    ),
    Kind(
        "export",
        Slot.LIGHT,
        worker="core.jobs.tasks.export_run",
        request="core.transfer.export.formats:ExportRequest",
        title="{}",
        noun="this export",
        again="Make it again.",
        phases=(PhaseRow(Phase.EXPORTING, polls_stop=False),),
    ),
    Kind(
        "evaluate",
        Slot.LIGHT,
        worker="core.jobs.workers.score",
        request="core.jobs.tasks.score_import:ScoreRequest",
        title="Score {}",
        noun="this scoring",
        again="Start it again.",
        identity=("run",),
        action=Action.SCORE,
        phases=(PhaseRow(Phase.EVALUATING, paced_after=64),),
    ),
    Kind(
        "fetch",
        Slot.LIGHT,
        worker="core.jobs.tasks.download_data",
        request="core.jobs.tasks.download_data:FetchRequest",
        title="Download {}",
        noun="this download",
        again="Look the dataset up again.",
        action=Action.KEEP_DATA,
        audit="fetch a dataset",
        phases=(PhaseRow(Phase.DOWNLOADING, paced_after=1000, polls_stop=False),),  # KB
    ),
    Kind(
        "backup",
        Slot.LIGHT,
        worker="core.jobs.tasks.back_up",
        request="core.jobs.tasks.back_up:BackupRequest",
        result="core.jobs.tasks.back_up:BackupResult",
        title="Pack {} runs",
        noun="this backup",
        again="Make it again.",
        key=KeyRule.OWNER,
        identity=(),
        audit="take runs away",
        phases=(PhaseRow(Phase.PACKING, paced_after=2),),  # runs
    ),
    Kind(
        "restore",
        Slot.LIGHT,
        worker="core.jobs.tasks.restore",
        request="core.jobs.tasks.restore:RestoreRequest",
        result="core.jobs.tasks.restore:RestoreResult",
        title="Restore {}",
        noun="this restoration",
        again="Give the backup again.",
        key=KeyRule.OWNER,
        action=Action.IMPORT,
        audit="restore runs",
        phases=(PhaseRow(Phase.RESTORING, paced_after=2),),  # runs
        needs_resources=False,  # asks for the room of the uploads itself
    ),
    Kind(
        "nearest",
        Slot.LIGHT,
        worker="core.jobs.workers.encode",
        request="core.jobs.tasks.nearest_texts:NearestRequest",
        title="Training texts of {}",
        noun="this index",
        again="Make it again.",
        identity=("run",),
        phases=(ENCODING,),
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}


def kind_of(job: Job) -> Kind:
    """The row of the job's kind. Raises ArtifactDamaged where there is none."""
    if job.kind not in KINDS:
        raise ArtifactDamaged(
            f"{job.name} is a job of the unknown kind {job.kind!r}.", "Update LoRA Lab."
        )
    return KINDS[job.kind]


def slot_of(job: Job) -> Slot | None:
    """The slot of the job; None for a kind that this version does not know."""
    return KINDS[job.kind].slot if job.kind in KINDS else None
