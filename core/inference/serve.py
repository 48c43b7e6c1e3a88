"""What runs inside the inference process. The server imports this module too, so ML comes in late."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.catalog import Availability

if TYPE_CHECKING:
    from core.inference.classifier import Classifier

KEPT_BASES = 2  # a page compares runs on one base, seldom on two

Key = tuple[str, str, int]
_classifiers: OrderedDict[Key, Classifier] = OrderedDict()


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


def _classify(request: ClassifyRequest, texts: list[str]) -> NDArray[np.float32]:
    classifier = _classifier(request)
    if request.run_id is None or request.adapter is None:
        return classifier.classify(None, texts, request.max_tokens, request.seed)
    classifier.load_adapter(request.run_id, request.adapter)
    return classifier.classify(request.run_id, texts, request.max_tokens)


def _classifier(request: ClassifyRequest) -> Classifier:
    from core.inference.classifier import Classifier  # noqa: PLC0415 - brings torch, for this process only
    from core.training.load import fetch  # noqa: PLC0415

    key = (str(request.model.folder or request.model.id), request.model.revision, len(request.classes))
    if key not in _classifiers:
        _classifiers[key] = Classifier(fetch(request.model), request.classes, request.seed)
    _classifiers.move_to_end(key)
    while len(_classifiers) > KEPT_BASES:
        _classifiers.popitem(last=False)
    return _classifiers[key]
