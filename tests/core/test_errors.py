import pickle

import pytest

from core import errors
from core.errors import LoraLabError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, LoraLabError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_stands_in_the_tree(kind: type[LoraLabError]) -> None:
    assert kind.__name__ in str(errors.__doc__)


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_crosses_a_process_border_with_both_parts(kind: type[LoraLabError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("The disk is full.", "Delete a run.")))

    assert (type(copy), copy.message, copy.fix) == (kind, "The disk is full.", "Delete a run.")


def test_an_error_reads_as_what_happened_and_what_to_do() -> None:
    assert (
        str(LoraLabError("The disk is full.", "Delete a run.")) == "The disk is full. Delete a run."
    )
    assert str(LoraLabError("The disk is full.")) == "The disk is full."
