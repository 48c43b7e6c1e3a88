"""``python -m core nearest``: the training texts of a run that are most like a given one to it."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from core.commands.printing import Json, print_result
from core.data.hub import hub_reachable
from core.data.table import clean
from core.errors import DataError
from core.inference.request import Reading
from core.jobs import actions, describe, waiting
from core.jobs.nearest import Index, index_folder, is_made, read_index
from core.jobs.rebuild import open_store
from core.settings import Settings

MOST = 100


def nearest(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run.")],
    text: Annotated[str, typer.Argument(metavar="TEXT")],
    count: Annotated[int, typer.Option(min=1, max=MOST, help="How many training texts.")] = 5,
    as_json: Json = False,
) -> None:
    """Show the training texts nearest to a text in the run's own space, with their classes; the first time it encodes them."""

    def found() -> Any:
        if not clean(text).strip():
            raise DataError("The text is empty.", "Give at least one word.")
        store = open_store(Settings())
        job = describe.find_run(store, run)
        folder = index_folder(store, job)
        if not is_made(folder):
            waiting.wait_for_work(store, actions.launch_nearest(store, job))
        index = read_index(folder)

        from core.inference.serve import read  # noqa: PLC0415 - brings torch, which no other command waits for
        from core.jobs.classify import classify_request  # noqa: PLC0415 - as above

        asked = classify_request(store, job, hub_reachable(store.settings))
        (reading,) = read([asked], clean(text))
        return _described(text, reading, index, asked.classes, count)

    print_result(found, as_json, _as_text)


def _described(text: str, reading: Reading, index: Index, classes: Sequence[str], count: int) -> dict[str, Any]:
    label = int(reading.probabilities.argmax())
    near = [
        {
            "row": int(line["row"]),
            "text": line["text"],
            "label": classes[line["label"]],
            "similarity": round(float(line["similarity"]), 4),
            "agrees": bool(line["label"] == label),
        }
        for line in index.nearest(reading.state, count).to_dict("records")
    ]
    return {"text": text, "label": classes[label], "training_texts": len(index.texts), "nearest": near}


def _as_text(found: dict[str, Any]) -> str:
    lines = [f"{found['label']}; nearest of {found['training_texts']:,} training texts:"]
    lines += [
        f"{near['similarity']:.3f}  {'  ' if near['agrees'] else '≠ '}{near['label']:<12} {' '.join(near['text'].split())[:120]}"
        for near in found["nearest"]
    ]
    return "\n".join(lines)
