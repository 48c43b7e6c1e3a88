"""Read the untrusted configuration of an adapter, and resolve the modules, ranks and alphas that it
selects in a base model.

The rules are those of PEFT 0.21. What PEFT computes in another way than a LoRA adapter of an
unchanged base model is rejected by name. r is a rank.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import SchemaError

from core.config import RunConfig, find_bounds
from core.errors import ConfigError, DataError
from core.models.families import find_family
from core.models.model_shape import (
    ALL_LINEAR,
    Linear,
    ModelShape,
    list_target_modules,
    resolve_targets,
)
from core.transfer.imports.archive import CONFIG, AdapterArchive

MOST_RANK, MOST_ALPHA = (int(find_bounds(name)[1] or 0) for name in ("rank", "alpha"))
AGAIN = "Choose an adapter that PEFT saved for a sequence classifier."
WRONG_BASE = "The adapter was trained for another base model."
OTHER_MODULES = (
    "The adapter was trained for another base model, or adapts modules that LoRA Lab does not"
    " support: train it with exclude_modules."
)
NOT_NEEDED = "If it has no effect on predictions, set it to null in adapter_config.json."
# values that switch a field off
NEUTRAL: tuple[object, ...] = (None, False, [], {}, "none", "")
# fields that PEFT reads only in training, or only with another field that is rejected
WITHOUT_EFFECT = frozenset(
    {
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "fan_in_fan_out",  # PEFT switches it off for linear modules
        "inference_mode",
        "loftq_config",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "runtime_config",
    }
)
# of ``init_lora_weights``: they leave the base model as it is
INITIALIZATIONS: tuple[object, ...] = (None, True, False, "gaussian", "eva", "orthogonal")
PLAIN_LORA = (
    "Convert it to plain LoRA in PEFT with save_pretrained(folder,"
    " path_initial_model_for_weight_conversion=PATH), and copy the classifier's tensors, which PEFT"
    " then omits; or train it again with init_lora_weights=True."
)
HEADS = ("classifier", "score")  # modules that PEFT always saves
PLAIN = re.compile(r"[\w.\-]+")  # a pattern that takes linear time in any engine
SET_OPERATIONS = ("&&", "--", "~~", "[[")  # of Rust's expressions; other characters in Python
MOST_EXPRESSIONS = 50  # in a pattern field; one may take 0.3 s to compile
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,200}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=500)]
LayerList = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,100}$")]
Names = Annotated[list[Name], Field(min_length=1, max_length=2000)]
Rank = Annotated[int, Field(ge=1, le=MOST_RANK)]
Alpha = Annotated[float, Field(gt=0, le=MOST_ALPHA)]

T = TypeVar("T")


class AdapterConfig(BaseModel):
    """Supported fields of ``adapter_config.json``.

    Other fields are ignored if they are off or have no effect on predictions, and rejected
    otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    peft_type: Literal["LORA"]
    task_type: Literal["SEQ_CLS"]
    base_model_name_or_path: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    revision: Annotated[str, StringConstraints(max_length=200)] | None = None
    init_lora_weights: bool | str | None = True
    r: Rank
    lora_alpha: Alpha
    lora_dropout: float = Field(0.0, ge=0, le=0.9)
    target_modules: Names | Pattern
    exclude_modules: Annotated[list[Name], Field(max_length=2000)] | Pattern | None = None
    layers_to_transform: Annotated[list[int], Field(max_length=1000)] | int | None = None
    layers_pattern: Annotated[list[LayerList], Field(max_length=20)] | LayerList | None = None
    rank_pattern: Annotated[dict[Pattern, Rank], Field(max_length=2000)] | None = None
    alpha_pattern: Annotated[dict[Pattern, Alpha], Field(max_length=2000)] | None = None
    modules_to_save: Annotated[list[Name], Field(max_length=20)] | None = None
    use_rslora: bool = False
    use_dora: bool = False


@dataclass(frozen=True, slots=True)
class AdaptedLinear:
    """A linear module with its full name in the classifier, and its adapter's rank and alpha."""

    linear: Linear
    name: str
    rank: int
    alpha: float


def read_config(archive: AdapterArchive) -> AdapterConfig:
    """Read ``adapter_config.json``. Raises DataError that names the invalid field."""
    content = read_object(archive.find(CONFIG), CONFIG)
    try:
        config = AdapterConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"][:1]))
        raise DataError(
            f"{CONFIG}: {field} is {quote_value(content.get(field))}. {first['msg']}.", AGAIN
        ) from error
    if config.init_lora_weights not in INITIALIZATIONS:
        raise DataError(
            f"{CONFIG}: init_lora_weights is {quote_value(config.init_lora_weights)}, which is not"
            " supported because the adapter belongs to a base model with changed weights.",
            PLAIN_LORA,
        )
    for name, value in content.items():
        known = name in AdapterConfig.model_fields or name in WITHOUT_EFFECT
        if not known and not _is_neutral(value):
            raise DataError(
                f"{CONFIG}: {_shorten(name)} is {quote_value(value)}, which is not supported.",
                NOT_NEEDED,
            )
    return config


def resolve_modules(
    config: AdapterConfig, shape: ModelShape, encoder: str
) -> tuple[AdaptedLinear, ...]:
    """List the modules that PEFT adapts in the encoder's layers, with their rank and alpha.

    Raises DataError if there are none, or for fields that PEFT does not combine.
    """
    _require_combination(config)
    linears = {_complete(linear.name, encoder): linear for linear in (*shape.linears, *shape.outer)}
    _require_known_targets(config, shape, linears)
    is_target, is_excluded = _select_targets(config), _select_excluded(config)
    names = [
        name
        for name in linears
        if is_target(name) and not is_excluded(name) and not is_saved(name, config)
    ]
    if not names:
        raise DataError(
            f"{CONFIG}: target_modules is {quote_value(config.target_modules)}, which matches no"
            " module of the base model.",
            WRONG_BASE,
        )
    ranks = _match_patterns("rank_pattern", config.rank_pattern, names)
    alphas = _match_patterns("alpha_pattern", config.alpha_pattern, names)
    return tuple(
        AdaptedLinear(
            linears[name], name, ranks.get(name, config.r), alphas.get(name, config.lora_alpha)
        )
        for name in names
    )


def _complete(name: str, encoder: str) -> str:
    """Return the full name of a module of a checkpoint, which may have been saved without head."""
    return name if name.startswith(f"{encoder}.") else f"{encoder}.{name}"


def _require_combination(config: AdapterConfig) -> None:
    layers, pattern = config.layers_to_transform, config.layers_pattern
    if isinstance(config.target_modules, str) and (layers is not None or pattern is not None):
        raise DataError(
            f"{CONFIG}: layers_to_transform and layers_pattern need a list of target_modules, but"
            f" it is {quote_value(config.target_modules)}.",
            AGAIN,
        )
    if pattern and layers is None:
        raise DataError(f"{CONFIG}: layers_pattern needs layers_to_transform.", AGAIN)


def is_saved(name: str, config: AdapterConfig) -> bool:
    """Whether PEFT trains the module in full, so that it adapts neither it nor its parts."""
    saved = (*HEADS, *(config.modules_to_save or ()))
    return any(re.match(rf"(^|.*\.){module}($|\..*)", name) for module in saved)


def _require_known_targets(config: AdapterConfig, shape: ModelShape, names: Iterable[str]) -> None:
    """Raise DataError for a name of a module that no model of this family has.

    all-linear in PEFT also names parts of the head, which it does not adapt.
    """
    family = find_family(shape.model_type)
    assert family is not None, shape.model_type
    head = [name for name in (family.head.dense, family.head.output) if is_saved(name, config)]
    targets = config.target_modules if isinstance(config.target_modules, list) else []
    for target in targets:
        known = any(_ends_in(name, target) for name in (*names, *head))
        if not known and not is_saved(target, config):
            raise DataError(
                f"{CONFIG}: This model has no target module {target!r} in its encoder.",
                OTHER_MODULES,
            )


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _select_targets(config: AdapterConfig) -> Callable[[str], bool]:
    targets = config.target_modules
    if isinstance(targets, str):
        if targets.lower() == ALL_LINEAR:
            return lambda name: True
        return compile_pattern("target_modules", targets)
    return lambda name: (
        name in targets
        or (any(_ends_in(name, target) for target in targets) and _is_in_layers(config, name))
    )


def _select_excluded(config: AdapterConfig) -> Callable[[str], bool]:
    excluded = config.exclude_modules or []
    if isinstance(excluded, str):
        return compile_pattern("exclude_modules", excluded)
    return lambda name: any(_ends_in(name, part) for part in excluded)


def _is_in_layers(config: AdapterConfig, name: str) -> bool:
    layers, lists = config.layers_to_transform, config.layers_pattern or [r"[^.]*"]
    if layers is None or layers == []:
        return True
    lists = [lists] if isinstance(lists, str) else lists
    numbers = (re.match(rf"(?:^|.*?\.){part}\.(\d+)\.", name) for part in lists)
    number = next((int(match[1]) for match in numbers if match), None)
    return number in (layers if isinstance(layers, list) else [layers])


def _match_patterns(
    field: str, patterns: Mapping[str, T] | None, names: Sequence[str]
) -> dict[str, T]:
    """Map each name that a pattern matches to the value of the first such pattern."""
    values: dict[str, T] = {}
    if sum(not PLAIN.fullmatch(pattern) for pattern in patterns or ()) > MOST_EXPRESSIONS:
        raise DataError(
            f"{CONFIG}: {field} has more than {MOST_EXPRESSIONS} regular expressions.",
            "Write the names of the modules there.",
        )
    for pattern, value in (patterns or {}).items():
        matches = compile_pattern(field, pattern, anywhere=True)
        values |= {name: value for name in names if name not in values and matches(name)}
    return values


def compile_pattern(field: str, pattern: str, anywhere: bool = False) -> Callable[[str], bool]:
    """Return a function that matches a whole name, or with ``anywhere`` its last parts.

    Expressions of untrusted files are matched by pydantic's engine, which takes linear time and has
    no look-around. Raises DataError for an expression that it does not support.
    """
    whole = rf"^(?:(.*\.)?({pattern}))$" if anywhere else f"^(?:{pattern})$"
    if PLAIN.fullmatch(pattern):
        expression = re.compile(whole)
        return lambda name: expression.match(name) is not None
    try:
        if any(mark in pattern for mark in SET_OPERATIONS):
            raise SchemaError("set operation")
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
        adapter = TypeAdapter(Annotated[str, StringConstraints(pattern=whole)])
    except SchemaError as error:
        raise DataError(
            f"{CONFIG}: {field} contains {quote_value(pattern)}, which is not a supported regular"
            " expression.",
            "Write the names of the modules there.",
        ) from error

    def matches(name: str) -> bool:
        try:
            adapter.validate_python(name)
        except ValidationError:
            return False
        return True

    return matches


def choose_targets(
    config: AdapterConfig, shape: ModelShape, modules: Sequence[AdaptedLinear]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names that select exactly ``modules``: for ``RunConfig``, and for PEFT."""
    adapted = [module.linear for module in modules]
    listed = config.target_modules if isinstance(config.target_modules, list) else []
    given = (  # without the names of outer modules and of parts of the head
        target
        for target in dict.fromkeys(listed)
        if any(_ends_in(linear.name, target) for linear in shape.linears)
    )
    outer = tuple(linear.name for linear in adapted if linear in shape.outer)
    names = tuple(linear.name for linear in adapted)
    for targets in ((*given, *outer), (ALL_LINEAR, *outer), names):
        run_config = RunConfig(target_modules=targets)
        try:
            if list_target_modules(run_config, shape) == adapted:
                return targets, resolve_targets(run_config, shape)
        except ConfigError:
            continue
    raise DataError(f"{CONFIG}: target_modules selects modules with equal names.", WRONG_BASE)


def find_encoder_name(shape: ModelShape) -> str:
    """Return the name of the encoder in the classifier that transformers builds.

    Raises DataError for a type of model that no run can use.
    """
    family = find_family(shape.model_type)
    if family is None:
        raise DataError(f"LoRA Lab does not support the model type {shape.model_type!r}.")
    return family.checkpoint.prefix


def read_object(data: bytes, name: str) -> dict[str, object]:
    """Parse a JSON object, whose values are unchecked. Raises DataError."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name} is not valid JSON ({type(error).__name__}).", AGAIN) from error
    if not isinstance(content, dict):
        raise DataError(f"{name} is not a JSON object.", AGAIN)
    return content


def _is_neutral(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_neutral, value.values()))
    return value in NEUTRAL


def quote_value(value: object) -> str:
    """Quote an untrusted value on one line, shortened."""
    return _shorten(repr(value))


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}…"
