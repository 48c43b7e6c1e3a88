"""``python -m core tokens`` and ``embed``: a text as word pieces, and how a model arranges the texts."""

from typing import Annotated, Any, get_args

import typer

from core.catalog import find_model
from core.commands.printing import Json, print_result
from core.data.hub import hub_reachable
from core.data.pieces import cut_text, open_tokenizer
from core.data.prepared import find_prepared, prepare
from core.data.sources import Split, find_source
from core.errors import ConfigError, ModelUnavailable
from core.evaluation.projection import METHODS
from core.jobs import actions, describe, waiting
from core.jobs.maps import POOLINGS, MapRequest, Subject, TextMap, places, read_map
from core.jobs.rebuild import open_store
from core.jobs.requests import read_train_request
from core.settings import Settings


def register(app: typer.Typer) -> None:
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
        lines = cut.table[["piece", "id", "kind", "mask"]].to_dict("records")
        return {"model": found.id, "tokens": cut.total, "read": cut.read, "cut": cut.lost, "words": cut.words, "pieces": lines}

    print_result(pieces, as_json, _pieces_text)


def embed(
    run: Annotated[str, typer.Option(help="Id or name of a run, set beside its untrained base.")] = "",
    model: Annotated[str, typer.Option(help="Base model, where no run is named.")] = "",
    rows: Annotated[int, typer.Option(help="Texts, an equal share of each class.")] = 2000,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    method: Annotated[str, typer.Option(help=", ".join(METHODS))] = "UMAP",
    layer: Annotated[int, typer.Option(help="0 is before the first layer, -1 the last one.")] = -1,
    mean: Annotated[bool, typer.Option("--mean", help="Mean of all tokens instead of the first one.")] = False,
    seed: Annotated[int, typer.Option(help="Of the method.")] = 42,
    as_json: Json = False,
) -> None:
    """Map texts by their hidden states and say how well the classes keep apart."""

    def maps() -> Any:
        store = open_store(Settings())
        source = find_source(store.settings)
        dataset = find_prepared(store.settings, source) or prepare(store.settings, source, waiting.PhasePrinter(), lambda: False)
        base, limit, subjects = model or store.settings.model, 128, []
        if run:
            job = describe.find_run(store, run)
            config = read_train_request(job).config
            base, limit, subjects = config.model, config.max_tokens, [Subject(model=config.model, run=job.id)]
        chosen = {"split": split, "rows": rows, "method": method, "layer": layer, "seed": seed, "max_tokens": limit}
        request = _request(dataset.fingerprint, (Subject(model=base), *subjects), POOLINGS[mean], chosen)
        if not all(place.done for place in places(store, request, dataset.classes)):
            waiting.wait_for_work(store, actions.launch_map(store, request))
        found = places(store, request, dataset.classes)
        described = [_describe(place.subject.run or "untrained", read_map(place, request)) for place in found]
        return {"texts": described[0]["texts"], "files": [str(place.map) for place in found], "maps": described}

    print_result(maps, as_json, _maps_text)


def _request(fingerprint: str, subjects: tuple[Subject, ...], pooling: str, chosen: dict[str, object]) -> MapRequest:
    if chosen["split"] not in get_args(Split) or chosen["method"] not in METHODS:
        raise ConfigError(
            f"{chosen['split']} or {chosen['method']} is not on offer.",
            f"Splits: {', '.join(get_args(Split))}; methods: {', '.join(METHODS)}.",
        )
    try:
        return MapRequest.model_validate({"fingerprint": fingerprint, "subjects": subjects, "pooling": pooling, **chosen})
    except ValueError as error:
        raise ConfigError("Rows, layer or seed is out of range.", "Choose 20 to 10,000 rows and a seed from 0.") from error


def _describe(name: str, one: TextMap) -> dict[str, Any]:
    def numbers(separation: Any) -> dict[str, float]:
        return {"neighbours_right": round(separation.knn.value, 4), "silhouette": round(separation.silhouette, 4)}

    return {
        "of": name,
        "texts": one.full.knn.n,
        "layer": one.layer,
        "all_dimensions": numbers(one.full),
        "in_the_picture": numbers(one.flat),
        "layers": [numbers(separation) for separation in one.layers],
    }


def _pieces_text(found: Any) -> str:
    lines = [f"{found['tokens']} tokens for {found['words']} words; {found['read']} are read, {found['cut']} cut"]
    return "\n".join([*lines, *(f"{piece['id']:>7}  {piece['piece']:<20}{'' if piece['mask'] else 'cut'}" for piece in found["pieces"])])


def _maps_text(found: Any) -> str:
    lines = []
    for one, path in zip(found["maps"], found["files"], strict=True):
        full, flat = one["all_dimensions"], one["in_the_picture"]
        lines.append(
            f"{one['of']:<12} layer {one['layer']}, {one['texts']:,} texts: neighbours right {full['neighbours_right']:.1%}, "
            f"silhouette {full['silhouette']:.3f} (in two dimensions {flat['neighbours_right']:.1%}, {flat['silhouette']:.3f})"
        )
        lines.append(f"{'':<12} {path}")
    return "\n".join(lines)
