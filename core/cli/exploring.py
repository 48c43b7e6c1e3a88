"""``python -m core explore``, ``tokens`` and ``embed``: counts of a dataset, tokens of a text, and
embedding maps.
"""

from dataclasses import dataclass
from typing import Annotated, Any, get_args

import typer

from core.cli import output
from core.cli.option_groups import expand_options
from core.cli.output import Json, PhasePrinter, print_result, replace_invalid
from core.data.dataset import Dataset
from core.data.explore.distinctive_words import count_words, distinctive_words
from core.data.explore.filters import Dimension, Filters, find_mask, positions_in_split
from core.data.explore.index import ensure_index
from core.data.explore.statistics import class_balance, cut_at, length_boxes
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Split, find_source, named_source
from core.data.tokenizer import cut_text, open_tokenizer, read_truncation_side
from core.errors import ConfigError, ModelUnavailable
from core.evaluation.embedding_map import METHODS
from core.jobs.launching import launch
from core.jobs.tasks.embed_texts import (
    POOLINGS,
    MapRequest,
    MapSubject,
    TextMap,
    find_map_paths,
    read_map,
)
from core.models.catalog import find_model
from core.runs.requests import read_train_request
from core.runs.run import find_run
from core.settings import Settings
from core.storage.recovery import open_store

TOP_WORDS = 10


def register_explore(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(explore)


@dataclass(frozen=True)
class TextSelection:
    """The texts of a dataset that are counted."""

    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train"
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", metavar="CLASS", help="Only texts of this class; repeatable."),
    ] = None
    search: Annotated[str, typer.Option(help="Only texts with this string; ignores case.")] = ""
    word: Annotated[str, typer.Option(help="Only texts with this whole word.")] = ""
    shortest: Annotated[
        int | None, typer.Option(min=0, help="Only texts of at least this many tokens.")
    ] = None
    longest: Annotated[
        int | None, typer.Option(min=0, help="Only texts of at most this many tokens.")
    ] = None

    def to_filters(self, dataset: Dataset) -> Filters:
        """Return the filters; raises ConfigError if the dataset lacks the split or a class."""
        labels = tuple(_find_label(dataset, name) for name in self.classes or ())
        split = _parse_split(self.split)
        return Filters(split, labels, "tokens", self.shortest, self.longest, self.search, self.word)


@expand_options
def explore(
    *,
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    selection: TextSelection,
    max_tokens: Annotated[int, typer.Option(min=4, help="Token limit for truncation.")] = 128,
    as_json: Json = False,
) -> None:
    """Count texts: classes per split, lengths, truncation, distinctive words of each class."""

    def counted() -> Any:
        settings, printer = Settings(), PhasePrinter()
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(
            settings, source, printer, lambda: False
        )
        return describe(dataset, selection.to_filters(dataset), max_tokens, printer)

    print_result(counted, as_json, format_counts)


def describe(
    dataset: Dataset, filters: Filters, max_tokens: int, printer: PhasePrinter
) -> dict[str, object]:
    """Return the counts over the texts that pass ``filters``, as JSON values.

    The chosen classes do not affect class balance and words.
    """
    index = ensure_index(dataset, printer, lambda: False)
    mask = find_mask(index, filters)  # (n,)
    every_class = find_mask(index, filters, without=(Dimension.CLASS,))
    balance = class_balance(index, every_class, len(dataset.classes))
    positions = positions_in_split(index, mask, filters.split)
    lengths = {
        unit: length_boxes(values[positions], index.labels[positions], len(dataset.classes))
        for unit, values in index.lengths.items()
    }
    cut = cut_at(index.lengths["tokens"][positions], max_tokens)
    counts = count_words(
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
        "texts": len(positions),
        "balance": _name_classes(balance, dataset.classes),
        "lengths": {unit: _name_classes(box, dataset.classes) for unit, box in lengths.items()},
        "cut": {
            "max_tokens": max_tokens,
            "texts": cut.texts,
            "share": round(cut.share, 6),
            "tokens_lost": round(cut.lost, 6),
        },
        "words": {
            dataset.classes[label]: (
                distinctive_words(index, counts, label, TOP_WORDS).round(6).to_dict("records")
            )
            for label in chosen
        },
    }


def format_counts(described: dict[str, Any]) -> str:
    """Format the counts as lines for a terminal."""
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
            f"{line['class']:<36}{line['median']:>9,} tokens (median), 5 to 95 %:"
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


def _name_classes(frame: Any, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    lines = frame.to_dict("records")
    return [
        {"class": classes[int(line["label"])]}
        | {name: value for name, value in line.items() if name != "label"}
        for line in lines
    ]


def _find_label(dataset: Dataset, name: str) -> int:
    if name not in dataset.classes:
        raise ConfigError(
            f"There is no class {name!r}.", f"Choose from: {', '.join(dataset.classes)}."
        )
    return dataset.classes.index(name)


def _parse_split(name: str) -> Split:
    for split in get_args(Split):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise ConfigError(f"There is no split {name!r}.", f"Choose from: {', '.join(get_args(Split))}.")


def register_model_views(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command()(tokens)
    app.command()(embed)


def tokens(
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    model: Annotated[str, typer.Option(help="Base model whose vocabulary is used.")] = "",
    max_tokens: Annotated[int, typer.Option(min=4, help="Longer texts are truncated.")] = 128,
    as_json: Json = False,
) -> None:
    """Show the tokens of a text: ids, special tokens, truncation."""

    def tokenized() -> Any:
        settings = Settings()
        base = find_model(model or settings.model, settings, hub_reachable(settings))
        if base.folder is None:
            raise ModelUnavailable(base.reason)
        valid = replace_invalid(text, "The text")
        side = read_truncation_side(base.folder)
        cut = cut_text(open_tokenizer(base.folder), valid, max_tokens, side)
        table = cut.table.rename(columns={"token": "piece"})  # the name in the JSON output
        lines = table[["piece", "id", "kind", "mask"]].to_dict("records")
        return {
            "model": base.id,
            "tokens": cut.total,
            "read": cut.read,
            "cut": cut.lost,
            "words": cut.words,
            "pieces": lines,
        }

    print_result(tokenized, as_json, _format_tokens)


@dataclass(frozen=True)
class MapOptions:
    """The sample of texts that is mapped, and how."""

    rows: Annotated[int, typer.Option(help="Texts of a stratified sample.")] = 2000
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test"
    method: Annotated[str, typer.Option(help=", ".join(METHODS))] = "UMAP"
    layer: Annotated[int, typer.Option(help="0 is before the first layer, -1 the last.")] = -1
    mean: Annotated[
        bool, typer.Option("--mean", help="Mean of all tokens instead of the first one.")
    ] = False
    seed: Annotated[int, typer.Option(help="Seed of the method.")] = 42

    def to_request(
        self, fingerprint: str, subjects: tuple[MapSubject, ...], max_tokens: int
    ) -> MapRequest:
        """Return the request of a map; raises ConfigError if an option has an invalid value."""
        if self.split not in get_args(Split) or self.method not in METHODS:
            raise ConfigError(
                f"There is no split {self.split!r} or no method {self.method!r}.",
                f"Splits: {', '.join(get_args(Split))}; methods: {', '.join(METHODS)}.",
            )
        chosen = {
            "fingerprint": fingerprint,
            "subjects": subjects,
            "pooling": POOLINGS[self.mean],
            "split": self.split,
            "rows": self.rows,
            "method": self.method,
            "layer": self.layer,
            "seed": self.seed,
            "max_tokens": max_tokens,
        }
        try:
            return MapRequest.model_validate(chosen)
        except ValueError as error:
            raise ConfigError(
                "Rows, layer or seed is out of range.",
                "Choose 20 to 10,000 rows and a seed from 0.",
            ) from error


@expand_options
def embed(
    *,
    run: Annotated[
        str, typer.Option(help="Id or name of a run, mapped next to its untrained base model.")
    ] = "",
    model: Annotated[str, typer.Option(help="Base model, if no run is named.")] = "",
    options: MapOptions,
    as_json: Json = False,
) -> None:
    """Map texts by their hidden states, and measure how well the classes are separated."""

    def maps() -> Any:
        store = open_store(Settings())
        source = find_source(store.settings)
        dataset = find_prepared(store.settings, source) or prepare(
            store.settings, source, output.PhasePrinter(), lambda: False
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
        request = options.to_request(
            dataset.fingerprint, (MapSubject(model=base), *subjects), limit
        )
        if not all(path.done for path in find_map_paths(store, request, dataset.classes)):
            output.wait_for_work(store, launch(store, request, request.method))
        paths = find_map_paths(store, request, dataset.classes)
        described = [
            _describe(path.subject.run or "untrained", read_map(path, request)) for path in paths
        ]
        return {
            "texts": described[0]["texts"],
            "files": [str(path.map) for path in paths],
            "maps": described,
        }

    print_result(maps, as_json, _format_maps)


def _describe(name: str, text_map: TextMap) -> dict[str, Any]:
    def numbers(separation: Any) -> dict[str, float]:
        return {
            "neighbours_right": round(separation.knn.value, 4),
            "silhouette": round(separation.silhouette, 4),
        }

    return {
        "of": name,
        "texts": text_map.full.knn.n,
        "layer": text_map.layer,
        "all_dimensions": numbers(text_map.full),
        "in_the_picture": numbers(text_map.flat),
        "layers": [numbers(separation) for separation in text_map.layers],
    }


def _format_tokens(result: Any) -> str:
    lines = [
        f"{result['tokens']} tokens for {result['words']} words; {result['read']} are read,"
        f" {result['cut']} truncated"
    ]
    return "\n".join(
        [
            *lines,
            *(
                f"{token['id']:>7}  {token['piece']:<20}{'' if token['mask'] else 'truncated'}"
                for token in result["pieces"]
            ),
        ]
    )


def _format_maps(result: Any) -> str:
    lines = []
    for described, path in zip(result["maps"], result["files"], strict=True):
        full, flat = described["all_dimensions"], described["in_the_picture"]
        lines.append(
            f"{described['of']:<12} layer {described['layer']}, {described['texts']:,} texts:"
            f" correct neighbors {full['neighbours_right']:.1%}, silhouette"
            f" {full['silhouette']:.3f} (in two"
            f" dimensions {flat['neighbours_right']:.1%}, {flat['silhouette']:.3f})"
        )
        lines.append(f"{'':<12} {path}")
    return "\n".join(lines)
