"""Jobs that prepare a dataset or download its files from the Hugging Face Hub.

A training that finds no prepared data prepares them itself.
"""

from pydantic import BaseModel, ConfigDict, Field

from core.data.explore.index import ensure_index
from core.data.hub_download import HubFiles, download
from core.data.preparation import find_prepared, prepare
from core.jobs.context import JobContext
from core.jobs.launching import read_request
from core.runs.requests import PrepareRequest, read_train_request


def run_preparation(context: JobContext) -> None:
    """Prepare the data source of the request, and record the fingerprint."""
    source = read_request(context.job, PrepareRequest).source
    dataset = prepare(context.settings, source, context.report, context.should_stop)
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    ensure_index(dataset, context.report, context.should_stop)


def prepare_training(context: JobContext) -> bool:
    """Prepare the uncleaned data of a training; return False if they were prepared already."""
    source = read_train_request(context.job).source
    if find_prepared(context.settings, source) is not None:
        return False
    prepare(context.settings, source, context.report, context.should_stop)
    return True


class FetchRequest(BaseModel):
    """Download the files ``pick``."""

    model_config = ConfigDict(frozen=True)

    pick: HubFiles


class FetchResult(BaseModel):
    """Origin of the files, and their size in bytes."""

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    origin: str
    size: int = Field(alias="bytes")


def run_download(context: JobContext) -> None:
    """Download the files of the request. Raises DataError, ArtifactDamaged and Stopped."""
    pick = read_request(context.job, FetchRequest).pick
    download(context.settings, pick, context.report, context.should_stop)
    context.update_result(FetchResult(origin=pick.origin, bytes=pick.size))
