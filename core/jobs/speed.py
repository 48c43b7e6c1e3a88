"""What work costs on this machine: the stored calibration and what finished runs say about it, else what is typical."""

from core.calibration import Key, read
from core.config import RunConfig
from core.estimate import Speed, measured_speed, typical_speed
from core.facts import ModelFacts
from core.store import Store


def find_speed(store: Store, config: RunConfig, model: ModelFacts) -> Speed:
    """The speed for this model and precision. Quick and free of torch: a page may ask on each rerun."""
    found = read(store.settings.home, calibration_key(store, config, model))
    if found is None:
        return typical_speed(model.device)
    return measured_speed(found, "measured on this machine")


def calibration_key(store: Store, config: RunConfig, model: ModelFacts) -> Key:
    """What a calibration for this configuration is kept under."""
    return Key(f"{model.identity}@{model.revision}", config.precision, store.settings.used_threads)
