"""``python -m core explore``: what Explore shows, as counts: balance, lengths, what a limit cuts off, words that set classes apart."""

from typing import Annotated, Any, get_args

import typer

from core.commands.printing import Json, print_result
from core.data.dataset import Dataset
from core.data.indexing import ensure_index
from core.data.prepared import find_prepared, prepare
from core.data.selection import Dimension, Filters, find_mask, positions_in_split
from core.data.sources import Split, find_source, named_source
from core.data.statistics import class_balance, cut_at, length_boxes
from core.data.words import count_words, distinctive_words
from core.errors import ConfigError
from core.jobs.waiting import PhasePrinter
from core.settings import Settings

TOP_WORDS = 10


def register(app: typer.Typer) -> None:
    """Put the command on ``app``."""
    app.command()(explore)


def explore(
    data: Annotated[str, typer.Option(help="Name of a saved dataset, or a dataset folder.")] = "",
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "train",
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="CLASS", help="Only texts of this class; more may follow.")
    ] = None,
    search: Annotated[str, typer.Option(help="Only texts that hold this, in any case.")] = "",
    word: Annotated[str, typer.Option(help="Only texts with this whole word.")] = "",
    shortest: Annotated[int | None, typer.Option(min=0, help="Only texts of at least so many tokens.")] = None,
    longest: Annotated[int | None, typer.Option(min=0, help="Only texts of at most so many tokens.")] = None,
    max_tokens: Annotated[int, typer.Option(min=4, help="Say what this limit cuts off.")] = 128,
    as_json: Json = False,
) -> None:
    """Count the texts: classes per split, lengths, what is cut off, words that set each class apart."""

    def counted() -> Any:
        settings, tell = Settings(), PhasePrinter()
        source = named_source(settings, data) if data else find_source(settings)
        dataset = find_prepared(settings, source) or prepare(settings, source, tell, lambda: False)
        labels = tuple(_label(dataset, name) for name in classes or ())
        filters = Filters(_split(split), labels, "tokens", shortest, longest, search, word)
        return describe(dataset, filters, max_tokens, tell)

    print_result(counted, as_json, as_text)


def describe(dataset: Dataset, filters: Filters, max_tokens: int, tell: PhasePrinter) -> dict[str, object]:
    """What the page counts over the texts that ``filters`` leave. Balance and words are not narrowed by the chosen classes."""
    index = ensure_index(dataset, tell, lambda: False)
    kept = find_mask(index, filters)
    every_class = find_mask(index, filters, without=(Dimension.CLASS,))
    balance = class_balance(index, every_class, len(dataset.classes))
    places = positions_in_split(index, kept, filters.split)
    lengths = {unit: length_boxes(values[places], index.labels[places], len(dataset.classes)) for unit, values in index.lengths.items()}
    cut = cut_at(index.lengths["tokens"][places], max_tokens)
    found = count_words(index, find_mask(index, filters, without=(Dimension.CLASS, Dimension.WORD)), filters.split, len(dataset.classes))
    chosen = filters.classes or range(len(dataset.classes))
    return {
        "data": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split": filters.split,
        "texts": len(places),
        "balance": _named(balance, dataset.classes),
        "lengths": {unit: _named(box, dataset.classes) for unit, box in lengths.items()},
        "cut": {"max_tokens": max_tokens, "texts": cut.texts, "share": round(cut.share, 6), "tokens_lost": round(cut.lost, 6)},
        "words": {
            dataset.classes[label]: distinctive_words(index, found, label, TOP_WORDS).round(6).to_dict("records") for label in chosen
        },
    }


def as_text(described: dict[str, Any]) -> str:
    """The same as lines for a terminal."""
    name, cut = described["data"], described["cut"]
    lines = [f"{name}, {described['texts']:,} texts in {described['split']}, fingerprint {described['fingerprint']}"]
    lines += [f"{line['split']:<12}{line['class']:<24}{line['texts']:>9,}  {line['share']:.1%}" for line in described["balance"]]
    for line in described["lengths"]["tokens"]:
        lines.append(f"{line['class']:<36}{line['median']:>9,} tokens in the middle, 5 to 95 %: {line['low']:,} to {line['high']:,}")
    lines.append(
        f"{cut['texts']:,} texts ({cut['share']:.1%}) are longer than {cut['max_tokens']} tokens; {cut['tokens_lost']:.1%} are lost"
    )
    lines += [f"{label:<12}{', '.join(word['word'] for word in words)}" for label, words in described["words"].items()]
    return "\n".join(lines)


def _named(frame: Any, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    lines = frame.to_dict("records")
    return [{"class": classes[int(line["label"])]} | {name: value for name, value in line.items() if name != "label"} for line in lines]


def _label(dataset: Dataset, name: str) -> int:
    if name not in dataset.classes:
        raise ConfigError(f"There is no class {name!r}.", f"Choose from: {', '.join(dataset.classes)}.")
    return dataset.classes.index(name)


def _split(name: str) -> Split:
    for split in get_args(Split):
        if name == split:
            return split  # type: ignore[no-any-return]
    raise ConfigError(f"There is no split {name!r}.", f"Choose from: {', '.join(get_args(Split))}.")
