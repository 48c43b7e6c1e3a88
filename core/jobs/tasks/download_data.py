"""The job that downloads the files of a dataset from the Hugging Face Hub."""

from pydantic import BaseModel, ConfigDict

from core.data.hub_download import HubFiles, download
from core.jobs.context import JobContext
from core.jobs.launching import read_request


class FetchRequest(BaseModel):
    """Download these files."""

    model_config = ConfigDict(frozen=True)

    pick: HubFiles


def run(context: JobContext) -> None:
    """Download what the request names. Raises DataError, ArtifactDamaged and Stopped."""
    pick = read_request(context.job, FetchRequest).pick
    context.set_running()
    download(context.settings, pick, context.report, context.should_stop)
    context.set_result(origin=pick.origin, bytes=pick.size)
