"""What runs inside the inference process. The server imports this module too, so ML comes in
late.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from core.inference.messages import ClassifyRequest as ClassifyRequest  # what callers build
from core.inference.messages import Explanation, Matrix, Prediction, Query
from core.settings import Settings, available_memory_mb

if TYPE_CHECKING:
    from core.inference.classifier import Classifier
    from core.inference.trace import Trace

C = TypeVar("C", bound="Classifier")

KEPT_MODELS = 2  # a page compares runs on one base, seldom on two; another page may look inside one
FREE_MB = 1500  # below this the models that are kept go before another is loaded

Key = tuple[str, str, str, tuple[str, ...]]
_kept_models: OrderedDict[Key, Classifier] = OrderedDict()


def load_libraries() -> None:
    """Import what classifying needs, which takes most of the first answer's time."""
    from core.inference.classifier import Classifier  # noqa: F401, PLC0415 - brings torch, for this process only


def load_models(requests: Sequence[ClassifyRequest]) -> None:
    """Have the models and adapters of ``requests`` in memory. Raises ModelUnavailable and
    ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    for request in requests:
        _load_adapter(_kept(Classifier, request), request)


def read(requests: list[ClassifyRequest], text: str) -> list[Prediction]:
    """What each request's model makes of one text, read by all adapters of a base at once. Raises
    ModelUnavailable and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above
    from core.training.device import release_memory  # noqa: PLC0415 - as above

    found: dict[int, Prediction] = {}
    for places in _by_base(requests):
        classifier = _kept(Classifier, requests[places[0]])
        found |= zip(
            places,
            classifier.predict_all([_asked(classifier, requests[place]) for place in places], text),
            strict=True,
        )
        if len(places) > 1:
            release_memory()  # what ten rows took and gave back: 20 MB
    return [found[place] for place in range(len(requests))]


def classify(requests: list[ClassifyRequest], texts: list[str]) -> list[NDArray[np.float32]]:
    """Probabilities (n, C) for each request. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    if len(texts) == 1:
        return [reading.probabilities[None] for reading in read(requests, texts[0])]
    answers = []
    for request in requests:
        classifier = _kept(Classifier, request)
        one = _asked(classifier, request)
        answers.append(
            classifier.classify(one.run_id, texts, one.max_tokens, one.seed, one.variant)
        )
    return answers


def spectra(request: ClassifyRequest) -> list[Matrix]:
    """What the adapter of ``request`` changes, a line per adapted module. Raises ModelUnavailable
    and ArtifactDamaged.
    """
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _kept(Classifier, request)
    return classifier.spectra(_load_adapter(classifier, request) or "")


def explain(request: ClassifyRequest, text: str, target: int | None) -> Explanation:
    """What each token adds to the logit of class ``target``, or of the predicted one. Raises
    ModelUnavailable and ArtifactDamaged.
    """
    # As above; captum brings matplotlib.
    from core.inference.attribution import explain as ask  # noqa: PLC0415
    from core.inference.classifier import Classifier  # noqa: PLC0415 - as above

    classifier = _kept(Classifier, request)
    return ask(
        classifier,
        _load_adapter(classifier, request),
        text,
        request.max_tokens,
        target,
        request.seed,
    )


def walk(request: ClassifyRequest, text: str) -> Trace:
    """Every step of ``text`` through the model. Raises ModelUnavailable and ArtifactDamaged."""
    from core.inference.tracer import Tracer  # noqa: PLC0415 - as above

    walker = _kept(Tracer, request)
    return walker.walk(_load_adapter(walker, request), text, request.max_tokens, request.seed)


def _asked(classifier: Classifier, request: ClassifyRequest) -> Query:
    return Query(
        _load_adapter(classifier, request), request.max_tokens, request.seed, request.variant
    )


def _load_adapter(classifier: Classifier, request: ClassifyRequest) -> str | None:
    if request.run_id is None or request.adapter is None:
        return None
    classifier.load_adapter(request.run_id, request.adapter)
    return request.run_id


def _by_base(requests: Sequence[ClassifyRequest]) -> Iterator[list[int]]:
    """Positions of the requests that one model in memory answers."""
    groups: dict[Key, list[int]] = {}
    for position, request in enumerate(requests):
        groups.setdefault(_key("", request), []).append(position)
    yield from groups.values()


def _key(kind: str, request: ClassifyRequest) -> Key:
    return (
        kind,
        str(request.model.folder or request.model.id),
        request.model.revision,
        request.classes,
    )


def _kept(kind: type[C], request: ClassifyRequest) -> C:
    """The model of ``request``, loaded unless it is among those used last; more than one is kept
    only where memory allows.
    """
    from core.training.fast.matmul import machine_products  # noqa: PLC0415 - as above
    from core.training.load_model import fetch  # noqa: PLC0415 - as above

    key = _key(kind.__name__, request)
    found = _kept_models.get(key)
    if not isinstance(found, kind):
        while _kept_models and (
            len(_kept_models) >= KEPT_MODELS or available_memory_mb() < FREE_MB
        ):
            _kept_models.popitem(last=False)
        found = kind(
            fetch(request.model),
            request.classes,
            request.seed,
            machine_products(Settings()).onednn_is_faster,
        )
        _kept_models[key] = found
    _kept_models.move_to_end(key)
    return found
