"""The scores of the untrained model: the same for all runs with its seed, length and data, so the first computes and keeps them."""

import hashlib
from pathlib import Path

from core.config import RunConfig
from core.jobs.requests import TrainRequest


def kept_path(home: Path, model: str, config: RunConfig, fingerprint: str) -> Path:
    """Where the predictions lie once a run has made them. ``model`` is identity and revision, ``fingerprint`` that of the data."""
    identity = "|".join((model, str(config.seed), fingerprint, str(config.max_tokens), str(config.four_bit)))
    return home / "untrained" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"


def shared_by(request: TrainRequest) -> str:
    """The same for requests whose runs share these scores."""
    config = {"model", "seed", "max_tokens", "four_bit"}
    return request.model_dump_json(include={"config": config, "source": True, "recipe": True})
