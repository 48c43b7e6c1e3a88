"""The Adapter page: weight changes, singular values, and experiments with the trained adapter."""

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.charts.model_internals import Shown
from core.errors import LoraLabError
from core.evaluation.scores import Proportion
from core.inference.messages import AS_TRAINED, Matrix, Variant
from core.models.model_shape import OUTSIDE, name_layer, read_header
from core.runs import artifacts
from core.runs.run import Run
from ui.app import inference
from ui.glossary import explain
from ui.session import error_boundary
from ui.text import count, format_accuracy, format_per_cent, plain
from ui.widgets import chart_view

SAMPLE = 200  # test texts: two seconds on two cores; ± 4 points at 90 % accuracy
SCALE_KEY, LAYERS_KEY, MODULES_KEY, TEXT_KEY = (
    "adapter-scale",
    "layers-off",
    "modules-off",
    "adapter-text",
)
HOW_TO_READ = """
- A trained weight is W + ΔW with ΔW = scale · B A, where the scale is alpha / r, or alpha / √r
  with rsLoRA. The map shows how large ΔW is relative to W (Frobenius norms).
- The **effective rank** is the number of directions that ΔW uses: exp of the entropy of its
  normalized singular values. If it is far below the chosen rank, a smaller rank may suffice.
- At **0 ×** the trained head works on the unchanged base model; at **1 ×** the run is as trained.
"""


@st.cache_data(max_entries=32, show_spinner=False)
def spectra(run_id: str, version: int, _run: Run) -> list[Matrix]:
    """Compute the changes of the run's adapter. Raises LoraLabError."""
    request = inference.build_request(_run)
    return inference.with_stages([request]).compute_spectra(request)


def draw_headline(run: Run, matrices: Sequence[Matrix]) -> None:
    """Draw the mean change, the effective rank and the adapter's size."""
    change, used = (
        float(np.mean(values))
        for values in ([m.change for m in matrices], [m.effective_rank for m in matrices])
    )
    st.subheader(
        f"{count(len(matrices), 'weight')} {'matrix' if len(matrices) == 1 else 'matrices'}"
        f" changed by {format_per_cent(change)} on average; effective rank {used:.1f} of"
        f" {_format_range([m.rank for m in matrices])}",
        anchor=False,
        help=explain("adapter", "rank"),
    )
    weights = run.folder / "adapter" / "adapter_model.safetensors"
    adapter_kb = weights.stat().st_size / 1024
    trained = sum(math.prod(tensor.shape) for tensor in read_header(weights).values())
    model = inference.build_request(run).model
    size = f"The adapter takes {adapter_kb:,.0f} KB"
    if model.folder and (model.folder / "model.safetensors").is_file():
        model_kb = (model.folder / "model.safetensors").stat().st_size / 1024
        size += (
            f" ({format_per_cent(adapter_kb / model_kb)} of the base model's {model_kb:,.0f} KB)"
        )
    dora = (
        " This run uses DoRA, which also scales each row of a weight. Map and singular values"
        " exclude that scaling; the slider includes it."
    )
    scale = f"Scale {_format_range([m.scale for m in matrices])}"
    caption = f"{scale}; {trained:,} trained parameters, including the head. {size}."
    st.caption(plain(caption) + (dora if run.request.config.dora else ""))


def _format_range(values: Sequence[float]) -> str:
    """Format the smallest and the largest value, or the only one."""
    low, high = min(values), max(values)
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def draw_map(matrices: Sequence[Matrix]) -> None:
    """Draw the map over layers, and the singular values of one matrix."""
    table = pd.DataFrame(
        [(m.layer, m.module, m.change, m.effective_rank) for m in matrices],
        columns=["layer", "module", "change", "effective_rank"],
    )
    options: tuple[Shown, ...] = get_args(Shown)
    shown = st.segmented_control(
        "Show", options, default=options[0], required=True, key="adapter-shows"
    )
    names = {m.name: m for m in matrices}
    sides = st.grid(2, min_column_width=330, gap="medium")
    with sides.cell():
        chart_view.draw(
            charts.draw_adapter_map(
                table, shown, max(m.rank for m in matrices), chart_view.is_dark()
            ),
            key="adapter-map",
        )
    with sides.cell():
        strongest = max(names, key=lambda name: names[name].change)
        chosen = st.selectbox(
            "Weight", list(names), list(names).index(strongest), key="adapter-weight"
        )
        chart_view.draw(
            charts.draw_singular_values(names[chosen].singular, chosen), key="adapter-singular"
        )


def draw_experiment(run: Run, matrices: Sequence[Matrix]) -> None:
    """Draw the controls that scale or disable parts of the adapter, with the effect on
    predictions.
    """
    st.markdown("#### Scale or disable parts of the adapter")
    st.caption(
        "This does not train anything: the trained change of each weight is scaled or omitted."
    )
    variant = _choose_variant(matrices)
    text = st.text_input(
        "Text",
        key=TEXT_KEY,
        placeholder="Enter a text to see its probabilities change",
        max_chars=5_000,
    )
    try:
        _draw_accuracy(run, variant)
        if text.strip():
            _draw_text(run, inference.check_text(text), variant)
    except LoraLabError as error:
        error_boundary.show(error)


def _choose_variant(matrices: Sequence[Matrix]) -> Variant:
    layers, modules = (
        sorted({m.layer for m in matrices}),
        list(dict.fromkeys(m.module for m in matrices)),
    )
    scale = st.slider(
        "Adapter strength (×)",
        0.0,
        2.0,
        1.0,
        0.25,
        key=SCALE_KEY,
        help="1 is as trained, 0 omits all changes.",
    )
    with st.grid(2, min_column_width=300):
        off_layers = st.pills(
            "Disable layers",
            layers,
            selection_mode="multi",
            format_func=lambda layer: name_layer(layer) if layer == OUTSIDE else str(layer + 1),
            key=LAYERS_KEY,
        )
        off_modules = st.pills("Disable modules", modules, selection_mode="multi", key=MODULES_KEY)
    off = frozenset(
        (m.layer, m.module) for m in matrices if m.layer in off_layers or m.module in off_modules
    )
    return AS_TRAINED if scale == 1.0 and not off else Variant(scale, off)


def _draw_accuracy(run: Run, variant: Variant) -> None:
    if not artifacts.predictions_path(run.folder, "test").is_file():
        st.caption("This run has no test predictions to score a sample on.")
        return
    with st.spinner(f"Classifying {SAMPLE} test texts"):
        trained = _score(run.id, run.version, AS_TRAINED, run)
        changed = trained if variant == AS_TRAINED else _score(run.id, run.version, variant, run)
    st.markdown(
        f"**{format_accuracy(changed)}** accuracy on {changed.n:,} test texts"
        + ("" if variant == AS_TRAINED else f"; as trained {format_accuracy(trained)}")
    )


def _draw_text(run: Run, text: str, variant: Variant) -> None:
    variants = {"As trained": AS_TRAINED} | ({} if variant == AS_TRAINED else {"Changed": variant})
    requests = [inference.build_request(run, each) for each in variants.values()]
    answers = inference.with_stages(requests).classify(requests, [text])
    columns = st.grid(2, min_column_width=300, gap="medium")
    for name, answer in reversed(list(zip(variants, answers, strict=True))):
        with columns.cell():
            chart_view.draw(
                charts.draw_probabilities(answer[0].tolist(), run.classes, name),
                key=f"adapter-text-{name}",
            )


@st.cache_data(max_entries=200, show_spinner=False)
def _score(run_id: str, version: int, variant: Variant, _run: Run) -> Proportion:
    """Score the variant on a fixed sample of test texts."""
    frame = artifacts.read_predictions(_run.folder, "test")
    sample = frame.sample(min(SAMPLE, len(frame)), random_state=42)
    request = inference.build_request(_run, variant)
    (probabilities,) = inference.with_stages([request]).classify([request], sample["text"].tolist())
    return Proportion(
        int((probabilities.argmax(1) == sample["label"].to_numpy()).sum()), len(sample)
    )
