"""Access to a job whose stop has been requested."""

from core.jobs.context import JobContext


class StoppedContext(JobContext):
    """Access to a job that is to be stopped at the first opportunity."""

    def should_stop(self) -> bool:
        return True
