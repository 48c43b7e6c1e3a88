"""The Playground page: a head trained in the page on picked and typed texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.access import Role, Visitor
from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.rows import stratified_sample
from core.data.sources import Split
from core.data.tables.table import clean
from core.errors import LoraLabError
from core.evaluation.playground import (
    Examples,
    Floats,
    Labels,
    Plane,
    TrainedHead,
    find_plane,
    flip_labels,
    train_head,
)
from core.evaluation.scores import Proportion
from core.translation import (
    format_number,
    localize,
    mark,
    read_language,
    translate,
    translate_plural,
)
from ui.app import inference
from ui.glossary import explain
from ui.session import error_boundary
from ui.session.cache import BoundedCache
from ui.text import format_accuracy, format_per_cent
from ui.widgets import chart_view, tables

MOST_CLASSES = 10  # with a color each in the picture
MOST_PER_CLASS = 20
HELD_OUT_TEXTS = 200  # an interval of at most 7 points, and a few seconds the first time
RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
USUAL_RATE, USUAL_STEPS, MOST_STEPS, MOST_NOISE = 3.0, 100, 500, 50
LARGEST_SEED, USUAL_SEED = 9_999, 1
TYPED_KEY, OWN_KEY, RATE_KEY = "playground-text", "playground-own", "playground-rate"
HELP = {
    "per_class": mark(
        "Few texts are learned by heart; more texts raise the accuracy on held-out ones."
    ),
    "rate": mark(
        "A higher rate learns in fewer steps until the loss jumps up and down; a lower one"
        " may not get there."
    ),
    "steps": mark(
        "More steps fit the training texts better; after some, held-out texts gain nothing or lose."
    ),
    "noise": mark(
        "More wrong labels pull the regions to the wrong texts; many texts and few steps"
        " resist best."
    ),
    "seed": mark(
        "Another seed picks other texts and flips other labels; the same seed repeats the"
        " result exactly."
    ),
}
HOW_TO_READ = mark("""
- **What is trained**: only a head (softmax regression). The base model is frozen; it turns each
  text into one vector, the mean of its last layer. The head starts at zero and takes steps of
  gradient descent on all training texts at once, so nothing depends on chance but the seed.
- **The rates are larger than those of a run**, because this head reads vectors of length 1 and
  takes plain steps. What too high and too low look like is the same.
- **The picture** shows the two directions in which the mean vectors of the classes differ most
  (PCA of the means). Texts stay in place while you move the sliders for rate, steps and noise;
  the background is the class that the head predicts at that place of the plane. Texts lie in
  front of or behind the plane, so a text can be predicted as another class than its background.
- **Held-out texts** are validation texts that the head never sees. Only they show whether more
  steps help.
""")


@dataclass(frozen=True, slots=True)
class Choices:
    """Settings of the page: picked texts of each class, rate, steps, share of flipped labels,
    seed.
    """

    per_class: int
    rate: float
    steps: int
    noise: float
    seed: int


@dataclass(frozen=True, eq=False)
class Material:
    """Texts that a seed picks, ``rank`` of each within its class, and the held-out texts."""

    texts: list[str]
    rank: Labels
    picked: Examples
    held_out: Examples


@dataclass(frozen=True, eq=False)
class Outcome:
    """The training texts with ``labels`` as they are trained on and ``given`` before label noise,
    the head and the plane of the picture. ``typed`` is the text to place, or empty.

    Everyone with the same settings and texts shares it, with the charts once they are drawn.
    """

    classes: tuple[str, ...]
    texts: list[str]
    given: Labels
    training: Examples
    held_out: Examples
    head: TrainedHead
    plane: Plane
    typed: str
    typed_vectors: Floats

    @cached_property
    def predicted(self) -> Labels:
        """The class predicted for each training text, and last for the typed one."""
        return self.head.predict(np.concatenate([self.training.vectors, self.typed_vectors]))

    @cached_property
    def right(self) -> tuple[int, int]:
        """Number of training and of held-out texts that are predicted correctly."""
        trained = self.predicted[: len(self.texts)] == self.training.labels
        held_out = self.head.predict(self.held_out.vectors) == self.held_out.labels
        return int(trained.sum()), int(held_out.sum())

    @cached_property
    def loss(self) -> charts.Chart:
        """The loss by step."""
        return charts.draw_head_loss(self.head.curve, translate("Loss (nats) by step"))

    @cached_property
    def picture(self) -> charts.Chart:
        """Training texts and the typed text over the regions of the classes."""
        vectors = np.concatenate([self.training.vectors, self.typed_vectors])
        points = self.plane.project(vectors)
        names, n = np.array(self.classes, dtype=object), len(self.texts)
        with_typed = len(vectors) - n
        table = pd.DataFrame(
            {
                "text": [*self.texts, *[self.typed] * with_typed],
                "class": [*names[self.training.labels], *[""] * with_typed],
                "predicted": names[self.predicted],
                "x": points[:, 0],
                "y": points[:, 1],
                "wrong": [*(self.predicted[:n] != self.training.labels), *[False] * with_typed],
                "typed": np.arange(len(vectors)) >= n,
            }
        )
        where = charts.find_common_range(table)
        regions = self.head.find_regions(self.plane, where)
        regions["class"] = names[regions["class"].to_numpy()]
        title = translate("Training texts and the class predicted at each place")
        return charts.draw_decision_picture(regions, table, self.classes, where, title)

    @cached_property
    def agreeing(self) -> int:
        """Number of training texts on a background of the class that is predicted for them."""
        flat = self.head.predict(self.plane.flatten(self.training.vectors))
        return int((flat == self.predicted[: len(self.texts)]).sum())


materials: BoundedCache[tuple[object, ...], Material] = BoundedCache(16)  # 1 MB each for MiniLM
outcomes: BoundedCache[tuple[object, ...], Outcome] = BoundedCache(64)  # 0.5 MB each


def choose_classes(dataset: Dataset) -> tuple[str, ...]:
    """Return the classes of the data, or let the visitor choose some of many."""
    if len(dataset.classes) <= MOST_CLASSES:
        return dataset.classes
    chosen = st.multiselect(
        translate("Classes"),
        dataset.classes,
        default=dataset.classes[:4],
        max_selections=MOST_CLASSES,
        key="playground-classes",
    )
    if len(chosen) < 2:
        st.info(translate("Choose at least two classes."), icon=":material/category:")
    return tuple(chosen)


@st.fragment  # moving a slider redraws nothing else
def draw(visitor: Visitor, dataset: Dataset, classes: tuple[str, ...]) -> None:
    """Draw the controls, train the head, and draw what it learned."""
    left, right = st.columns([2, 3], gap="medium")
    with left:
        choices = _choose()
    with right:
        typed = _read_typed(visitor)
        own = [item for item in _list_own(dataset) if item[1] in classes]
        try:
            outcome = _train(dataset, classes, choices, own, typed)
        except LoraLabError as error:
            error_boundary.show(error)
            return
        if outcome is None:
            st.info(
                translate(
                    "Pick or add texts of at least two classes: there is nothing to distinguish"
                    " yet."
                ),
                icon=":material/category:",
            )
        else:
            _draw_finding(outcome)
            _draw_picture(outcome)
    _draw_own(visitor, dataset, classes, typed)
    if outcome is not None:
        _draw_typed(outcome)
        chart_view.draw(outcome.loss, key="playground-loss")
        _draw_wrong(outcome)


def _choose() -> Choices:
    """Draw a slider for each setting with what more and less of it does."""
    with st.container(gap="xsmall"):
        per_class = st.slider(
            translate("Picked texts per class"),
            0,
            MOST_PER_CLASS,
            MOST_PER_CLASS,
            key="playground-per-class",
        )
        st.caption(translate(HELP["per_class"]))
        rate = st.select_slider(
            translate("Learning rate"),
            RATES,
            USUAL_RATE,
            format_func=lambda rate: format_number(rate, "g"),
            key=RATE_KEY,
        )
        st.caption(translate(HELP["rate"]))
        steps = st.slider(translate("Steps"), 1, MOST_STEPS, USUAL_STEPS, key="playground-steps")
        st.caption(translate(HELP["steps"]))
        noise = st.slider(
            translate("Label noise"), 0, MOST_NOISE, 0, 5, format="%d %%", key="playground-noise"
        )
        st.caption(translate(HELP["noise"]))
        seed = st.number_input(
            translate("Seed"), 0, LARGEST_SEED, USUAL_SEED, key="playground-seed"
        )
        st.caption(translate(HELP["seed"]))
    return Choices(per_class, rate, steps, noise / 100, int(seed))


def _read_typed(visitor: Visitor) -> str:
    """Draw the field for a text and return it, cut to the limit of the visitor."""
    longest, _ = _limits(visitor)
    typed = st.text_input(
        translate("Type a text to see where it lands"),
        key=TYPED_KEY,
        max_chars=longest,
        placeholder=translate("Type a text and press Enter"),
    )
    return clean(typed).strip()


def _limits(visitor: Visitor) -> tuple[int, int]:
    """Return the most characters of a typed text and the most texts that a visitor may add."""
    if visitor.role in (Role.GUEST, Role.GUEST_TRAINER):
        return 300, 10
    return 1_000, MOST_PER_CLASS * MOST_CLASSES


def _train(
    dataset: Dataset,
    classes: tuple[str, ...],
    choices: Choices,
    own: Sequence[tuple[str, str]],
    typed: str,
) -> Outcome | None:
    """Return the head trained with these settings, computed once for all visitors.

    None if the training texts have fewer than two classes. Raises LoraLabError.
    """
    # the charts have titles
    key = (dataset.fingerprint, classes, choices, tuple(own), typed, read_language())
    if outcome := outcomes.get(key):
        return outcome
    material = _read_material(dataset, classes, choices.seed)
    chosen = material.rank < choices.per_class
    picked = material.picked.labels[chosen]
    own_labels = np.array([classes.index(name) for _, name in own], dtype=np.int64)
    given = np.concatenate([picked, own_labels])
    if len(np.unique(given)) < 2:
        return None
    texts = [*compress(material.texts, chosen), *(text for text, _ in own)]
    entered = [*(text for text, _ in own), *([typed] if typed else [])]
    vectors = material.picked.vectors[chosen]
    entered_vectors = _embed(dataset, entered) if entered else vectors[:0]
    noisy = flip_labels(picked, choices.noise, len(classes), choices.seed)
    training = Examples(
        np.concatenate([vectors, entered_vectors[: len(own)]]), np.concatenate([noisy, own_labels])
    )
    head = train_head(training, material.held_out, len(classes), choices.rate, choices.steps)
    plane = find_plane(training.vectors, given)
    last = entered_vectors[len(own) :]
    return outcomes.put(
        key, Outcome(classes, texts, given, training, material.held_out, head, plane, typed, last)
    )


def _read_material(dataset: Dataset, classes: tuple[str, ...], seed: int) -> Material:
    """Pick texts and read their vectors, once for all visitors. Raises LoraLabError."""
    key = (dataset.fingerprint, classes, seed)
    if material := materials.get(key):
        return material
    picked = _draw_texts(dataset, classes, "train", MOST_PER_CLASS, seed)
    held_out = _draw_texts(dataset, classes, "validation", -(-HELD_OUT_TEXTS // len(classes)), 0)
    texts, others = picked["text"].tolist(), held_out["text"].tolist()
    # vectors of other seeds would fill the disk
    stored_in = dataset.folder / "vectors" if seed == USUAL_SEED else None
    vectors = _embed(dataset, [*texts, *others], stored_in)
    n = len(texts)
    return materials.put(
        key,
        Material(
            texts,
            np.asarray(picked.groupby("label").cumcount(), dtype=np.int64),
            Examples(vectors[:n], picked["label"].to_numpy(np.int64)),
            Examples(vectors[n:], held_out["label"].to_numpy(np.int64)),
        ),
    )


def _draw_texts(
    dataset: Dataset, classes: tuple[str, ...], split: Split, per_class: int, seed: int
) -> pd.DataFrame:
    """Draw texts of ``split``: text, and label as a position in ``classes``."""
    ids = [dataset.classes.index(name) for name in classes]
    labels = dataset.read_labels(split)
    labels = labels[labels["label"].isin(ids)]
    drawn = dataset.add_texts(split, stratified_sample(labels, per_class * len(ids), seed))
    return drawn.assign(label=drawn["label"].map({old: new for new, old in enumerate(ids)}))


def _embed(dataset: Dataset, texts: Sequence[str], stored_in: Path | None = None) -> Floats:
    """Return the vectors of the texts; progress is shown while they are computed."""
    place = st.empty()

    def show(share: float) -> None:
        if len(texts) > 1 and share < 1:
            text = translate("Reading the texts with the base model, once for everyone")
            place.progress(share, text=text)

    try:
        return inference.embed_texts(RunConfig().model, dataset.classes, texts, show, stored_in)
    finally:
        place.empty()


def _draw_finding(outcome: Outcome) -> None:
    """Draw the accuracy on held-out texts and the number of wrong training texts."""
    trained, held_out = outcome.right
    accuracy = Proportion(held_out, len(outcome.held_out.labels))
    st.subheader(
        translate(
            "{accuracy} of held-out texts right", accuracy=localize(format_accuracy(accuracy))
        ),
        anchor=False,
        help=explain("accuracy", "95 % interval", "held-out text"),
    )
    shown = translate_plural(
        "{n:,} held-out text; ± is the 95 % interval.",
        "{n:,} held-out texts; ± is the 95 % interval.",
        accuracy.n,
    )
    training = translate_plural(
        "{wrong:,} of {n:,} training text predicted incorrectly.",
        "{wrong:,} of {n:,} training texts predicted incorrectly.",
        len(outcome.texts),
        wrong=len(outcome.texts) - trained,
    )
    st.caption(f"{shown} {training}")


def _draw_picture(outcome: Outcome) -> None:
    """Draw training texts and the typed text over the regions of the classes."""
    chart_view.draw(outcome.picture, key="playground-picture")
    st.caption(
        translate(
            "An outline marks a text that is predicted incorrectly. {agreeing:,} of {texts:,} texts"
            " have the background of their prediction: the plane has {share} of the variance.",
            agreeing=outcome.agreeing,
            texts=len(outcome.texts),
            share=localize(format_per_cent(outcome.plane.share)),
        )
    )


def _draw_typed(outcome: Outcome) -> None:
    """Draw the class probabilities of the typed text."""
    if not outcome.typed:
        return
    values = outcome.head.compute_probabilities(outcome.typed_vectors)[0]
    chart_view.draw(
        charts.draw_probabilities(values.tolist(), outcome.classes, translate("Your text (★)")),
        key="playground-probabilities",
    )


def _list_own(dataset: Dataset) -> list[tuple[str, str]]:
    """Return the texts that the visitor added for this dataset, each with its class."""
    by_data: dict[str, list[tuple[str, str]]] = st.session_state.setdefault(OWN_KEY, {})
    return by_data.setdefault(dataset.fingerprint, [])


def _draw_own(visitor: Visitor, dataset: Dataset, classes: tuple[str, ...], typed: str) -> None:
    """Draw how to add the typed text to the training texts, and the texts added so far."""
    own = _list_own(dataset)
    _, most = _limits(visitor)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            translate("Class of the typed text"), classes, key="playground-class", width=240
        )
        added = (typed, name) in own
        full = len(own) >= most or sum(item[1] == name for item in own) >= MOST_PER_CLASS
        st.button(
            translate("Add to the training texts"),
            key="playground-add",
            icon=":material/add:",
            disabled=not typed or added or full,
            on_click=own.append,
            args=((typed, name),),
        )
    if full:
        st.caption(
            translate(
                "You can add at most {of_class} of a class and {most} in all. Remove a text to add"
                " another one.",
                of_class=MOST_PER_CLASS,
                most=most,
            )
        )
    if not own:
        st.caption(
            translate("Texts that you add are trained on with the picked ones, in this visit only.")
        )
        return
    chosen = tables.draw_several_texts(
        pd.DataFrame(own, columns=["text", "class"]),
        key=f"playground-own-{len(own)}",  # a selection ends when the rows change
        columns={"class": translate("Class of the text")},
        rows_in_view=4,
        alt=translate("Training texts that you added"),
    )
    st.button(
        translate("Remove the selected texts"),
        key="playground-remove",
        icon=":material/delete:",
        disabled=not chosen,
        on_click=_remove_own,
        args=(own, chosen),
    )


def _remove_own(own: list[tuple[str, str]], rows: Sequence[int]) -> None:
    own[:] = [item for number, item in enumerate(own) if number not in rows]


def _draw_wrong(outcome: Outcome) -> None:
    """Draw the training texts that the head predicts incorrectly."""
    predicted = outcome.predicted[: len(outcome.texts)]
    names = np.array(outcome.classes, dtype=object)
    flipped = outcome.training.labels != outcome.given
    table = pd.DataFrame(
        {
            "text": outcome.texts,
            "label": names[outcome.training.labels],
            "predicted": names[predicted],
            "noise": np.where(flipped, names[outcome.given], ""),
        }
    )[predicted != outcome.training.labels]
    title = translate("Training texts that are predicted incorrectly")
    st.markdown(f"#### {title}")
    if table.empty:
        st.caption(translate("None: the head has learned every training text, right or wrong."))
        return
    tables.draw_plain(
        table,
        key="playground-wrong",
        columns={
            "text": st.column_config.TextColumn(translate("Text"), width="large"),
            "label": translate("Label"),
            "predicted": translate("Predicted"),
            "noise": st.column_config.TextColumn(
                translate("Flipped from"),
                help=translate("The class of the data where label noise changed it."),
            ),
        },
        rows_in_view=8,
        alt=title,
    )
