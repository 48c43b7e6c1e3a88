"""Find the base model of an imported adapter by identity: a path in an untrusted file is never
opened.
"""

from collections.abc import Iterable

from core.errors import DataError, ModelUnavailable
from core.models.catalog import HUB_ID, MODELS, REVISION, ModelLocation, find_model
from core.settings import Settings
from core.transfer.imports.peft_adapter import AdapterConfig

LOCAL = "local/"  # how an export names a base that came from a folder


def find_base(
    config: AdapterConfig, settings: Settings, hub: bool, known: Iterable[str]
) -> tuple[str, ModelLocation]:
    """Return the base model as ``RunConfig.model`` names it, and its location.

    ``known`` are base models of runs here. Raises DataError for a base model that is not allowed or
    unknown, and ModelUnavailable.
    """
    name, revision = config.base_model_name_or_path, config.revision or ""
    found = (
        _offered(name, revision)
        or _local(name, revision, settings, hub, known)
        or _pinned(name, revision)
    )
    model = find_model(found, settings, hub)
    if not model.available:
        raise ModelUnavailable(model.reason, "Then import it again.")
    return found, model


def _offered(name: str, revision: str) -> str:
    """Match a model of the catalog. PEFT often stores no revision, which then means the offered
    one.
    """
    for model in MODELS.values():
        if name in (model.hub_id, model.hub_id.rpartition("/")[2]):
            if revision not in ("", "main", model.revision):
                message = (
                    f"It was made for {name} at revision {revision[:40]}, and {model.id} is that at"
                    f" {model.revision[:12]}."
                )
                raise DataError(message, "Train it again on the revision that is offered.")
            return model.id
    return ""


def _local(name: str, revision: str, settings: Settings, hub: bool, known: Iterable[str]) -> str:
    """Match a folder that runs here were trained on, by name and fingerprint."""
    if not name.startswith(LOCAL):
        return ""
    for candidate in dict.fromkeys([settings.model, *known]):
        if candidate in MODELS or "@" in candidate:
            continue
        model = find_model(candidate, settings, hub)
        if model.available and model.revision == revision:
            return candidate
    mark = revision[:12] or "unknown"
    message = (
        f"Its base {name.removeprefix(LOCAL)[:80]!r} came from a folder with fingerprint {mark},"
        " which no run here has used."
    )
    raise DataError(
        message, "Copy that folder here and set LORALAB_MODEL to it, then import again."
    )


def _pinned(name: str, revision: str) -> str:
    if HUB_ID.fullmatch(name) and REVISION.fullmatch(revision):
        return f"{name}@{revision}"
    if HUB_ID.fullmatch(name):
        message = (
            f"Its base {name!r} is not among those offered ({', '.join(MODELS)}), and"
            " adapter_config.json names no revision of it."
        )
        raise DataError(
            message, "Write the 40 hex digits of the commit as revision into adapter_config.json."
        )
    message = f"adapter_config.json names its base by {name[:80]!r}, which is no model of the Hub."
    raise DataError(
        message,
        "Write the Hub id and revision of the base into it: a folder of another machine says"
        " nothing.",
    )
