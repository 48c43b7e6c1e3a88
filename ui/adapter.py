"""Parts of the Adapter page: what changed where, singular values, and the trained adapter scaled or
switched off in parts.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.charts.adapter_spectra import Shown
from core.errors import LoraLabError
from core.evaluation.scores import Proportion
from core.inference.messages import AS_TRAINED, Matrix, Variant
from core.runs import artifacts
from ui.app import inference
from ui.app.page_frame import OpenRun
from ui.session import error_boundary
from ui.text import accuracy, count, per_cent, plain
from ui.widgets import chart_view

SAMPLE = 200  # test texts: two seconds on two cores, ± 4 points at 90 %
SCALE_KEY, LAYERS_KEY, MODULES_KEY, TEXT_KEY = (
    "adapter-scale",
    "layers-off",
    "modules-off",
    "adapter-text",
)
HOW_TO_READ = """
- A trained weight is W + ΔW with ΔW = (alpha / r) · B A. The map shows how long ΔW is against W
  (Frobenius norms).
- The **effective rank** says how many directions ΔW really uses: exp of the entropy of its
  singular values' shares. Far below the chosen rank means that a smaller rank might do.
- At **0 ×** only the trained head is left on the base as it came; at **1 ×** the run is as
  trained.
"""


@st.cache_data(max_entries=32, show_spinner=False)
def spectra(run_id: str, version: int, _run: OpenRun) -> list[Matrix]:
    """What the run's adapter changes. Raises LoraLabError."""
    request = inference.request_for(_run)
    return inference.with_stages([request]).spectra(request)


def draw_headline(run: OpenRun, found: Sequence[Matrix]) -> None:
    """How much was changed, with how many directions, and how small the adapter is."""
    rank = len(found[0].singular)
    change, used = (
        float(np.mean(values))
        for values in ([m.change for m in found], [m.effective_rank for m in found])
    )
    st.subheader(
        f"{count(len(found), 'weights')} changed by {per_cent(change)} on average, in {used:.1f} of"
        f" {rank} directions",
        anchor=False,
    )
    adapter_kb = (run.folder / "adapter" / "adapter_model.safetensors").stat().st_size / 1024
    model = inference.request_for(run).model
    size = f"The adapter takes {adapter_kb:,.0f} KB"
    if model.folder and (model.folder / "model.safetensors").is_file():
        model_kb = (model.folder / "model.safetensors").stat().st_size / 1024
        size += f", the base model {model_kb:,.0f} KB: {per_cent(adapter_kb / model_kb)} of it"
    dora = (
        " This run uses DoRA, which also scales each row of a weight. Map and singular values leave"
        " that out; the slider moves it, too."
    )
    st.caption(plain(f"{size}.") + (dora if run.request.config.dora else ""))


def draw_map(found: Sequence[Matrix]) -> None:
    """The map over layers, and the spectrum of one matrix."""
    table = pd.DataFrame(
        [(m.layer + 1, m.module, m.change, m.effective_rank) for m in found],
        columns=["layer", "module", "change", "effective_rank"],
    )
    options: tuple[Shown, ...] = get_args(Shown)
    shown = st.segmented_control(
        "Show", options, default=options[0], required=True, key="adapter-shows"
    )
    names = {f"layer {m.layer + 1} · {m.module}": m for m in found}
    sides = st.grid(2, min_column_width=330, gap="medium")
    with sides.cell():
        chart_view.draw(
            charts.adapter_map(table, shown, len(found[0].singular), chart_view.dark()),
            key="adapter-map",
        )
    with sides.cell():
        strongest = max(names, key=lambda name: names[name].change)
        chosen = st.selectbox(
            "Weight", list(names), list(names).index(strongest), key="adapter-weight"
        )
        chart_view.draw(
            charts.singular_values(names[chosen].singular, chosen), key="adapter-singular"
        )


def draw_experiment(run: OpenRun, found: Sequence[Matrix]) -> None:
    """Scale the adapter, switch parts of it off, and see accuracy and a text's probabilities
    move.
    """
    st.markdown("#### Turn it up, down, or off in parts")
    st.caption(
        "Nothing is trained here: the trained change of each weight is multiplied, or left out."
    )
    variant = _choose_variant(found)
    text = st.text_input(
        "Text",
        key=TEXT_KEY,
        placeholder="Type a text to see its probabilities move",
        max_chars=5_000,
    )
    try:
        _draw_accuracy(run, variant)
        if text.strip():
            _draw_text(run, inference.check_text(text), variant)
    except LoraLabError as error:
        error_boundary.show(error)


def _choose_variant(found: Sequence[Matrix]) -> Variant:
    layers, modules = sorted({m.layer for m in found}), list(dict.fromkeys(m.module for m in found))
    scale = st.slider(
        "Adapter strength (×)",
        0.0,
        2.0,
        1.0,
        0.25,
        key=SCALE_KEY,
        help="1 is as trained, 0 leaves out every change.",
    )
    with st.grid(2, min_column_width=300):
        off_layers = st.pills(
            "Layers off",
            layers,
            selection_mode="multi",
            format_func=lambda n: str(n + 1),
            key=LAYERS_KEY,
        )
        off_modules = st.pills("Modules off", modules, selection_mode="multi", key=MODULES_KEY)
    off = frozenset(
        (m.layer, m.module) for m in found if m.layer in off_layers or m.module in off_modules
    )
    return AS_TRAINED if scale == 1.0 and not off else Variant(scale, off)


def _draw_accuracy(run: OpenRun, variant: Variant) -> None:
    if not artifacts.predictions_path(run.folder, "test").is_file():
        st.caption("This run has no test predictions, so there is no sample to score.")
        return
    with st.spinner(f"Classifying {SAMPLE} test texts"):
        trained = _score(run.id, run.version, AS_TRAINED, run)
        changed = trained if variant == AS_TRAINED else _score(run.id, run.version, variant, run)
    st.markdown(
        f"**{accuracy(changed)}** of {changed.n:,} test texts right"
        + ("" if variant == AS_TRAINED else f"; as trained {accuracy(trained)}")
    )


def _draw_text(run: OpenRun, text: str, variant: Variant) -> None:
    wanted = {"As trained": AS_TRAINED} | ({} if variant == AS_TRAINED else {"Changed": variant})
    requests = [inference.request_for(run, each) for each in wanted.values()]
    answers = inference.with_stages(requests).classify(requests, [text])
    columns = st.grid(2, min_column_width=300, gap="medium")
    for name, answer in reversed(list(zip(wanted, answers, strict=True))):
        with columns.cell():
            chart_view.draw(
                charts.probabilities(answer[0].tolist(), run.classes, name),
                key=f"adapter-text-{name}",
            )


@st.cache_data(max_entries=200, show_spinner=False)
def _score(run_id: str, version: int, variant: Variant, _run: OpenRun) -> Proportion:
    """Right answers on the same sample of test texts, whatever the variant."""
    frame = artifacts.read_predictions(_run.folder, "test")
    sample = frame.sample(min(SAMPLE, len(frame)), random_state=42)
    request = inference.request_for(_run, variant)
    (probabilities,) = inference.with_stages([request]).classify([request], sample["text"].tolist())
    return Proportion(
        int((probabilities.argmax(1) == sample["label"].to_numpy()).sum()), len(sample)
    )
