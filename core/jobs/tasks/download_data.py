"""The job that downloads the files of a dataset from the Hugging Face Hub: queueing it, doing it,
and the search for it.
"""

from pydantic import BaseModel, ConfigDict, ValidationError

from core.access import Action, require
from core.data.hub_download import HubFiles, download
from core.errors import ArtifactDamaged
from core.jobs.context import JobContext
from core.jobs.processes import ensure_supervisor
from core.people import accounts
from core.storage.job import Job, JobKind
from core.storage.resources import require_resources
from core.storage.store import Store


class FetchRequest(BaseModel):
    """Download these files."""

    model_config = ConfigDict(frozen=True)

    pick: HubFiles


def launch_fetch(store: Store, pick: HubFiles) -> Job:
    """Queue the download of files from the Hub, or return the one that is under way. Raises
    NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.KEEP_DATA)
    require_resources(store.settings)
    asked = find_fetch_jobs(store, pick)
    job = next((one for one in asked if not one.state.over), None)
    if job is None:
        request = FetchRequest(pick=pick).model_dump(mode="json")
        key = (
            f"{JobKind.FETCH}|{pick.origin}|{len(asked)}"  # two who ask at the same moment get one
        )
        job = store.create(JobKind.FETCH, f"Download {pick.name}", request, key)
        accounts.note(store, "fetch a dataset", pick.origin)
    ensure_supervisor(store.settings)
    return job


def run(context: JobContext) -> None:
    """Download what the request names. Raises DataError, ArtifactDamaged and Stopped."""
    try:
        pick = FetchRequest.model_validate(context.job.request).pick
    except ValidationError as error:
        raise ArtifactDamaged(
            "The record of this download is damaged.", "Look the dataset up again."
        ) from error
    context.set_running()
    download(context.settings, pick, context.report, context.should_stop)
    context.set_result(origin=pick.origin, bytes=pick.size)


def find_fetch_jobs(store: Store, pick: HubFiles) -> list[Job]:
    """The jobs that were asked to download the same files, newest first."""
    wanted = FetchRequest(pick=pick).model_dump(mode="json")
    return [job for job in store.jobs(JobKind.FETCH) if job.request == wanted]
