"""``python -m core explore``: what Explore shows, as counts: balance, lengths, what a limit cuts
off, words that set classes apart.

``python -m core tokens`` and ``embed``: a text as word pieces, and how a model arranges the texts.
"""

from typing import Annotated, Any, get_args

import typer

from core.cli import follow
from core.cli.follow import PhasePrinter
from core.cli.output import Json, print_result
from core.data.dataset import Dataset
from core.data.explore.distinctive_words import count_words, distinctive_words
from core.data.explore.filters import Dimension, Filters, find_mask, positions_in_split
from core.data.explore.index import ensure_index
from core.data.explore.statistics import class_balance, cut_at, length_boxes
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Split, find_source, named_source
from core.data.tokenizer import cut_text, open_tokenizer
from core.errors import ConfigError, ModelUnavailable
from core.evaluation.embedding_map import METHODS
from core.jobs.launching import launch
from core.jobs.tasks.embed_texts import (
    POOLINGS,
    MapRequest,
    MapSubject,
    TextMap,
    map_paths,
    read_map,
)
from core.models.catalog import find_model
from core.runs.requests import read_train_request
from core.runs.run import find_run
from core.settings import Settings
from core.storage.recovery import open_store

TOP_WORDS = 10


def register_explore(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(explore)


def explore(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="CLASS", help="Only texts of this class; more may follow."),
    ] = None,
    search: Annotated[str, typer.Option(help="Only texts that hold this, in any case.")] = "",
    word: Annotated[str, typer.Option(help="Only texts with this whole word.")] = "",
    shortest: Annotated[
        int | None, typer.Option(min=0, help="Only texts of at least so many tokens.")
    ] = None,
    longest: Annotated[
        int | None, typer.Option(min=0, help="Only texts of at most so many tokens.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=4, help="Say what this limit cuts off.")] = 128,
    as_json: Json = False,
) -> None:
    """Count the texts: classes per split, lengths, what is cut off, words that set each class
    apart.
    """

    def counted() -> Any:
        settings, tell = Settings(), PhasePrinter()
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(settings, source, tell, lambda: False)
        labels = tuple(_label(dataset, name) for name in classes or ())
        filters = Filters(_split(split), labels, "tokens", shortest, longest, search, word)
        return describe(dataset, filters, max_tokens, tell)

    print_result(counted, as_json, as_text)


def describe(
    dataset: Dataset, filters: Filters, max_tokens: int, tell: PhasePrinter
) -> dict[str, object]:
    """What the page counts over the texts that ``filters`` leave. Balance and words are not
    narrowed by the chosen classes.
    """
    index = ensure_index(dataset, tell, lambda: False)
    kept = find_mask(index, filters)
    every_class = find_mask(index, filters, without=(Dimension.CLASS,))
    balance = class_balance(index, every_class, len(dataset.classes))
    places = positions_in_split(index, kept, filters.split)
    lengths = {
        unit: length_boxes(values[places], index.labels[places], len(dataset.classes))
        for unit, values in index.lengths.items()
    }
    cut = cut_at(index.lengths["tokens"][places], max_tokens)
    found = count_words(
        index,
        find_mask(index, filters, without=(Dimension.CLASS, Dimension.WORD)),
        filters.split,
        len(dataset.classes),
    )
    chosen = filters.classes or range(len(dataset.classes))
    return {
        "data": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split": filters.split,
        "texts": len(places),
        "balance": _named(balance, dataset.classes),
        "lengths": {unit: _named(box, dataset.classes) for unit, box in lengths.items()},
        "cut": {
            "max_tokens": max_tokens,
            "texts": cut.texts,
            "share": round(cut.share, 6),
            "tokens_lost": round(cut.lost, 6),
        },
        "words": {
            dataset.classes[label]: (
                distinctive_words(index, found, label, TOP_WORDS).round(6).to_dict("records")
            )
            for label in chosen
        },
    }


def as_text(described: dict[str, Any]) -> str:
    """The same as lines for a terminal."""
    name, cut = described["data"], described["cut"]
    lines = [
        f"{name}, {described['texts']:,} texts in {described['split']}, fingerprint"
        f" {described['fingerprint']}"
    ]
    lines += [
        f"{line['split']:<12}{line['class']:<24}{line['texts']:>9,}  {line['share']:.1%}"
        for line in described["balance"]
    ]
    for line in described["lengths"]["tokens"]:
        lines.append(
            f"{line['class']:<36}{line['median']:>9,} tokens in the middle, 5 to 95 %:"
            f" {line['low']:,} to {line['high']:,}"
        )
    lines.append(
        f"{cut['texts']:,} texts ({cut['share']:.1%}) are longer than {cut['max_tokens']} tokens;"
        f" {cut['tokens_lost']:.1%} are lost"
    )
    lines += [
        f"{label:<12}{', '.join(word['word'] for word in words)}"
        for label, words in described["words"].items()
    ]
    return "\n".join(lines)


def _named(frame: Any, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    lines = frame.to_dict("records")
    return [
        {"class": classes[int(line["label"])]}
        | {name: value for name, value in line.items() if name != "label"}
        for line in lines
    ]


def _label(dataset: Dataset, name: str) -> int:
    if name not in dataset.classes:
        raise ConfigError(
            f"There is no class {name!r}.", f"Choose from: {', '.join(dataset.classes)}."
        )
    return dataset.classes.index(name)


def _split(name: str) -> Split:
    for split in get_args(Split):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise ConfigError(f"There is no split {name!r}.", f"Choose from: {', '.join(get_args(Split))}.")


def register_model_views(app: typer.Typer) -> None:
    """Put both commands on ``app``."""
    app.command()(tokens)
    app.command()(embed)


def tokens(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    model: Annotated[str, typer.Option(help="Base model whose vocabulary is used.")] = "",
    max_tokens: Annotated[int, typer.Option(min=4, help="Longer texts are cut here.")] = 128,
    as_json: Json = False,
) -> None:
    """Show a text as word pieces: ids, special tokens, what is cut."""

    def pieces() -> Any:
        settings = Settings()
        found = find_model(model or settings.model, settings, hub_reachable(settings))
        if found.folder is None:
            raise ModelUnavailable(found.reason, "Choose another base model.")
        cut = cut_text(open_tokenizer(found.folder), text, max_tokens)
        table = cut.table.rename(columns={"token": "piece"})  # the name in the JSON output
        lines = table[["piece", "id", "kind", "mask"]].to_dict("records")
        return {
            "model": found.id,
            "tokens": cut.total,
            "read": cut.read,
            "cut": cut.lost,
            "words": cut.words,
            "pieces": lines,
        }

    print_result(pieces, as_json, _pieces_text)


def embed(
    run: Annotated[
        str, typer.Option(help="Id or name of a run, set beside its untrained base.")
    ] = "",
    model: Annotated[str, typer.Option(help="Base model, where no run is named.")] = "",
    rows: Annotated[int, typer.Option(help="Texts, an equal share of each class.")] = 2000,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    method: Annotated[str, typer.Option(help=", ".join(METHODS))] = "UMAP",
    layer: Annotated[int, typer.Option(help="0 is before the first layer, -1 the last one.")] = -1,
    mean: Annotated[
        bool, typer.Option("--mean", help="Mean of all tokens instead of the first one.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the method.")] = 42,
    as_json: Json = False,
) -> None:
    """Map texts by their hidden states and say how well the classes keep apart."""

    def maps() -> Any:
        store = open_store(Settings())
        source = find_source(store.settings)
        dataset = find_prepared(store.settings, source) or prepare(
            store.settings, source, follow.PhasePrinter(), lambda: False
        )
        base, limit, subjects = model or store.settings.model, 128, []
        if run:
            job = find_run(store, run)
            config = read_train_request(job).config
            base, limit, subjects = (
                config.model,
                config.max_tokens,
                [MapSubject(model=config.model, run=job.id)],
            )
        chosen = {
            "split": split,
            "rows": rows,
            "method": method,
            "layer": layer,
            "seed": seed,
            "max_tokens": limit,
        }
        request = _request(
            dataset.fingerprint, (MapSubject(model=base), *subjects), POOLINGS[mean], chosen
        )
        if not all(place.done for place in map_paths(store, request, dataset.classes)):
            follow.wait_for_work(store, launch(store, request, request.method))
        found = map_paths(store, request, dataset.classes)
        described = [
            _describe(place.subject.run or "untrained", read_map(place, request)) for place in found
        ]
        return {
            "texts": described[0]["texts"],
            "files": [str(place.map) for place in found],
            "maps": described,
        }

    print_result(maps, as_json, _maps_text)


def _request(
    fingerprint: str, subjects: tuple[MapSubject, ...], pooling: str, chosen: dict[str, object]
) -> MapRequest:
    if chosen["split"] not in get_args(Split) or chosen["method"] not in METHODS:
        raise ConfigError(
            f"{chosen['split']} or {chosen['method']} is not on offer.",
            f"Splits: {', '.join(get_args(Split))}; methods: {', '.join(METHODS)}.",
        )
    try:
        return MapRequest.model_validate(
            {"fingerprint": fingerprint, "subjects": subjects, "pooling": pooling, **chosen}
        )
    except ValueError as error:
        raise ConfigError(
            "Rows, layer or seed is out of range.", "Choose 20 to 10,000 rows and a seed from 0."
        ) from error


def _describe(name: str, one: TextMap) -> dict[str, Any]:
    def numbers(separation: Any) -> dict[str, float]:
        return {
            "neighbours_right": round(separation.knn.value, 4),
            "silhouette": round(separation.silhouette, 4),
        }

    return {
        "of": name,
        "texts": one.full.knn.n,
        "layer": one.layer,
        "all_dimensions": numbers(one.full),
        "in_the_picture": numbers(one.flat),
        "layers": [numbers(separation) for separation in one.layers],
    }


def _pieces_text(found: Any) -> str:
    lines = [
        f"{found['tokens']} tokens for {found['words']} words; {found['read']} are read,"
        f" {found['cut']} cut"
    ]
    return "\n".join(
        [
            *lines,
            *(
                f"{piece['id']:>7}  {piece['piece']:<20}{'' if piece['mask'] else 'cut'}"
                for piece in found["pieces"]
            ),
        ]
    )


def _maps_text(found: Any) -> str:
    lines = []
    for one, path in zip(found["maps"], found["files"], strict=True):
        full, flat = one["all_dimensions"], one["in_the_picture"]
        lines.append(
            f"{one['of']:<12} layer {one['layer']}, {one['texts']:,} texts: neighbours right"
            f" {full['neighbours_right']:.1%}, silhouette {full['silhouette']:.3f} (in two"
            f" dimensions {flat['neighbours_right']:.1%}, {flat['silhouette']:.3f})"
        )
        lines.append(f"{'':<12} {path}")
    return "\n".join(lines)
