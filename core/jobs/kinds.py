"""The kinds of job, one row each. A new kind is a row here and the module that the row names.

Imports neither pydantic nor ML libraries, because the long-lived supervisor reads the rows.
Functions and classes are therefore named as ``module:name`` and imported where they are used, with
``pkgutil.resolve_name``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.access import Action
from core.errors import ArtifactDamaged
from core.progress import Phase
from core.storage.job import Job


class Slot(StrEnum):
    """Group of kinds. One job of each slot runs at a time, with these exceptions."""

    TRAINING = "training"
    LIGHT = "light"  # runs next to a training
    LOW_PRIORITY = "low priority"  # only while no training runs or waits
    EXCLUSIVE = "exclusive"  # a measurement: it runs alone, and stops as soon as a training waits


class KeyRule(StrEnum):
    """Rule that decides which launches share one queued or running job."""

    REQUEST = "request"  # the same request of any visitor
    OWNER = "request and owner"
    CALLER = "caller"  # the caller gives the key: the same configuration may be trained twice


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """A phase of a kind.

    Args:
        phase: The phase.
        min_units_for_pace: Units after which the time left follows from the pace so far; 0 if the
            phase is too short or counts no units.
        polls_stop: False if a library or a server does the work and does not check for a stop: the
            worker then ends its process.
    """

    phase: str
    min_units_for_pace: int = 0
    polls_stop: bool = True


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of job.

    Args:
        name: What the database stores.
        slot: Group of kinds of which one job runs at a time.
        worker: ``module:function`` that is called with the JobContext, in the worker process only.
        request: ``module:Class`` of the pydantic model of its request.
        title: Name of a job, with ``{}`` for its subject.
        description: The job in a sentence, as in "The record of this map is damaged."
        fix: What to do if a record is damaged.
        key: Which launches share one job.
        identity: Fields of the request in which equal requests agree; None for all.
        action: Permission that a launch needs.
        audit_action: Name of a launch in the audit log; that of the action if empty.
        phases: Phases in their order. Phases without a row are short.
        result: ``module:Class`` of the pydantic model of its result; empty if it records none.
        needs_resources: Whether a launch is refused if memory or disk are short.
        prepare: ``module:function`` that is called before the worker; if it returns True, a new
            process takes over, to free the memory of the preparation. Empty for none.
        runs_at_once: Whether the job counts as running as soon as the worker is called; otherwise
            the worker calls ``JobContext.set_running``.
    """

    name: str
    slot: Slot
    worker: str
    request: str
    title: str
    description: str
    fix: str
    key: KeyRule = KeyRule.REQUEST
    identity: tuple[str, ...] | None = None
    action: Action = Action.WORK
    audit_action: str = ""
    phases: tuple[PhaseRow, ...] = ()
    result: str = ""
    needs_resources: bool = True
    prepare: str = ""
    runs_at_once: bool = True

    def estimate_seconds_left(self, job: Job, now: float) -> float | None:
        """Return the seconds left of the job's phase at its pace so far; None if unknown.

        ``now`` is in seconds since 1970. Jobs of earlier versions have no start of their phase. The
        time left of a run follows from its estimate instead: ``core.estimate.estimate``.
        """
        after = self.find_phase(job.phase).min_units_for_pace
        if job.phase_at is None or not after or job.done < after:
            return None
        return max(0.0, (now - job.phase_at) / job.done * (job.total - job.done))

    def find_phase(self, phase: str) -> PhaseRow:
        """Return the row of the phase; the usual row if the kind has none."""
        usual = COMMON.get(phase, PhaseRow(phase))
        return next((row for row in self.phases if row.phase == phase), usual)


IMPORTING = PhaseRow(Phase.IMPORTING, polls_stop=False)
PREPARING = PhaseRow(Phase.PREPARING, polls_stop=False)
LOADING = PhaseRow(Phase.LOADING, polls_stop=False)
FITTING = PhaseRow(Phase.FITTING, polls_stop=False)
ENCODING = PhaseRow(Phase.ENCODING, min_units_for_pace=64)  # texts
COMMON: dict[str, PhaseRow] = {row.phase: row for row in (IMPORTING, PREPARING, LOADING)}

_ROWS = (
    Kind(
        "train",
        Slot.TRAINING,
        worker="core.jobs.workers.train:run",
        request="core.runs.requests:TrainRequest",
        result="core.runs.run:RunResult",
        title="{}",
        description="this run",
        fix="Delete the run.",
        key=KeyRule.CALLER,
        action=Action.LAUNCH,
        prepare="core.jobs.tasks.prepare_data:prepare_training",
        runs_at_once=False,  # it loads the model first
    ),
    Kind(
        "prepare",
        Slot.LIGHT,
        worker="core.jobs.tasks.prepare_data:run_preparation",
        request="core.runs.requests:PrepareRequest",
        title="Prepare {}",
        description="this preparation",
        fix="Prepare the data again.",
        phases=(
            PhaseRow(Phase.PREPARING, min_units_for_pace=20_000, polls_stop=False),  # rows
            PhaseRow(Phase.INDEXING, min_units_for_pace=20_000),
        ),
        needs_resources=False,
    ),
    Kind(
        "calibrate",
        Slot.EXCLUSIVE,
        worker="core.jobs.workers.calibrate:run",
        request="core.runs.requests:CalibrateRequest",
        result="core.runs.requests:CalibrateResult",
        title="Measure {}",
        description="this calibration",
        fix="Measure again.",
    ),
    Kind(
        "embed",
        Slot.LIGHT,
        worker="core.jobs.workers.embed:run_map",
        request="core.jobs.tasks.embed_texts:MapRequest",
        title="Map by {}",
        description="this map",
        fix="Compute the map again.",
        phases=(ENCODING, PhaseRow(Phase.PROJECTING, polls_stop=False)),
    ),
    Kind(
        "quality",
        Slot.LIGHT,
        worker="core.jobs.workers.check_quality:run",
        request="core.runs.requests:QualityRequest",
        result="core.runs.requests:QualityResult",
        title="Check {}",
        description="this check",
        fix="Check the data again.",
        phases=(ENCODING,),
    ),
    Kind(
        "baseline",
        Slot.LOW_PRIORITY,
        worker="core.jobs.workers.fit_baselines:run",
        prepare="core.jobs.workers.fit_baselines:fit_without_model",
        request="core.runs.run_baselines:BaselineRequest",
        identity=("fingerprint", "train_rows", "seed", "model", "max_tokens"),
        result="core.runs.run_baselines:BaselineResult",
        title="Baselines of {}",
        description="these baselines",
        fix="Compute the baselines again.",
        phases=(FITTING, ENCODING),
    ),
    Kind(
        "classify",
        Slot.LIGHT,
        worker="core.jobs.workers.classify:run_batch",
        request="core.jobs.tasks.classify_texts:BatchRequest",
        result="core.jobs.tasks.classify_texts:ClassifyResult",
        title="Classify {}",
        description="this file",
        fix="Upload the file again.",
        key=KeyRule.OWNER,
        phases=(PhaseRow(Phase.CLASSIFYING, min_units_for_pace=64),),
    ),
    Kind(
        "export",
        Slot.LIGHT,
        worker="core.jobs.tasks.export_run:run",
        request="core.transfer.export.formats:ExportRequest",
        title="{}",
        description="this export",
        fix="Export it again.",
        phases=(PhaseRow(Phase.EXPORTING, polls_stop=False),),
    ),
    Kind(
        "evaluate",
        Slot.LIGHT,
        worker="core.jobs.workers.classify:run_scoring",
        request="core.jobs.tasks.classify_texts:ScoreRequest",
        title="Score {}",
        description="this scoring",
        fix="Start it again.",
        identity=("run",),
        action=Action.SCORE,
        phases=(PhaseRow(Phase.EVALUATING, min_units_for_pace=64),),
    ),
    Kind(
        "fetch",
        Slot.LIGHT,
        worker="core.jobs.tasks.prepare_data:run_download",
        request="core.jobs.tasks.prepare_data:FetchRequest",
        result="core.jobs.tasks.prepare_data:FetchResult",
        title="Download {}",
        description="this download",
        fix="Look the dataset up again.",
        action=Action.MANAGE_DATASETS,
        audit_action="fetch a dataset",
        phases=(PhaseRow(Phase.DOWNLOADING, min_units_for_pace=1000, polls_stop=False),),  # KB
    ),
    Kind(
        "backup",
        Slot.LIGHT,
        worker="core.jobs.tasks.backups:run_backup",
        request="core.jobs.tasks.backups:BackupRequest",
        result="core.jobs.tasks.backups:BackupResult",
        title="Pack {} runs",
        description="this backup",
        fix="Create it again.",
        key=KeyRule.OWNER,
        identity=(),
        audit_action="back up runs",
        phases=(PhaseRow(Phase.PACKING, min_units_for_pace=2),),  # runs
    ),
    Kind(
        "restore",
        Slot.LIGHT,
        worker="core.jobs.tasks.backups:run_restore",
        request="core.jobs.tasks.backups:RestoreRequest",
        result="core.jobs.tasks.backups:RestoreResult",
        title="Restore {}",
        description="this restoration",
        fix="Upload the backup again.",
        key=KeyRule.OWNER,
        action=Action.IMPORT,
        audit_action="restore runs",
        phases=(PhaseRow(Phase.RESTORING, min_units_for_pace=2),),  # runs
        needs_resources=False,  # its launch requires the size of the uploads
    ),
    Kind(
        "nearest",
        Slot.LIGHT,
        worker="core.jobs.workers.embed:run_index",
        request="core.jobs.tasks.embed_texts:NearestRequest",
        title="Training texts of {}",
        description="this index",
        fix="Create it again.",
        identity=("run",),
        phases=(ENCODING,),
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ROWS}


def find_kind(job: Job) -> Kind:
    """Return the row of the job's kind. Raises ArtifactDamaged if there is none."""
    if job.kind not in KINDS:
        raise ArtifactDamaged(
            f"{job.name} is a job of the unknown kind {job.kind!r}.", "Update LoRA Lab."
        )
    return KINDS[job.kind]


def find_slot(job: Job) -> Slot | None:
    """Return the slot of the job; None for a kind that this version does not know."""
    return KINDS[job.kind].slot if job.kind in KINDS else None
