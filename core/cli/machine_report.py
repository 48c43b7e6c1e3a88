"""What is ready on this machine, for ``doctor``, and the checks that keep a run from being launched
in vain.
"""

from collections.abc import Callable

from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.sources import Source
from core.errors import ConfigError, ModelUnavailable
from core.models.catalog import MODELS, find_model
from core.people.openid import read_secrets, read_sign_in, ways_in
from core.progress import Progress
from core.quantization import unsupported_reason
from core.settings import Settings, cores, memory_mb
from core.storage.numerics import auto_precision


def describe(
    settings: Settings, source: Source, report: Callable[[Progress], None]
) -> dict[str, object]:
    """Data, models, device, precision, cores, memory in MB and home. Prepares the data if that has
    not been done.
    """
    # Brings torch; pages use the rest.
    from core.training.device import choose_device  # noqa: PLC0415
    from core.training.fast.matmul import machine_products  # noqa: PLC0415 - as above

    dataset = find_prepared(settings, source) or prepare(settings, source, report, lambda: False)
    hub = hub_reachable(settings)
    device = choose_device()
    found = [find_model(model, settings, hub) for model in dict.fromkeys([settings.model, *MODELS])]
    return {
        "data": {
            "source": dataset.source,
            "name": dataset.name,
            "train_rows": dataset.train_rows,
            "validation_rows": dataset.validation_rows,
            "test_rows": dataset.test_rows,
            "classes": list(dataset.classes),
            "fingerprint": dataset.fingerprint,
            "notes": [source.note, *dataset.notes] if source.note else list(dataset.notes),
        },
        "models": [
            {"id": model.id, "available": model.available, "reason": model.reason}
            for model in found
        ],
        "device": str(device),
        "precision": auto_precision(settings, found[0].name, device.type),
        "products": "oneDNN"
        if device.type == "cpu" and machine_products(settings).onednn_is_faster
        else "torch",
        "four_bit": unsupported_reason() or "available",
        "cores": cores(),
        "memory_mb": memory_mb(),
        "home": str(settings.home.absolute()),
        "mode": settings.mode,
        "ways_in": ways_in(settings, read_sign_in(read_secrets())),
    }


def require_launchable(config: RunConfig, settings: Settings) -> None:
    """Raise ModelUnavailable or ConfigError, with the reason, before a run is queued whose base
    model cannot be had like this.
    """
    if config.four_bit and (why := unsupported_reason()):
        raise ConfigError(f"A base in 4 bits {why}.", "Leave out --set four_bit.")
    model = find_model(config.model, settings, hub_reachable(settings))
    if not model.available:
        raise ModelUnavailable(
            f"{config.model} is not available: {model.reason}", "Choose another base model."
        )
