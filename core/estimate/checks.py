"""Checks of a configuration against its data and model, as findings with optional fixes.

Each rule yields findings. Errors prevent a start; warnings and infos explain. Applying a finding's
fix removes the finding, and applying fixes repeatedly terminates.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from core.config import ConfigFields, ConfigValue, RunConfig, find_display, name_field
from core.errors import ConfigError
from core.estimate.inputs import DataFacts, ModelFacts
from core.estimate.workload import four_bit_mb, whole_mb
from core.models.model_shape import Linear, list_target_modules
from core.translation import format_number, mark, translate, translate_plural


class Severity(StrEnum):
    """Severity of a finding; an error prevents the start."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def word(self) -> str:
        """The severity in the language of the visit."""
        return translate(
            {Severity.ERROR: mark("Error"), Severity.WARNING: mark("Warning")}.get(
                self, mark("Info")
            )
        )


@dataclass(frozen=True, slots=True)
class ConfigFinding:
    """A problem with ``field``, and the values that fix it, if any."""

    level: Severity
    field: str
    message: str
    fix: ConfigFields | None = None

    @property
    def fix_label(self) -> str:
        """Label of the button that applies the fix; empty without a fix."""
        parts = [
            translate(
                "{field} to {value}",
                field=translate(str(RunConfig.model_fields[name].title)),
                value=_written(name, value),
            )
            for name, value in (self.fix or {}).items()
        ]
        if not parts:
            return ""
        return translate("Set {changes}", changes=f" {translate('and')} ".join(parts))


def _written(name: str, value: ConfigValue) -> str:
    if isinstance(value, bool):
        return translate("on" if value else "off")
    if value == ():
        return translate("the model default")
    if value == 0 and name in ("train_rows", "test_rows"):
        return translate("all")
    if isinstance(value, int):
        return _count(value, find_display(name).unit)
    return format_number(value, "g") if isinstance(value, float) else str(value)


def _count(number: int, unit: str) -> str:
    if unit == "rows":
        return translate_plural("{n:,} row", "{n:,} rows", number)
    if unit == "tokens":
        return translate_plural("{n:,} token", "{n:,} tokens", number)
    if unit == "steps":
        return translate_plural("{n:,} step", "{n:,} steps", number)
    if unit == "epochs":
        return translate_plural("{n:,} epoch", "{n:,} epochs", number)
    return format_number(number, ",")


__all__ = ["ConfigFinding", "Severity", "apply_fix", "blocks", "check"]

USUAL_SCALE = 2.0  # alpha = 2 × rank: the scale that the learning rates below refer to
USUAL_RATE = 2e-3
# half and twice the usual range for LoRA with Adam, 2e-4 to 5e-3
SLOW_RATE, FAST_RATE = (
    1e-4,
    1e-2,
)
CUT_TAUGHT, CUT_WARNED = 0.01, 0.05  # proportions of truncated texts
EVALUATION_SPEEDUP = 3  # validating a row costs a third of training on it: no backward pass
MUCH_VALIDATION = 0.5  # fraction of the training time
MOST_TOKENS = 4096  # the upper bound of the form
LONG_RUN_ROWS = 500_000  # about 4 hours at 35 rows/s, the speed of 2 cores


def check(config: RunConfig, data: DataFacts, model: ModelFacts) -> list[ConfigFinding]:
    """Run all rules and return the findings, errors first."""
    findings = [finding for rule in RULES for finding in rule(config, data, model)]
    return sorted(findings, key=lambda finding: list(Severity).index(finding.level))


def blocks(findings: list[ConfigFinding]) -> bool:
    """Return whether one of the findings prevents a start."""
    return any(finding.level is Severity.ERROR for finding in findings)


def apply_fix(config: RunConfig, finding: ConfigFinding) -> RunConfig:
    """Return ``config`` with the finding's fix applied."""
    return RunConfig.model_validate({**config.model_dump(), **(finding.fix or {})})


def _model_is_there(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if not model.available:
        yield ConfigFinding(
            Severity.ERROR, "model", f"{model.id} is not available: {model.reason.rstrip('.')}."
        )


def _precision_suits_device(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if model.device != "cpu":
        return
    if config.precision == "fp16":
        yield ConfigFinding(
            Severity.ERROR,
            "precision",
            translate("fp16 needs a GPU, and this machine has none."),
            {"precision": "auto"},
        )
    if config.precision == "bf16":
        message = translate(
            "bf16 is faster than fp32 only on CPUs with AVX512-BF16 or AMX; on others it is up to"
            " four times slower. auto uses what a calibration measured."
        )
        yield ConfigFinding(Severity.WARNING, "precision", message, {"precision": "auto"})


def _four_bit_is_there(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if config.four_bit and model.no_four_bit:
        yield ConfigFinding(
            Severity.ERROR,
            "four_bit",
            translate("A 4-bit base model {reason}.", reason=translate(model.no_four_bit)),
            {"four_bit": False},
        )
    elif config.four_bit and model.shape is not None:
        whole, held = whole_mb(model.shape), four_bit_mb(model.shape)
        message = translate(
            "In 4 bits, the frozen layers take about {held:,.0f} MB of GPU memory instead of"
            " {whole:,.0f} MB; steps are slower.",
            held=held,
            whole=whole,
        )
        yield ConfigFinding(Severity.INFO, "four_bit", message)


def _targets_exist(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if model.shape is None:
        return
    try:
        adapters = list_target_modules(config, model.shape)
    except ConfigError as error:
        yield ConfigFinding(
            Severity.ERROR,
            "target_modules",
            str(error),
            {"target_modules": ()} if model.shape.linears else None,
        )
        return
    if not adapters:
        yield ConfigFinding(
            Severity.ERROR,
            "target_modules",
            translate("{model} has no linear layers to adapt.", model=model.id),
        )


def _rank_is_low(config: RunConfig, data: DataFacts, model: ModelFacts) -> Iterator[ConfigFinding]:
    width = min(
        (min(linear.inputs, linear.outputs) for linear in _adapters(config, model)), default=None
    )
    if width is None or config.rank <= width:
        return
    rank = 2 ** int(math.log2(max(1, width // 8)))
    message = translate(
        "Rank {rank:,} exceeds the width of the narrowest adapted layer ({width:,}): this adds more"
        " parameters than the layer has, without benefit.",
        rank=config.rank,
        width=width,
    )
    yield ConfigFinding(
        Severity.WARNING,
        "rank",
        message,
        {"rank": rank, "alpha": _usual_alpha(rank, config.rslora)},
    )


def _alpha_suits_rank(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    low, high = (math.sqrt(config.rank) if config.rslora else config.rank), 4 * config.rank
    if low / 2 <= config.alpha <= high * 2:
        return
    message = translate(
        "Alpha {alpha:g} at rank {rank} scales the adapter so weakly that it hardly learns;"
        " {low:.0f} to {high} is usual."
        if config.alpha < low
        else "Alpha {alpha:g} at rank {rank} scales the adapter so strongly that training becomes"
        " unstable; {low:.0f} to {high} is usual.",
        alpha=config.alpha,
        rank=config.rank,
        low=low,
        high=high,
    )
    yield ConfigFinding(
        Severity.WARNING, "alpha", message, {"alpha": _usual_alpha(config.rank, config.rslora)}
    )


def _learning_rate_suits_lora(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    scale = _scale(config)
    felt = config.learning_rate * scale / USUAL_SCALE
    if SLOW_RATE <= felt <= FAST_RATE:
        return
    effect = translate(
        "learn almost nothing in the given steps" if felt < SLOW_RATE else "probably diverge"
    )
    message = translate(
        "A learning rate of {rate:g} will {effect}. LoRA uses about 2e-4 to 5e-3, ten times full"
        " fine-tuning."
        if 0.5 <= scale / USUAL_SCALE <= 2
        else "With {symbol} = {scale:.3g}, a learning rate of {rate:g} acts like {felt:.2g} at the"
        " usual scale and will {effect}. LoRA uses about 2e-4 to 5e-3, ten times full fine-tuning.",
        rate=config.learning_rate,
        effect=effect,
        symbol="alpha/√rank" if config.rslora else "alpha/rank",
        scale=scale,
        felt=felt,
    )
    rate = float(f"{USUAL_RATE * USUAL_SCALE / scale:.0e}")
    fix: dict[str, ConfigValue] = {"learning_rate": rate}
    if not 1e-6 <= rate <= 0.1:
        fix = {"learning_rate": USUAL_RATE, "alpha": _usual_alpha(config.rank, config.rslora)}
    yield ConfigFinding(Severity.WARNING, "learning_rate", message, fix)


def _texts_fit(config: RunConfig, data: DataFacts, model: ModelFacts) -> Iterator[ConfigFinding]:
    limit = _most_tokens(model)
    if config.max_tokens > limit:
        message = translate(
            "{model} reads at most {limit:,} tokens, not {tokens:,}.",
            model=model.id,
            limit=limit,
            tokens=config.max_tokens,
        )
        yield ConfigFinding(
            Severity.ERROR, "max_tokens", message, {"max_tokens": limit} if limit >= 4 else None
        )
        return
    cut = data.cut_share(config.max_tokens)
    if cut <= CUT_TAUGHT:
        return
    message = translate(
        "{share:.1f} % of the training texts are longer than {tokens:,} tokens and will be"
        " truncated",
        share=cut * 100,
        tokens=config.max_tokens,
    )
    enough = min(limit, 8 * math.ceil(data.tokens_of(1 - CUT_TAUGHT) / 8))
    if enough <= config.max_tokens:
        limited = translate("{model} cannot read more.", model=model.id)
        yield ConfigFinding(Severity.INFO, "max_tokens", f"{message}; {limited}")
        return
    yield ConfigFinding(
        Severity.WARNING if cut > CUT_WARNED else Severity.INFO,
        "max_tokens",
        f"{message}.",
        {"max_tokens": enough},
    )


def _words_are_known(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if data.unknown and (message := data.unknown.describe(model.id)):
        yield ConfigFinding(Severity.WARNING, "model", message)


def _rows_are_there(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    for field, there in (
        ("train_rows", data.train_rows),
        ("validation_rows", data.validation_rows),
        ("test_rows", data.test_rows),
    ):
        requested = getattr(config, field)
        if requested > there:
            fix = {field: max(1, there)} if field == "validation_rows" else {field: 0}
            level = Severity.WARNING if field == "train_rows" else Severity.INFO
            useful = there or field != "validation_rows"
            yield ConfigFinding(
                level,
                field,
                translate(
                    "There are {there:,} {field}, not {requested:,}; all are used.",
                    there=there,
                    field=name_field(field),
                    requested=requested,
                ),
                fix if useful else None,
            )


def _rows_are_enough(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    rows = data.used_rows(config)
    if rows < data.classes:
        fix = (
            {"train_rows": min(data.train_rows, 50 * data.classes)}
            if data.train_rows >= data.classes
            else None
        )
        message = translate(
            "{rows:,} training rows are fewer than the {classes:,} classes, so at least one class"
            " is never seen.",
            rows=rows,
            classes=data.classes,
        )
        yield ConfigFinding(Severity.ERROR, "train_rows", message, fix)
    elif rows < config.batch_size:
        message = translate(
            "All {rows:,} training rows fit into one batch of {batch:,}: a single step per epoch.",
            rows=rows,
            batch=config.batch_size,
        )
        yield ConfigFinding(
            Severity.WARNING,
            "batch_size",
            message,
            {"batch_size": 2 ** int(math.log2(max(1, rows // 8)))},
        )


def _evaluation_fires(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    total = config.total_steps(data.used_rows(config))
    if config.evaluation_interval > max(total, 1):
        message = translate(
            "The run has only {steps:,} steps: with an evaluation interval of {interval:,}, none"
            " takes place before the end.",
            steps=total,
            interval=config.evaluation_interval,
        )
        yield ConfigFinding(
            Severity.WARNING,
            "evaluation_interval",
            message,
            {"evaluation_interval": max(1, total // 4)},
        )


def _validation_is_modest(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    trained = data.used_rows(config) * config.epochs
    total = config.total_steps(data.used_rows(config))
    rows = min(config.validation_rows, data.validation_rows)
    share = total // config.evaluation_interval * rows / (EVALUATION_SPEEDUP * max(trained, 1))
    if share <= MUCH_VALIDATION:
        return
    message = translate(
        "Validation takes about {times:.1f} times as long as training.", times=share
    )
    interval, fewer = max(config.evaluation_interval, total // 4, 1), max(1, trained // 8)
    fix: dict[str, ConfigValue] = (
        {"evaluation_interval": interval} if interval != config.evaluation_interval else {}
    )
    yield ConfigFinding(
        Severity.WARNING,
        "evaluation_interval",
        message,
        fix | ({"validation_rows": fewer} if fewer < rows else {}),
    )


def _warmup_is_felt(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    total = config.total_steps(data.used_rows(config))
    if config.warmup and round(config.warmup * total) == 0:
        message = translate(
            "A warm-up of {warmup:g} × {steps:,} steps is less than one step and has no effect.",
            warmup=config.warmup,
            steps=total,
        )
        yield ConfigFinding(Severity.INFO, "warmup", message, {"warmup": 0.0})


def _early_stopping_can_fire(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    before_end = (
        max(0, config.total_steps(data.used_rows(config)) - 1) // config.evaluation_interval
    )
    if config.early_stopping and before_end <= config.early_stopping:
        message = translate(
            "Only {validations:,} validations take place before the end, too few for early"
            " stopping after {patience:,} without improvement.",
            validations=before_end,
            patience=config.early_stopping,
        )
        yield ConfigFinding(Severity.WARNING, "early_stopping", message, {"early_stopping": 0})


def _dora_costs_time(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    if config.dora:
        message = translate(
            "DoRA multiplies with each adapted weight a second time at every step, so the run will"
            " be slower."
        )
        yield ConfigFinding(Severity.INFO, "dora", message, {"dora": False})


def _run_is_not_endless(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> Iterator[ConfigFinding]:
    rows = data.used_rows(config)
    if model.device != "cpu" or rows * config.epochs <= LONG_RUN_ROWS:
        return
    fix: dict[str, ConfigValue] = {"epochs": max(1, LONG_RUN_ROWS // rows)}
    if rows > LONG_RUN_ROWS:
        fix["train_rows"] = LONG_RUN_ROWS
    yield ConfigFinding(
        Severity.WARNING,
        "epochs",
        translate(
            "Training on {rows:,} rows takes many hours on a CPU.", rows=rows * config.epochs
        ),
        fix,
    )


Rule = Callable[[RunConfig, DataFacts, ModelFacts], Iterator[ConfigFinding]]
RULES: tuple[Rule, ...] = (
    _model_is_there,
    _precision_suits_device,
    _four_bit_is_there,
    _targets_exist,
    _texts_fit,
    _words_are_known,
    _rows_are_enough,
    _rows_are_there,
    _learning_rate_suits_lora,
    _rank_is_low,
    _alpha_suits_rank,
    _evaluation_fires,
    _validation_is_modest,
    _early_stopping_can_fire,
    _warmup_is_felt,
    _dora_costs_time,
    _run_is_not_endless,
)


def _scale(config: RunConfig) -> float:
    return config.alpha / (math.sqrt(config.rank) if config.rslora else config.rank)


def _usual_alpha(rank: int, rslora: bool) -> float:
    return round(USUAL_SCALE * (math.sqrt(rank) if rslora else rank))


def _most_tokens(model: ModelFacts) -> int:
    positions = model.shape.max_positions if model.shape else None
    return min(positions or MOST_TOKENS, MOST_TOKENS)


def _adapters(config: RunConfig, model: ModelFacts) -> list[Linear]:
    try:
        return list_target_modules(config, model.shape) if model.shape else []
    except ConfigError:
        return []  # another rule reports it
