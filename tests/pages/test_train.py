import re
import string
from pathlib import Path

import pytest
from streamlit.testing.v1.element_tree import NumberInput, Selectbox

from core.config import RunConfig, find_bounds, find_four_bit_problem, list_choices
from core.data.dataset import Dataset
from core.data.sources import demo_source
from core.estimate.inputs import data_facts
from core.presets import FITTED, DataSize, Preset, make_config
from core.runs.requests import TrainRequest, read_train_request
from core.storage.job import Job, JobKind
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.tiny_models import write_bert

PAGE = "pages/train.py"


def test_each_field_has_a_widget_with_its_help_and_bounds(open_app: Open) -> None:
    app = open_app(PAGE)

    for name, field in RunConfig.model_fields.items():
        kinds = ("segmented_control", "selectbox", "toggle", "number_input", "text_input")
        widget = next(
            element for kind in kinds for element in app.get(kind) if element.key == f"field-{name}"
        )
        assert widget.help == field.description
        if field.annotation in (int, float):
            assert isinstance(widget, NumberInput)
            assert (widget.min, widget.max) == find_bounds(name)
        if options := list_choices(name):
            assert isinstance(widget, Selectbox)
            assert tuple(widget.options) == options


def test_the_form_starts_with_the_quick_preset(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)

    app.button(key="launch").click().run()

    size = data_facts(dataset).size
    request = read_train_request(store.list_jobs(JobKind.TRAIN)[0])
    assert request.config == make_config(Preset.QUICK, None, size)
    assert request.config.epochs > 1  # few rows
    assert request.fitted_later == ()


def test_a_preset_is_fitted_later_to_data_that_are_not_prepared(
    open_app: Open, store: Store
) -> None:
    app = open_app(PAGE)
    app.number_input(key="field-epochs").set_value(2).run()

    app.button(key="launch").click().run()

    request = read_train_request(store.list_jobs(JobKind.TRAIN)[0])
    assert request.config == make_config(Preset.QUICK, {"epochs": 2})
    assert set(request.fitted_later) == set(FITTED) - {"epochs"}


def test_other_data_change_the_values_that_are_still_the_presets(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    app.number_input(key="field-validation_rows").set_value(7).run()
    app.session_state["filled-for-size"] = DataSize(108_000, 12_000, 7_600, 4, 90)
    app.session_state["field-epochs"] = 1
    app.session_state["field-train_rows"] = 8000

    app.run()

    assert app.number_input(key="field-epochs").value != 1
    assert app.number_input(key="field-train_rows").value == 0
    assert app.number_input(key="field-validation_rows").value == 7


def test_zero_rows_say_that_they_mean_all(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.number_input(key="field-train_rows").set_value(0).run()
    assert app.number_input(key="field-train_rows").label == "Training rows · all"

    app.number_input(key="field-train_rows").set_value(200).run()
    assert app.number_input(key="field-train_rows").label == "Training rows :orange[· preset all]"


@pytest.mark.parametrize("preset", list(Preset))
def test_a_preset_fills_the_form(
    open_app: Open, dataset: Dataset, store: Store, preset: Preset
) -> None:
    app = open_app(PAGE)
    app.segmented_control(key="preset").set_value(preset).run()

    app.button(key="launch").click().run()

    request = read_train_request(store.list_jobs(JobKind.TRAIN)[0])
    config = make_config(preset, None, data_facts(dataset).size)
    assert (request.config, request.preset) == (config, preset)


@pytest.mark.skipif(find_four_bit_problem() == "", reason="this machine can do it")
def test_what_this_machine_cannot_do_says_why_and_can_only_be_switched_off(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)
    assert app.toggle(key="field-four_bit").disabled
    assert f"Not on this machine: it {find_four_bit_problem()}." in page_text(app)

    app.session_state["field-four_bit"] = True  # as a run from another machine fills it in
    app.run()
    assert not app.toggle(key="field-four_bit").disabled
    assert app.button(key="launch").disabled


def test_what_differs_from_the_preset_is_marked(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.number_input(key="field-rank").set_value(8).run()

    assert app.number_input(key="field-rank").label == "Rank :orange[· preset 16]"
    assert "1 setting differs from the Quick preset." in page_text(app)


def test_a_guess_is_kept_with_the_run(open_app: Open, dataset: Dataset, store: Store) -> None:
    app = open_app(PAGE)
    app.number_input(key="guess").set_value(87.5).run()

    app.button(key="launch").click().run()

    (job,) = store.list_jobs(JobKind.TRAIN)
    assert read_train_request(job).guess == 0.875


def test_what_is_trained_follows_the_rank(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)
    assert "0.7 % of 22,862,212 parameters are trained" in page_text(app)

    app.number_input(key="field-rank").set_value(32).run()
    assert "1.3 % of 23,009,668 parameters are trained" in page_text(app)


def test_a_warning_teaches_and_its_button_fixes_it(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)
    app.number_input(key="field-learning_rate").set_value(0.5).run()
    assert "will probably diverge" in page_text(app)
    assert not app.button(key="launch").disabled

    next(
        button for button in app.button if str(button.key).startswith("fix-learning_rate")
    ).click().run()

    assert app.number_input(key="field-learning_rate").value == 2e-3
    assert "will probably diverge" not in page_text(app)


def test_an_error_blocks_the_launch(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.selectbox(key="field-precision").set_value("fp16").run()

    assert "fp16 needs a GPU" in page_text(app)
    assert app.button(key="launch").disabled


def test_a_click_that_arrives_with_a_blocking_value_launches_nothing(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)
    before = store.list_jobs("train")

    app.selectbox(key="field-precision").set_value("fp16")
    app.button(key="launch").click().run()

    assert store.list_jobs("train") == before
    assert "fp16 needs a GPU" in page_text(app)


def test_a_value_that_no_widget_can_refuse_is_explained(open_app: Open, dataset: Dataset) -> None:
    app = open_app(PAGE)

    app.number_input(key="field-learning_rate").set_value(0.0).run()

    assert "learning_rate cannot be 0.0: enter a number above 0 and at most 1." in page_text(app)
    assert app.button(key="launch").disabled


def test_a_model_that_is_unavailable_blocks_the_launch_with_the_reason(
    open_app: Open, dataset: Dataset
) -> None:
    app = open_app(PAGE)

    app.segmented_control(key="field-model").set_value("distilbert").run()

    assert "distilbert is not available: The Hub cannot be reached" in page_text(app)
    assert app.button(key="launch").disabled


def test_another_model_is_asked_for_by_name(
    open_app: Open, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_PATHS", "/no")
    app = open_app(PAGE)
    app.segmented_control(key="field-model").set_value("another").run()

    app.text_input(key="field-model-other").set_value("/no/such/model").run()

    assert "There is no folder /no/such/model" in page_text(app)
    assert app.button(key="launch").disabled


def test_texts_that_the_tokenizer_does_not_know_are_a_warning(
    open_app: Open, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_PATHS", str(tmp_path))
    folder = write_bert(tmp_path / "hebrew")
    for name in ("vocab.txt", "tokenizer.json"):  # no letter of the texts is in the vocabulary
        content = (folder / name).read_text()
        for letter in string.ascii_lowercase:
            hebrew = chr(ord("\u05d0") + ord(letter) - ord("a"))
            content = re.sub(
                rf'(?m)(^|")((?:##)?){letter}($|")', rf"\g<1>\g<2>{hebrew}\g<3>", content
            )
        (folder / name).write_text(content)
    app = open_app(PAGE)
    app.segmented_control(key="field-model").set_value("another").run()

    app.text_input(key="field-model-other").set_value(str(folder)).run()

    assert "of the tokens of the training texts are unknown to the tokenizer" in page_text(app)
    assert not app.button(key="launch").disabled


def test_a_run_that_needs_more_than_is_free_is_warned_of_before_the_launch(
    open_app: Open, dataset: Dataset, short_of_memory: None
) -> None:
    assert "Only 100 MB of memory are free; a run needs" in " ".join(
        warning.value for warning in open_app(PAGE).warning
    )


def test_without_room_nothing_is_launched(
    open_app: Open, dataset: Dataset, store: Store, short_of_memory: None
) -> None:
    app = open_app(PAGE)

    app.button(key="launch").click().run()

    assert "Only 100 MB of memory are free; a run needs 700." in page_text(app)
    assert store.list_jobs(JobKind.TRAIN) == []


def test_launching_goes_to_the_run(open_app: Open, dataset: Dataset, store: Store) -> None:
    app = open_app(PAGE)
    app.text_input(key="run-name").set_value("*my* run").run()

    app.button(key="launch").click().run()

    (run,) = store.list_jobs(JobKind.TRAIN)
    assert run.name == "*my* run"
    assert (app.title[0].value, app.query_params["run"]) == ("Runs", run.id)


def test_a_second_click_on_its_way_launches_nothing(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)
    app.session_state["launch-key-launch"] = "drawn once"
    app.button(key="launch").click().run()

    again = open_app(PAGE)
    again.session_state["launch-key-launch"] = "drawn once"
    again.button(key="launch").click().run()

    assert len(store.list_jobs(JobKind.TRAIN)) == 1


def test_a_second_click_that_was_lost_still_ends_on_the_run(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    request = TrainRequest(config=RunConfig(), source=demo_source()).model_dump(mode="json")
    run = store.create(JobKind.TRAIN, "launched", request, "launched")
    app = open_app()
    app.session_state["launched-run"] = (
        run.id
    )  # left behind if a second click stops the first click's script

    app.switch_page(PAGE).run()
    assert (app.title[0].value, app.query_params["run"]) == ("Runs", run.id)

    app.switch_page(PAGE).run()
    assert app.title[0].value == "New run"


def test_the_form_drawn_again_launches_another_run(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app(PAGE)
    app.button(key="launch").click().run()

    app.switch_page(PAGE).run()
    app.button(key="launch").click().run()

    assert len(store.list_jobs(JobKind.TRAIN)) == 2


def test_a_run_can_be_launched_before_its_data_is_prepared(open_app: Open, store: Store) -> None:
    app = open_app(PAGE)
    assert "is not prepared yet. The run will prepare it first" in page_text(app)

    app.button(key="launch").click().run()

    assert len(store.list_jobs(JobKind.TRAIN)) == 1


def test_clone_fills_the_form_from_a_run(
    open_app: Open, dataset: Dataset, finished: Job, store: Store
) -> None:
    app = open_app(PAGE, clone=finished.id)

    assert app.number_input(key="field-train_rows").value == 800
    assert app.segmented_control(key="preset").value == Preset.TASTE
    assert "clone" not in app.query_params


def test_cloning_a_damaged_run_is_refused_in_words(open_app: Open, damaged: Job) -> None:
    assert "is damaged" in page_text(open_app(PAGE, clone=damaged.id))


def test_cloning_an_unknown_run_is_refused_in_words(open_app: Open) -> None:
    assert "There is no run 'missing'." in page_text(open_app(PAGE, clone="missing"))
