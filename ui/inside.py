"""The Inside page: the input, the prediction, and each step of a text through the model."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.data.dataset import Dataset
from core.errors import LoraLabError
from core.inference.messages import AdaptedModule, ClassifyRequest, Trace
from core.models.model_shape import (
    ModelShape,
    ModuleCount,
    count_trainable,
    list_target_modules,
)
from core.storage.store import Store
from core.translation import localize, mark, translate, translate_plural, translate_recorded
from ui.session import cache, error_boundary
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, tables
from ui.widgets.inspection import Subject

# set once the model has been called in this visit: it is loaded then, and answers immediately
ASKED_KEY = "inside-asked"
STEP_COLUMNS = (mark("step"), mark("shape"), mark("what happens"))
FALLBACK = (mark("class 1"), mark("class 2"))  # without data there are no class names
ENCODER = mark(
    "The encoder turns ids into contextual vectors: in each layer, attention heads decide how much"
    " every token takes from every other token. It was pretrained on a large amount of text and"
    " stays frozen here."
)
ADAPTER = mark(
    "An adapter changes the frozen encoder slightly: it adds two thin matrices, A and B, to a"
    " weight W. Only these and the head are trained."
)
HOW_TO_READ = mark("""\
- **Encoder**: turns token ids into vectors and lets them attend to each other, layer by layer.
  It was pretrained on a large amount of text and stays frozen here.
- **Attention**: each head of each layer decides, for every token (row), how much it takes from
  every token (column). Each row sums to 1. Some heads attend to the neighbor, some to the same
  word elsewhere, many to the end token ([SEP] or </s>), which means *nothing here*. A map shows
  where a head attends, not why the model decides.
- **Head**: a small layer that turns one vector into one number per class, the logits. It is
  initialized randomly for each task, so before training its output is random.
- **Adapter (LoRA)**: adds two thin matrices to a frozen weight W, A with r × inputs and B with
  outputs × r numbers. The layer then computes W·x + (alpha / r)·B·A·x. Only A, B and the head are
  trained. B starts at zero, so training starts from the base model.
- **Change of the weight** compares the size of the adapter's part with that of W (Frobenius
  norms). A few per cent are enough.
""")


def ask(
    store: Store, subject: Subject, dataset: Dataset | None, text: str, max_tokens: int
) -> Trace | None:
    """Return the trace once requested in this visit; None before that and, with an error, on
    failure.
    """
    if not subject.model.available:
        st.warning(
            f"**{translate('This model is not on this machine.')}**"
            f" {plain(translate_recorded(subject.model.reason))}",
            icon=":material/cloud_off:",
        )
        return None
    if not text.strip():
        st.info(translate("Enter a text, or use a row of the data."), icon=":material/edit:")
        return None
    clicked = st.button(
        translate("Run the model"), key="walk", type="primary", icon=":material/play_arrow:"
    )
    if not (clicked or st.session_state.get(ASKED_KEY)):
        st.caption(
            translate(
                "The first time takes a few seconds to load the model. After that, changes appear"
                " immediately."
            )
        )
        return None
    st.session_state[ASKED_KEY] = True
    try:
        with st.spinner(translate("Running the model…")):
            return _walk(
                _version(store, subject),
                text,
                max_tokens,
                store,
                subject,
                find_classes(subject, dataset),
            )
    except LoraLabError as error:
        error_boundary.show(error)
        return None


def find_classes(subject: Subject, dataset: Dataset | None) -> tuple[str, ...]:
    """Return the head's classes: the run's own, or the data's for a base model."""
    if subject.classes or dataset:
        return subject.classes or (dataset.classes if dataset else ())
    return tuple(map(translate, FALLBACK))


def draw_finding(trace: Trace, subject: Subject, classes: tuple[str, ...]) -> None:
    """Draw the prediction and the shapes of all intermediate steps."""
    best = int(trace.probabilities.argmax())
    heading = translate(
        "{tokens} in; prediction: {name} ({share})",
        tokens=translate_plural("{n:,} token", "{n:,} tokens", trace.token_count),
        name=plain(classes[best]),
        share=localize(format_per_cent(float(trace.probabilities[best]))),
    )
    st.subheader(heading, anchor=False)
    sentences = [
        translate(
            "{model}: {layers} layers, {heads} heads, vectors of d = {width} numbers.",
            model=plain(subject.title),
            layers=trace.layers,
            heads=trace.heads,
            width=trace.width,
        )
    ]
    if not subject.run:
        sentences.append(translate("The head is untrained, so the prediction is random."))
    if trace.text_tokens > trace.token_count:
        sentences.append(
            translate(
                "{lost:,} of the text's {n:,} tokens were truncated.",
                lost=trace.text_tokens - trace.token_count,
                n=trace.text_tokens,
            )
        )
    st.caption(" ".join(sentences))
    tables.draw_plain(
        _steps(trace, classes),
        key="steps",
        columns={name: translate(name) for name in STEP_COLUMNS},
        rows_in_view=9,
        alt=translate("Every step with its shape"),
    )


def draw_ids(trace: Trace) -> None:
    """Draw step 1: the ids of the tokens."""
    _head(
        "1",
        translate("Text to ids"),
        f"({trace.token_count},)",
        translate(
            "The tokenizer looks up each token in its vocabulary. From here on, the model only sees"
            " numbers."
        ),
    )
    table = pd.DataFrame(
        {
            "position": range(trace.token_count),
            "token": trace.tokens,
            "id": trace.ids,
            "kind": trace.kinds,
            "kept": True,
        }
    )
    chart_view.draw(
        charts.draw_token_tiles(table, translate("Tokens and their ids")),
        key="inside-pieces",
        twin=False,
    )


def draw_vectors(trace: Trace) -> None:
    """Draw steps 2 and 3: a token's vector from layer to layer, and how far each token moves."""
    shape = f"({trace.token_count}, {trace.width})"
    words = translate(
        "The rows of these tables are added and normalized: {parts}. Each layer then changes the"
        " vector slightly.",
        parts=", ".join(trace.parts),
    )
    _head("2", translate("Embedding vectors, layer by layer"), shape, words)
    numbers = list(range(trace.drawn))
    token = st.selectbox(
        translate("Token"),
        numbers,
        format_func=lambda at: f"{at}  {trace.tokens[at]}",
        key="inside-token",
    )
    at = min(int(token or 0), trace.drawn - 1)
    names = [
        *(translate("{part} table", part=part) for part in trace.parts),
        translate("sum, normalized"),
        *(translate("after layer {n}", n=n + 1) for n in range(trace.layers)),
    ]
    vectors = np.concatenate([trace.summands[:, at], trace.hidden[:, at]])
    chart_view.draw(
        charts.draw_strips(
            vectors,
            names,
            translate(
                "The vector of {token}, {width} numbers, from the vocabulary to the last layer",
                token=trace.tokens[at],
                width=trace.width,
            ),
            chart_view.is_dark(),
        ),
        key="strips",
    )
    st.caption(
        translate(
            "Blue is below zero, orange above. Each row has its own scale, with its norm next to"
            " it."
        )
    )
    chart_view.draw(
        charts.draw_movement(
            trace.moved[:, : trace.drawn], trace.tokens[: trace.drawn], chart_view.is_dark()
        ),
        key="movement",
    )
    _say_drawn(trace)


def draw_attention(trace: Trace) -> None:
    """Draw the attention map of one head."""
    shape = f"{trace.layers} × ({trace.heads}, {trace.token_count}, {trace.token_count})"
    _head("3", translate("Encoder layers: attention"), shape, translate(ENCODER))
    with st.container(horizontal=True, gap="medium"):
        layer = st.segmented_control(
            translate("Layer"),
            range(1, trace.layers + 1),
            default=trace.layers,
            required=True,
            key="inside-layer",
        )
        head = st.segmented_control(
            translate("Attention head"),
            ["mean", *range(1, trace.heads + 1)],
            default="mean",
            format_func=lambda name: translate("mean") if name == "mean" else str(name),
            required=True,
            key="inside-head",
        )
    at = min(int(layer or 1), trace.layers) - 1
    maps = trace.attention[at].astype(np.float32)
    chosen = maps.mean(0) if head in (None, "mean") else maps[min(int(head), trace.heads) - 1]
    name = (
        translate("mean of all heads") if head in (None, "mean") else translate("head {n}", n=head)
    )
    chart_view.draw(
        charts.draw_attention(
            chosen,
            trace.tokens[: trace.drawn],
            translate(
                "Attention in layer {layer}, {name}: row attends to column",
                layer=at + 1,
                name=name,
            ),
            chart_view.is_dark(),
        ),
        key="attention",
    )
    _say_drawn(trace)


def draw_head(trace: Trace, classes: tuple[str, ...]) -> None:
    """Draw pooling, logits and probabilities."""
    words = translate(
        "The head turns one vector into one number per class. It reads {what}. Before training its"
        " output is random.",
        what=translate_recorded(trace.pooling),
    )
    _head(
        "4",
        translate("Pooling, head, probabilities"),
        f"({trace.width},) → ({len(classes)},) → ({len(classes)},)",
        words,
    )
    read = np.stack([trace.hidden[-1, 0].astype(np.float32), trace.features])
    chart_view.draw(
        charts.draw_strips(
            read,
            [
                translate("{token}, last layer", token=trace.tokens[0]),
                translate("input of the head"),
            ],
            translate("Input of the head"),
            chart_view.is_dark(),
        ),
        key="pooling",
        twin=False,
    )
    sides = st.grid(2, min_column_width=340, gap="large")
    with sides.cell():
        table = pd.DataFrame(
            {"class": list(classes), "logit": trace.logits, "probability": trace.probabilities}
        )
        columns: tables.Columns = {
            "class": capitalize(translate("class")),
            "logit": st.column_config.NumberColumn("Logit", **tables.decimals(3)),
            "probability": st.column_config.NumberColumn(
                translate("Probability"), **tables.per_cent()
            ),
        }
        tables.draw_plain(
            table, key="logits", columns=columns, alt=translate("Logits and probabilities")
        )
        st.caption(translate("Probability = exp(logit) / sum of exp(logit) over all classes."))
    with sides.cell():
        chart_view.draw(
            charts.draw_probabilities(
                trace.probabilities.tolist(), classes, translate("Probabilities")
            ),
            key="inside-probabilities",
            twin=False,
        )


def draw_adapter(
    trace: Trace, subject: Subject, shape: ModelShape, classes: tuple[str, ...]
) -> None:
    """Draw the positions and shapes of the LoRA matrices, and the proportion of trained weights."""
    _head(
        "5",
        translate("Where LoRA is applied"),
        translate("A: r × inputs, B: outputs × r"),
        _adapter_words(subject, trace),
    )
    modules = trace.adapted if subject.run else _foreseen(subject, shape)
    chart_view.draw(charts.draw_adapters(modules, chart_view.is_dark()), key="adapters")
    counts = count_trainable(shape, subject.config, len(classes))
    if subject.run:
        counts = count_adapted(trace.adapted, subject.config.dora, counts)
    trained = sum(module.parameters for module in counts)
    chart_view.draw(
        charts.draw_trainable_bar(trained, shape.parameters + trained), key="trainable", twin=False
    )
    lines = pd.DataFrame(
        [
            {"module": module.name, "numbers": module.shape, "parameters": module.parameters}
            for module in counts
        ]
    )
    columns: tables.Columns = {
        "module": translate("Module"),
        "numbers": st.column_config.TextColumn(
            translate("Layers × r × (inputs + outputs); head: inputs × outputs + bias")
        ),
        "parameters": st.column_config.NumberColumn(
            translate("Trained parameters"), format="localized"
        ),
    }
    tables.draw_plain(
        lines,
        key="trainable-table",
        columns=columns,
        alt=translate("Trained parameters per module"),
    )


def count_adapted(
    modules: Sequence[AdaptedModule], dora: bool, counts: Sequence[ModuleCount]
) -> list[ModuleCount]:
    """Count the parameters of adapted modules by their ranks, which may differ; then the head.

    ``counts`` are those of the run's configuration, which has one rank.
    """
    groups = Counter((m.module, m.rank, m.inputs, m.outputs) for m in modules if m.rank)
    adapted = [
        ModuleCount(
            name,
            f"{n} × {rank} × ({inputs} + {outputs})" + (f" + {outputs}" if dora else ""),
            n * (rank * (inputs + outputs) + (outputs if dora else 0)),
        )
        for (name, rank, inputs, outputs), n in groups.items()
    ]
    names = {module.module for module in modules}
    return adapted + [module for module in counts if module.name not in names]


def _adapter_words(subject: Subject, trace: Trace) -> str:
    config = subject.config
    ranks = sorted({module.rank for module in trace.adapted if module.rank})
    if subject.run and len(ranks) > 1:
        trains = translate(
            "This run trains ranks from r = {lowest} to {highest}. Darker tiles changed more.",
            lowest=ranks[0],
            highest=ranks[-1],
        )
    elif subject.run:
        trains = translate(
            "This run trains rank r = {rank} with alpha = {alpha:g}. Darker tiles changed more.",
            rank=config.rank,
            alpha=config.alpha,
        )
    else:
        trains = translate(
            "Nothing is adapted yet. This is what a run with the default settings, rank r = {rank},"
            " would add.",
            rank=config.rank,
        )
    return f"{translate(ADAPTER)} {trains}"


def _foreseen(subject: Subject, shape: ModelShape) -> tuple[AdaptedModule, ...]:
    chosen = {linear.name for linear in list_target_modules(subject.config, shape)}
    return tuple(
        AdaptedModule(
            linear.layer,
            linear.within_layer,
            linear.inputs,
            linear.outputs,
            subject.config.rank if linear.name in chosen else 0,
            0.0,
        )
        for linear in shape.linears
    )


def _steps(trace: Trace, classes: tuple[str, ...]) -> pd.DataFrame:
    t, d, heads = trace.token_count, trace.width, trace.heads
    tables_ = " + ".join(translate("{part} table", part=part) for part in trace.parts)
    rows = [
        (translate("Text to ids"), f"({t},)", translate("{n} integers", n=t)),
        (
            translate("Embedding vectors"),
            f"({t}, {d})",
            translate("{tables}, normalized", tables=tables_),
        ),
        (
            translate("Encoder layers 1 to {last}", last=trace.layers),
            translate("({n}, {width}) each", n=t, width=d),
            translate(
                "attention ({heads}, {n}, {n}), then a feed-forward network", heads=heads, n=t
            ),
        ),
        (translate("Pooling"), f"({d},)", translate_recorded(trace.pooling)),
        (
            translate("Head: logits"),
            f"({len(classes)},)",
            translate("weights ({classes}, {width}) and a bias", classes=len(classes), width=d),
        ),
        (
            translate("Probabilities"),
            f"({len(classes)},)",
            translate("softmax: between 0 and 1, sum 1"),
        ),
    ]
    return pd.DataFrame(rows, columns=list(STEP_COLUMNS))


def _head(number: str, name: str, shape: str, words: str) -> None:
    st.markdown(f"#### {number} · {name}  `{shape}`")
    st.caption(plain(words))


def _say_drawn(trace: Trace) -> None:
    if trace.drawn < trace.token_count:
        st.caption(
            translate(
                "Only the first {shown} of {n} tokens are shown; attention to the others is"
                " omitted.",
                shown=trace.drawn,
                n=trace.token_count,
            )
        )


def _version(store: Store, subject: Subject) -> str:
    """Return a cache key that changes with the subject's weights."""
    run = f"{subject.run.id}:{subject.run.job.attempt}:{subject.run.version}" if subject.run else ""
    return f"{subject.model.identity}@{subject.model.revision}|{run}"


@st.cache_resource(max_entries=8, show_spinner=False)  # a trace takes about 1 MB
def _walk(
    version: str,
    text: str,
    max_tokens: int,
    _store: Store,
    _subject: Subject,
    classes: tuple[str, ...],
) -> Trace:
    run_id = _subject.run.id if _subject.run else None
    request = ClassifyRequest(
        run_id, _subject.model, _subject.adapter, classes, max_tokens, _subject.config.seed
    )
    return cache.get_host().trace(request, text)
