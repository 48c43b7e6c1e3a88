"""The Embeddings page: controls, the job that computes a map, the maps, and the selected texts."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.access import Action, is_allowed
from core.data.dataset import SPLITS, Dataset
from core.errors import LoraLabError
from core.evaluation.embedding_map import METHODS, SEPARATION_NEIGHBORS, align_map
from core.jobs.launching import find_latest, launch
from core.jobs.tasks.embed_texts import (
    POOLINGS,
    MapPath,
    MapRequest,
    Pooling,
    TextMap,
    draw_sample,
    find_map_paths,
    read_map,
)
from core.jobs.tasks.embed_texts import MapSubject as Mapped
from core.models.catalog import shape_of
from core.progress import Phase
from core.storage.store import Store
from core.translation import (
    format_number,
    localize,
    mark,
    translate,
    translate_plural,
    translate_recorded,
)
from ui import navigation
from ui.text import capitalize, format_accuracy, format_per_cent, plain
from ui.widgets import chart_view, job_panel, tables
from ui.widgets.inspection import Subject, choose_subject
from ui.widgets.job_panel import PanelWords, StartButton

ROWS = (500, 1000, 2000, 4000)
MAP_KEY, CHOSEN_KEY, EVENT_KEY = "map", "map-rows", "map-event"
HOVER_CHARACTERS = 160
SHOWN_TEXTS = 200
HOW_TO_READ = mark("""\
- **A two-dimensional map can mislead.** Hundreds of dimensions per text are reduced to two. Gaps
  between groups and their sizes in UMAP and t-SNE mean little, and another seed gives another
  map. Trust the numbers below it: they use all dimensions.
- **Nearest-neighbor accuracy**: the proportion of texts that have the majority class of their
  {neighbors} nearest other texts, by Euclidean distance. Chance is one over the
  number of classes.
- **Silhouette**: 1 if every class is compact and far from the others, about 0 if classes overlap,
  below 0 if texts are closer to another class than to their own.
- **PCA** preserves the two directions of greatest variance and the distances along them. **UMAP**
  and **t-SNE** preserve neighbors but not distances.
- **First token** is what the head reads. **Mean** is the average over all tokens: often better
  before training, because the first token does not represent the text yet.
- **Side by side**: the same texts on the same axes. The second map is rotated and mirrored to
  match the first as closely as possible.
- **Hexagons** count texts: the darker, the more texts; the color is that of the most frequent
  class.
""")


def explain_reading() -> str:
    """Return how to read the page."""
    return translate(HOW_TO_READ, neighbors=SEPARATION_NEIGHBORS)


def choose(
    dataset: Dataset, base: Sequence[Subject], runs: Sequence[Subject]
) -> tuple[MapRequest, list[Subject]] | None:
    """Draw the controls and return the request; None, with the reason shown, if no map is
    possible.
    """
    with st.container(border=True, key="map-controls", gap="small"):
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            subject = choose_subject(translate("Model or run"), [*base, *runs], key="of")
            split = navigation.choose(translate("Split"), SPLITS, key="map-split", default="test")
            rows = st.selectbox(
                translate("Texts"),
                ROWS,
                index=2,
                format_func=lambda n: format_number(n, ","),
                key="map-texts",
                width=120,
            )
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            method = st.segmented_control(
                translate("Method"),
                METHODS,
                default="UMAP",
                required=True,
                key="method",
                bind="query-params",
            )
            pooling = st.segmented_control(
                translate("Vector of a text"),
                POOLINGS,
                default=POOLINGS[0],
                required=True,
                format_func=translate,
                key="pooling-of",
            )
            layer = _choose_layer(subject)
            seed = st.number_input(translate("Seed"), 0, 2**32 - 1, 42, key="map-seed", width=110)
    if not _is_possible(subject, layer, pooling):
        return None
    shown = [
        Subject(f"base:{subject.model.id}", translate("Untrained"), subject.model, subject.config),
        *([subject] if subject.run else []),
    ]
    request = MapRequest(
        fingerprint=dataset.fingerprint,
        subjects=tuple(
            Mapped(model=mapped.config.model, run=mapped.run.id if mapped.run else "")
            for mapped in shown
        ),
        split=split,
        rows=rows,
        max_tokens=subject.config.max_tokens,
        layer=layer,
        pooling=pooling or POOLINGS[0],
        method=method or "UMAP",
        seed=int(seed or 0),
    )
    return request, shown


def _is_possible(subject: Subject, layer: int, pooling: Pooling) -> bool:
    """Return whether there can be a map; if not, draw the reason."""
    if not subject.model.available:
        st.warning(
            f"**{translate('This model is not on this machine.')}**"
            f" {plain(translate_recorded(subject.model.reason))}",
            icon=":material/cloud_off:",
        )
        return False
    if layer == 0 and pooling == POOLINGS[0]:
        st.info(
            translate(
                "Before the first layer, the first token is [CLS] in every text, so all texts"
                " coincide. Choose another layer or vector."
            )
        )
        return False
    return True


def find(store: Store, dataset: Dataset, request: MapRequest) -> list[TextMap] | None:
    """Return the maps if all of them exist; damaged maps are deleted and count as missing."""
    paths = find_map_paths(store, request, dataset.classes)
    if not all(path.done for path in paths):
        return None
    try:
        return [_read(path.map.name, path.map.stat().st_mtime_ns, request, path) for path in paths]
    except (LoraLabError, OSError):
        for path in paths:
            path.map.unlink(missing_ok=True)
        return None


def draw(
    dataset: Dataset, request: MapRequest, shown: Sequence[Subject], maps: Sequence[TextMap]
) -> None:
    """Draw the headline and the maps side by side with their figures."""
    _draw_finding(shown, maps, len(dataset.classes))
    chosen = None
    if len(dataset.classes) > 1:
        chosen = st.selectbox(
            translate("Density of"),
            dataset.classes,
            index=None,
            placeholder=translate("all classes"),
            key="density",
            width=260,
        )
    texts = _texts(dataset.fingerprint, request.split, request.rows, request, dataset)
    frames = _align([text_map.frame for text_map in maps])
    where = charts.find_common_range(*frames)
    _take_events(frames)
    ringed, active = st.session_state.get(CHOSEN_KEY, ((), ""))
    sides = st.grid(len(maps), min_column_width=380, gap="large") if len(maps) > 1 else st.grid(1)
    for number, (subject, frame) in enumerate(zip(shown, frames, strict=True)):
        key = f"{MAP_KEY}-{number}"
        table = frame.assign(
            **{
                "class": frame["label"].map(dict(enumerate(dataset.classes))),
                "text": texts["text"].str.slice(0, HOVER_CHARACTERS),
            },
            ringed=frame["row"].isin(ringed) if active != key else False,
        ).drop(columns="label")
        with sides.cell():
            _draw_map(
                charts.draw_text_map(table, dataset.classes, where, subject.title, chosen), key
            )
            st.caption(_numbers(maps[number]))
    st.caption(
        translate(
            "Drag a box or click a point to see its texts; double-click to clear. Texts selected in"
            " one map are circled in the other."
        )
    )


def draw_texts(dataset: Dataset, request: MapRequest) -> None:
    """Draw the texts selected in a map."""
    rows, _ = st.session_state.get(CHOSEN_KEY, ((), ""))
    if not rows:
        return
    texts = _texts(dataset.fingerprint, request.split, request.rows, request, dataset)
    selected = texts[texts["row"].isin(rows)]
    names = selected["label"].map(dict(enumerate(dataset.classes)))
    mix = ", ".join(
        f"{plain(str(name))} {format_number(number, ',')}"
        for name, number in names.value_counts().items()
    )
    heading = translate_plural("{n:,} text selected", "{n:,} texts selected", len(selected))
    st.markdown(f"#### {heading}")
    st.caption(mix)
    table = (
        pd.DataFrame({"class": names, "text": selected["text"], "row": selected["row"]})
        .head(SHOWN_TEXTS)
        .reset_index(drop=True)
    )
    columns = {
        "class": st.column_config.TextColumn(capitalize(translate("class")), width=90),
        "row": st.column_config.NumberColumn(translate("Row"), width=70),
    }
    picked = tables.draw_texts(
        table, key="map-texts-table", columns=columns, alt=translate("Texts selected in the map")
    )
    if len(selected) > SHOWN_TEXTS:
        st.caption(translate("The first {shown:,} of {n:,}.", shown=SHOWN_TEXTS, n=len(selected)))
    if picked is not None:
        with st.container(border=True, key="whole-text"):
            st.text(str(table["text"].iloc[picked]))


def draw_layers(shown: Sequence[Subject], maps: Sequence[TextMap]) -> None:
    """Draw how well each layer separates the classes."""
    lines = [
        {
            "model": subject.title,
            "layer": layer,
            "knn": separation.knn.value,
            "silhouette": separation.silhouette,
        }
        for subject, text_map in zip(shown, maps, strict=True)
        for layer, separation in enumerate(text_map.layers)
    ]
    chart_view.draw(charts.draw_layer_scores(pd.DataFrame(lines), maps[0].layer), key="layers")


def _draw_map(chart: charts.Chart, key: str) -> None:
    with st.container(gap="xxsmall", key=f"{key}-chart"):
        st.markdown(f"**{plain(chart.title)}**")
        st.vega_lite_chart(
            chart.data,
            chart.spec,
            key=key,
            alt=chart.alt,
            width="stretch",
            on_select="rerun",
            selection_mode=["box", "picked"],
        )


def _draw_finding(shown: Sequence[Subject], maps: Sequence[TextMap], classes: int) -> None:
    scores = [text_map.full.knn for text_map in maps]
    if len(maps) > 1:
        st.subheader(
            translate(
                "Nearest-neighbor accuracy: {untrained} untrained, {trained} with the run",
                untrained=localize(format_accuracy(scores[0])),
                trained=localize(format_accuracy(scores[1])),
            ),
            anchor=False,
        )
    else:
        accuracy = localize(format_accuracy(scores[0]))
        st.subheader(
            translate("Nearest-neighbor accuracy: {accuracy}", accuracy=accuracy), anchor=False
        )
    st.caption(
        translate(
            "Majority class of the {neighbors} nearest of {n:,} texts, in all dimensions; chance is"
            " {chance}. ± is the 95 % interval. The map shows only two dimensions and can mislead:"
            " read the numbers first.",
            neighbors=SEPARATION_NEIGHBORS,
            n=scores[0].n,
            chance=localize(format_per_cent(1 / classes)),
        )
    )


def _numbers(text_map: TextMap) -> str:
    full, flat = text_map.full, text_map.flat
    return translate(
        "All dimensions: nearest-neighbor accuracy {accuracy}, silhouette {silhouette:.3f}. In this"
        " map: {flat_accuracy}, silhouette {flat_silhouette:.3f}.",
        accuracy=localize(format_accuracy(full.knn)),
        silhouette=full.silhouette,
        flat_accuracy=localize(format_accuracy(flat.knn)),
        flat_silhouette=flat.silhouette,
    )


def _align(frames: Sequence[pd.DataFrame]) -> list[pd.DataFrame]:
    """Center each map and rotate it toward the first."""
    target = frames[0][["x", "y"]].to_numpy()
    turned = [align_map(frame[["x", "y"]].to_numpy(), target) for frame in frames]
    return [
        frame.assign(x=points[:, 0].round(3), y=points[:, 1].round(3))
        for frame, points in zip(frames, turned, strict=True)
    ]


def _take_events(frames: Sequence[pd.DataFrame]) -> None:
    """Store the latest box or click; a redrawn map loses its box without undoing the other's."""
    for number, frame in enumerate(frames):
        key = f"{MAP_KEY}-{number}"
        event = st.session_state.get(key)
        selection = dict(event["selection"]) if event else {}
        if selection == st.session_state.get(f"{EVENT_KEY}-{key}", {}):
            continue
        st.session_state[f"{EVENT_KEY}-{key}"] = selection
        rows = _rows_of(frame, selection)
        if rows or st.session_state.get(CHOSEN_KEY, ((), ""))[1] == key:
            st.session_state[CHOSEN_KEY] = (rows, key)


def _rows_of(frame: pd.DataFrame, selection: dict[str, object]) -> tuple[int, ...]:
    box, picked = selection.get("box"), selection.get("picked")
    if isinstance(picked, list) and picked:
        return tuple(int(point["row"]) for point in picked if "row" in point)
    if isinstance(box, dict) and {"x", "y"} <= set(box):
        inside = frame["x"].between(*sorted(box["x"])) & frame["y"].between(*sorted(box["y"]))
        return tuple(frame.loc[inside, "row"].astype(int))
    return ()


def _choose_layer(subject: Subject) -> int:
    shape = shape_of(subject.model)
    last = shape.layers if shape else 6
    names = {
        -1: translate("last ({last})", last=last),
        **{layer: str(layer) for layer in range(last - 1, 0, -1)},
        0: translate("0 (before the first)"),
    }
    return int(
        st.selectbox(
            translate("Layer"),
            list(names),
            format_func=lambda at: names.get(at, str(at)),
            key="layer-of",
            width=170,
        )
    )


@st.cache_resource(max_entries=24, show_spinner=False)  # four numbers per text
def _read(name: str, written: int, _request: MapRequest, _place: MapPath) -> TextMap:
    return read_map(_place, _request)


@st.cache_resource(max_entries=4, show_spinner=False)
def _texts(
    fingerprint: str, split: str, rows: int, _request: MapRequest, _dataset: Dataset
) -> pd.DataFrame:
    return draw_sample(_dataset, _request)


NOTES: dict[str, str] = {
    Phase.ENCODING: mark("The projection follows."),
    Phase.PROJECTING: mark("A few more seconds; UMAP takes longer the first time on a machine."),
}


def draw_job(store: Store, request: MapRequest) -> None:
    """Draw the start or the progress of a missing map; the page is redrawn when it is done."""
    start = StartButton(
        translate("Create map"),
        "make-map",
        lambda: launch(store, request, request.method),
        primary=True,
        refused=""
        if is_allowed(store.visitor, Action.WORK)
        else translate("You need permission to train on this server to create maps."),
        heading=translate(
            "**This map does not exist yet.** {n:,} texts go through the model, then {method}"
            " projects them.",
            n=request.rows,
            method=request.method,
        ),
        caption=translate(
            "This takes a minute or two on two cores, in the background. The map is stored; another"
            " method is then faster."
        ),
    )
    words = PanelWords(
        "stop-map", stopped=mark("The map was stopped. Completed encodings are kept."), notes=NOTES
    )
    job_panel.draw(store, find_latest(store, request), words, start)
