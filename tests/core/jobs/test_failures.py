import errno
from dataclasses import replace

import pytest

from core.errors import (
    ArtifactDamaged,
    DataError,
    Diverged,
    LoraLabError,
    ModelUnavailable,
    NotEnoughRoom,
    StoreBusy,
)
from core.jobs.failures import find_failure_of_exit_code, make_failure
from core.storage.job import FailureCause, Job, JobKind, JobState

JOB = Job(
    "id",
    JobKind.TRAIN,
    "run",
    JobState.RUNNING,
    1,
    "local",
    '{"config": {"learning_rate": 0.02, "batch_size": 16}}',
    0.0,
)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError(), FailureCause.OUT_OF_MEMORY),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"
            ),
            FailureCause.OUT_OF_MEMORY,
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
            FailureCause.OUT_OF_MEMORY,
        ),
        (OSError(errno.ENOSPC, "No space left on device"), FailureCause.DISK_FULL),
        (OSError(errno.EIO, "Input/output error"), FailureCause.DISK_ERROR),
        (NotEnoughRoom("full"), FailureCause.DISK_FULL),
        (Diverged("not a number"), FailureCause.DIVERGED),
        (DataError("changed"), FailureCause.DATA),
        (ModelUnavailable("away"), FailureCause.MODEL),
        (ArtifactDamaged("cut"), FailureCause.DAMAGED),
        (StoreBusy("held"), FailureCause.DATABASE),
        (ModuleNotFoundError("No module named 'onnx'", name="onnx"), FailureCause.CONFIG),
        (RuntimeError("shape mismatch"), FailureCause.BUG),
        (KeyError("x"), FailureCause.BUG),
    ],
)
def test_each_error_has_its_cause_and_a_remedy(error: Exception, cause: FailureCause) -> None:
    ending = make_failure(error, JOB)

    assert ending.cause is cause
    assert ending.message
    assert ending.fix or isinstance(error, LoraLabError)


def test_a_diverged_run_is_offered_a_quarter_of_its_learning_rate() -> None:
    assert make_failure(Diverged("loss is NaN"), JOB).proposal_json == '{"learning_rate": 0.005}'


def test_a_run_out_of_memory_is_offered_half_the_batch() -> None:
    assert make_failure(MemoryError(), JOB).proposal_json == '{"batch_size": 8}'


def test_a_run_with_long_texts_is_offered_half_their_length_too() -> None:
    long = replace(JOB, request_json='{"config": {"batch_size": 1, "max_tokens": 200}}')

    assert make_failure(MemoryError(), long).proposal_json == '{"max_tokens": 128}'


def test_a_damaged_request_is_offered_nothing() -> None:
    broken = Job("id", JobKind.TRAIN, "run", JobState.RUNNING, 1, "local", "{", 0.0)

    assert make_failure(MemoryError(), broken).proposal_json == "{}"


def test_a_bug_has_an_id_of_its_own() -> None:
    first, second = make_failure(ValueError(), JOB), make_failure(ValueError(), JOB)

    assert first.error_id in first.message
    assert len({first.error_id, second.error_id}) == 2


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOSPC, "full"), StoreBusy("held")])
def test_an_ending_that_could_not_be_written_is_reported_by_the_exit_code(error: Exception) -> None:
    ending = make_failure(error, JOB)
    reported = find_failure_of_exit_code(ending.exit_code, JOB)

    assert reported is not None
    assert reported.cause is ending.cause


@pytest.mark.parametrize("code", [1, 2, 139])
def test_other_exit_codes_report_nothing(code: int) -> None:
    assert find_failure_of_exit_code(code, JOB) is None
