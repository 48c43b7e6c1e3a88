"""Stand-in for ``core.training.session`` with the same events in the same order, in milliseconds
and without torch or pandas.

Its weights are a chain of hashes: each step depends on all earlier ones, so a lost, repeated or
swapped step gives another result.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, cast

from core.errors import ArtifactDamaged, Diverged, Stopped
from core.progress import Phase, Progress
from core.training.events import (
    AdapterSaved,
    Checkpoint,
    EvaluatedSplit,
    Evaluation,
    Event,
    TrainMetric,
    TrainResult,
    ValidationMetric,
)
from tests.support.faults.plan import FaultPlan

if TYPE_CHECKING:
    import pandas as pd

STATE_BYTES, ADAPTER_BYTES = 8_000, 4_000  # enough to be cut in the middle
POSITION, STATE, BEST = "position.json", "state.bin", "best.bin"
LOOKS = 10  # interval of checks for a stop


@dataclass
class Position:
    """Position of the simulation."""

    step: int = 0
    validated_step: int = 0
    best_step: int = 0
    best_loss: float = 1e9


@dataclass(frozen=True)
class Table:
    """Stand-in for a frame of predictions, which the recorder only writes."""

    content: bytes

    def to_parquet(self, index: bool) -> bytes:
        """Return the content; there is no index to leave out."""
        return self.content


class StandInSession:
    """Session that trains nothing, with the interface of ``TrainingSession``."""

    def __init__(
        self,
        plan: FaultPlan,
        seed: int,
        report: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.plan, self.report, self.should_stop = plan, report, should_stop
        self.position = Position()
        self.state = self.best = _stretch(b"%d" % seed, STATE_BYTES)
        self._stay(Phase.LOADING)

    def score_untrained(self) -> Evaluation:
        """Return predictions before the first step. Raises Stopped."""
        self._stay(Phase.UNTRAINED)
        return self._evaluation("untrained")

    def train(
        self, resume_from: Mapping[str, bytes] | None = None, score_untrained: bool = False
    ) -> TrainResult:
        """See ``TrainingSession.train``."""
        self._stay(Phase.TOKENIZING)
        if resume_from is not None:
            self._unpack(resume_from)
        stopped = False
        try:
            self._run()
            self._save_adapter()
            if score_untrained:
                self.report(self.score_untrained())
            for split in ("validation", "test"):
                self._stay(Phase.EVALUATING)
                self.report(self._evaluation(split))
        except Stopped:
            stopped = True
        position = self.position
        return TrainResult(
            position.step,
            position.best_step,
            stopped,
            False,
            position.step,
            0.0,
            0.0,
            0.0,
            0.0,
            "fp32",
            "none",
            1,
        )

    def _run(self) -> None:
        plan, position = self.plan, self.position
        try:
            while True:
                due = (
                    position.step % plan.validate_every == 0 and position.step > 0
                ) or position.step == plan.steps
                if due and position.validated_step != position.step:
                    self._validate()
                    self._save_checkpoint()
                if position.step == plan.steps:
                    return
                if self.should_stop():
                    raise Stopped("The run was stopped.")
                self._step()
                if position.step % plan.checkpoint_every == 0:
                    self._save_checkpoint()
        except Stopped:
            self._save_checkpoint()
            raise

    def _step(self) -> None:
        plan, position = self.plan, self.position
        if plan.error and position.step + 1 == plan.error_step:
            raise {
                "memory": MemoryError(),
                "bug": ValueError("a bug"),
                "diverged": Diverged("The loss is no longer a number."),
            }[plan.error]
        time.sleep(plan.step_seconds)
        self.state = _stretch(self.state + b"%d" % position.step, STATE_BYTES)
        position.step += 1
        self.report(
            TrainMetric(position.step, position.step / plan.steps, _loss(self.state), 1e-3, 1.0)
        )
        self.report(Progress(Phase.TRAINING, position.step, plan.steps))

    def _validate(self) -> None:
        position = self.position
        self._stay(Phase.VALIDATING)
        loss = _loss(self.state[1:])
        best = loss < position.best_loss
        position.validated_step = position.step
        if best:
            position.best_loss, position.best_step, self.best = loss, position.step, self.state
            self._save_adapter()
        self.report(
            ValidationMetric(
                position.step,
                position.step / self.plan.steps,
                loss,
                0.5,
                0.5,
                best,
                self._table("validation"),
            )
        )

    def _save_adapter(self) -> None:
        self.report(
            AdapterSaved(
                self.position.best_step,
                {"adapter_config.json": b"{}", "adapter_model.safetensors": self._adapter()},
            )
        )

    def _adapter(self) -> bytes:
        return _stretch(self.best + b"adapter", ADAPTER_BYTES)

    def _save_checkpoint(self) -> None:
        position = json.dumps(asdict(self.position)).encode()
        self.report(
            Checkpoint(self.position.step, {POSITION: position, STATE: self.state, BEST: self.best})
        )

    def _unpack(self, files: Mapping[str, bytes]) -> None:
        try:
            self.position = Position(**json.loads(files[POSITION]))
            self.state, self.best = files[STATE], files[BEST]
        except (KeyError, ValueError, TypeError) as error:
            raise ArtifactDamaged(f"The checkpoint is damaged ({type(error).__name__}).") from error

    def _stay(self, phase: Phase) -> None:
        for look in range(LOOKS if self.plan.phase_seconds else 1):
            self.report(Progress(phase, look, LOOKS))
            if self.should_stop():
                raise Stopped("The run was stopped.")
            time.sleep(self.plan.phase_seconds / LOOKS)

    def _evaluation(self, split: EvaluatedSplit) -> Evaluation:
        return Evaluation(split, self._table(split))

    def _table(self, split: EvaluatedSplit) -> "pd.DataFrame":
        return cast("pd.DataFrame", Table(_stretch(self.best + split.encode(), 1000)))


def _stretch(seed: bytes, size: int) -> bytes:
    return hashlib.shake_256(hashlib.sha256(seed).digest()).digest(size)


def _loss(state: bytes) -> float:
    return int.from_bytes(state[:4], "big") / 2**32
