"""Budget and measurement on the New run page."""

from core.data.dataset import Dataset
from core.estimate.inputs import data_facts
from core.presets import Preset, make_config
from core.runs.requests import read_train_request
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open

PAGE = "pages/train.py"


def test_a_budget_fills_the_form_with_what_fits(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)

    app.segmented_control(key="budget").set_value(5).run()

    assert any("5 minutes allow " in caption.value for caption in app.caption)
    app.button(key="launch").click().run()
    config = read_train_request(store.list_jobs(JobKind.TRAIN)[0]).config
    assert config.train_rows == dataset.rows("train")
    assert config.epochs > 1


def test_no_limit_and_another_preset_undo_a_budget(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)
    app.segmented_control(key="budget").set_value(15).run()

    app.segmented_control(key="preset").set_value(Preset.TASTE).run()

    assert app.segmented_control(key="budget").value == 0
    app.segmented_control(key="budget").set_value(15).run()
    app.segmented_control(key="budget").set_value(0).run()
    app.button(key="launch").click().run()
    assert read_train_request(store.list_jobs(JobKind.TRAIN)[0]).config == make_config(
        Preset.TASTE, None, data_facts(dataset).size
    )


def test_a_machine_that_was_not_measured_offers_to_be(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)

    app.button(key="measure").click().run()

    (job,) = store.list_jobs(JobKind.CALIBRATE)
    assert job.state is JobState.QUEUED
    assert not [button for button in app.button if button.key == "measure"]


def test_nothing_is_measured_next_to_another_job(
    open_app: Open, dataset: Dataset, store: Store, running: object
) -> None:
    app = open_app(PAGE)

    assert app.button(key="measure").disabled
