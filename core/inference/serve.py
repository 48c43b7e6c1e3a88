"""What runs inside the inference process. The server imports this module too, so ML comes in late."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.catalog import Availability

if TYPE_CHECKING:
    from core.inference.classifier import Classifier
    from core.inference.walk import Walk
    from core.inference.walker import Walker

C = TypeVar("C", bound="Classifier")

KEPT_BASES = 2  # a page compares runs on one base, seldom on two

Key = tuple[str, str, int]
_classifiers: OrderedDict[Key, Classifier] = OrderedDict()
_walkers: OrderedDict[Key, Walker] = OrderedDict()


@dataclass(frozen=True, slots=True)
class ClassifyRequest:
    """One answer that is wanted: from a run's adapter, or with both None from the untrained base whose head ``seed`` draws."""

    run_id: str | None
    model: Availability
    adapter: Path | None
    classes: tuple[str, ...]
    max_tokens: int
    seed: int = 42


def classify(requests: list[ClassifyRequest], texts: list[str]) -> list[NDArray[np.float32]]:
    """Probabilities (n, C) for each request. Raises ModelUnavailable and ArtifactDamaged."""
    return [_classify(request, texts) for request in requests]


def walk(request: ClassifyRequest, text: str) -> Walk:
    """Every step of ``text`` through the model. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.walker import Walker  # noqa: PLC0415 - brings torch, for this process only

    walker = _kept(_walkers, Walker, request, most=1)
    return walker.walk(_load_adapter(walker, request), text, request.max_tokens, request.seed)


def _classify(request: ClassifyRequest, texts: list[str]) -> NDArray[np.float32]:
    from core.inference.classifier import Classifier  # noqa: PLC0415 - brings torch, for this process only

    classifier = _kept(_classifiers, Classifier, request, KEPT_BASES)
    return classifier.classify(_load_adapter(classifier, request), texts, request.max_tokens, request.seed)


def _load_adapter(classifier: Classifier, request: ClassifyRequest) -> str | None:
    if request.run_id is None or request.adapter is None:
        return None
    classifier.load_adapter(request.run_id, request.adapter)
    return request.run_id


def _kept(known: OrderedDict[Key, C], kind: type[C], request: ClassifyRequest, most: int) -> C:
    """The model of ``request``, loaded unless it is among the ``most`` used last."""
    from core.training.load import fetch  # noqa: PLC0415 - as above

    key = (str(request.model.folder or request.model.id), request.model.revision, len(request.classes))
    if key not in known:
        known[key] = kind(fetch(request.model), request.classes, request.seed)
    known.move_to_end(key)
    while len(known) > most:
        known.popitem(last=False)
    return known[key]
