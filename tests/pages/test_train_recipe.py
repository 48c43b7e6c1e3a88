import pytest

from core.data.dataset import Dataset
from core.data.recipe import Fix, Recipe, Step, recipe_path, save_recipe, to_bytes
from core.runs.requests import read_train_request
from core.storage.job import JobKind
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text

PAGE = "pages/train.py"


@pytest.fixture
def recipe(dataset: Dataset, store: Store) -> Recipe:
    """Store a recipe that drops three training texts."""
    rows = tuple(int(row) for row in dataset.read("train")["row"][:3])
    created = Recipe(
        fingerprint=dataset.fingerprint, steps=(Step(check="leakage", fix=Fix.DROP, rows=rows),)
    )
    save_recipe(store.settings, created)
    return created


def test_without_a_recipe_there_is_no_choice(open_app: Open, dataset: Dataset) -> None:
    assert "data-cleaning" not in [
        element.key for element in open_app(PAGE).get("segmented_control")
    ]


def test_data_are_taken_as_they_are_unless_cleaned_is_chosen(
    open_app: Open, recipe: Recipe, store: Store
) -> None:
    app = open_app(PAGE)
    choice = app.segmented_control(key="data-cleaning")
    assert (choice.value, choice.options) == (
        "original",
        ["original", "cleaned: 3 training texts removed"],
    )

    app.button(key="launch").click().run()

    assert read_train_request(store.list_jobs(JobKind.TRAIN)[0]).recipe is None


def test_a_run_keeps_the_recipe_that_was_chosen(
    open_app: Open, recipe: Recipe, store: Store
) -> None:
    app = open_app(PAGE)
    app.segmented_control(key="data-cleaning").set_value("cleaned").run()

    app.button(key="launch").click().run()

    assert read_train_request(store.list_jobs(JobKind.TRAIN)[0]).recipe == recipe


def test_a_clone_takes_the_recipe_of_its_run_while_it_is_the_present_one(
    open_app: Open, recipe: Recipe, store: Store
) -> None:
    app = open_app(PAGE)
    app.segmented_control(key="data-cleaning").set_value("cleaned").run()
    app.button(key="launch").click().run()
    run = store.list_jobs(JobKind.TRAIN)[0].id

    assert open_app(PAGE, clone=run).segmented_control(key="data-cleaning").value == "cleaned"
    save_recipe(
        store.settings, recipe.with_step(Step(check="nearly empty", fix=Fix.DROP, rows=(4,)))
    )
    other = open_app(PAGE, clone=run)

    assert other.segmented_control(key="data-cleaning").value == "original"
    assert "The run used another cleaning recipe" in page_text(other)


def test_a_damaged_recipe_is_said_and_the_form_stays(
    open_app: Open, recipe: Recipe, store: Store
) -> None:
    recipe_path(store.settings, recipe.fingerprint).write_text("{")

    app = open_app(PAGE)

    assert "The cleaning recipe of this dataset is damaged." in page_text(app)
    assert not app.button(key="launch").disabled


def test_a_recipe_from_a_file_is_chosen_for_the_run(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    rows = tuple(int(row) for row in dataset.read("train")["row"][:2])
    expected = Recipe(
        fingerprint=dataset.fingerprint, steps=(Step(check="leakage", fix=Fix.DROP, rows=rows),)
    )
    app = open_app(PAGE)

    app.file_uploader(key="recipe-file").upload(
        "mine.json", to_bytes(expected), "application/json"
    ).run()
    app.button(key="use-recipe").click().run()
    assert app.segmented_control(key="data-cleaning").value == "cleaned"
    app.button(key="launch").click().run()

    assert read_train_request(store.list_jobs(JobKind.TRAIN)[0]).recipe == expected


def test_a_recipe_that_is_not_used_is_pointed_out(open_app: Open, recipe: Recipe) -> None:
    app = open_app(PAGE)
    note = "The cleaning recipe of this dataset (3 training texts removed) is not used."
    assert note in page_text(app)

    app.segmented_control(key="data-cleaning").set_value("cleaned").run()

    assert note not in page_text(app)


def test_the_link_of_the_quality_page_arrives_with_the_cleaned_texts(
    open_app: Open, recipe: Recipe
) -> None:
    app = open_app(PAGE, texts="cleaned")

    assert app.segmented_control(key="data-cleaning").value == "cleaned"
    assert "texts" not in app.query_params
