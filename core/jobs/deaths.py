"""What to record of a worker that is gone and recorded no end itself."""

import signal

from core.jobs.causes import Ending, out_of_memory, unrecorded
from core.states import Cause, Job, JobState, Kind

RESUME = "Resume goes on from the last checkpoint."


def explain_death(job: Job, code: int | None, memory_kills: int) -> tuple[JobState, Ending]:
    """State and ending. ``code`` is the exit code, a negative signal, or None where another process was its parent.

    ``memory_kills`` counts what the kernel killed for want of memory while it ran.
    """
    if job.state is JobState.STOPPING and job.kind == Kind.CALIBRATE:
        return JobState.CANCELLED, Ending(Cause.NONE, "Stopped before it was done.", "It can be asked for again.")
    if job.state is JobState.STOPPING:
        return JobState.CANCELLED, Ending(Cause.NONE, "Stopped before it could save its last step.", RESUME)
    if memory_kills and code in (None, -signal.SIGKILL):
        inferred = " This is inferred from the kernel's count of such kills." if code is None else ""
        return JobState.INTERRUPTED, out_of_memory(job, f"The machine ran out of memory, and the kernel killed the worker.{inferred}")
    if code is None:
        how = "The worker is gone; why is inferred: it was killed or the machine was restarted."
    elif code < 0:
        how = f"The worker was killed by signal {-code} ({signal.Signals(-code).name})."
    else:
        told = unrecorded(code, job)
        if told:
            return JobState.INTERRUPTED, told
        how = f"The worker ended with code {code} without saying why; its log may tell."
    return JobState.INTERRUPTED, Ending(Cause.KILLED, how, RESUME)
