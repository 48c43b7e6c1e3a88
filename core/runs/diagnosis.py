"""Diagnose a finished run: one sentence with one action, from its curves and predictions.

The first of ``RULES`` that applies is the diagnosis. Thresholds were measured on the gallery's
runs, which fail on purpose, and on those of ``benchmarks/first_model.py`` and
``benchmarks/failing_runs.py``.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import ceil, sqrt

import numpy as np

from core.config import ConfigFields
from core.errors import ArtifactDamaged
from core.estimate.checks import USUAL_RATE
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion
from core.evaluation.significance import compute_fisher_p_value
from core.runs.evidence import Evidence, compute_skill, read_evidence
from core.runs.requests import read_proposal
from core.runs.run import Run, RunResult, SplitScores
from core.runs.run_baselines import BaselineRequest
from core.storage.database import Metric
from core.storage.job import FailureCause, JobKind, JobState
from core.storage.store import Store
from core.translation import mark

NO_SKILL = 0.15  # of 0 (chance) to 1
UNDERFIT = 0.5  # of the loss of guessing: training texts are not learned
LEARNED = 0.2  # of the loss of guessing: training texts are learned by heart
FELL = 0.97  # of the first loss: it has hardly fallen
# A rise of the validation loss: factor of the best, and share of the loss of guessing. Runs that
# classify nearly all texts correctly rise from 0.05 to 0.08 nats.
RISEN, RISEN_SHARE = 1.25, 0.1
IMPROVING = 0.1  # of the validation loss, in the second half
ONE_CLASS_SHARE = 0.98  # of the predictions, from which only one class is predicted
MUCH_CUT = 0.25  # of the texts
COVERED = 0.95  # of the texts, with the proposed limit of tokens
FEW_STEPS, FEW_PER_CLASS, ENOUGH_STEPS = 40, 5, 500
SMALL_RANK = 2
SHARED = 0.05  # of the test texts are also training texts
MANY_ERRORS, RANDOM_ERRORS = 20, 0.7  # errors, and how well confidence separates them
USUAL_RANK = 16
MOST_EPOCHS, MOST_TOKENS = 100, 512
CHECK_DATA = mark("Check the data on Quality.")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Problem of a run. ``changes`` are the values of the configuration that a new run
    should have; if there are none, ``action`` concerns the data.
    """

    id: str
    sentence: str
    action: str
    changes: ConfigFields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rule:
    """A problem: when it applies to a run, and what it says about it."""

    id: str
    applies: Callable[[Evidence], bool]
    explain: Callable[[Evidence], str]
    action: str
    change: Callable[[Evidence], ConfigFields] = lambda evidence: {}

    def diagnose(self, evidence: Evidence) -> Diagnosis | None:
        """Return what the rule says about the run; None if it does not apply, or if all changes
        that it proposes are values that the run already has.
        """
        if not self.applies(evidence):
            return None
        changes = self.change(evidence)
        if changes and all(
            getattr(evidence.config, name) == value for name, value in changes.items()
        ):
            return None
        return Diagnosis(self.id, self.explain(evidence), self.action, changes)


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """Return the diagnosis of a finished run; None if no rule applies."""
    return next((problem for rule in RULES if (problem := rule.diagnose(evidence))), None)


def _is_guessing(evidence: Evidence) -> bool:
    return evidence.skill < NO_SKILL


def _is_underfit(evidence: Evidence) -> bool:
    return evidence.end_loss > UNDERFIT * evidence.guess_loss


def _rate_is_high(evidence: Evidence) -> bool:
    if evidence.rate_is_high and _is_underfit(evidence):
        return True
    return _is_guessing(evidence) and evidence.peak_loss > evidence.high_loss


def _explain_high_rate(evidence: Evidence) -> str:
    if evidence.peak_loss <= evidence.high_loss:
        sentence = mark(
            "The training loss stays at {run.end_loss:.2f}: the learning rate"
            " {run.config.learning_rate:g} is too high."
        )
    else:
        sentence = mark(
            "The training loss rose to {run.peak_loss:.2f}, above that of guessing"
            " ({run.guess_loss:.2f}), and the model did not recover: the learning rate"
            " {run.config.learning_rate:g} is too high."
        )
    return sentence.format(run=evidence)


def lower_rate(evidence: Evidence) -> ConfigFields:
    """Propose a tenth of the learning rate, at most the usual one, and a warm-up."""
    rate = min(evidence.config.learning_rate / 10, USUAL_RATE)
    return {"learning_rate": float(f"{rate:.1g}"), "warmup": max(0.05, evidence.config.warmup)}


RATE_TOO_HIGH = Rule(
    "rate too high",
    _rate_is_high,
    _explain_high_rate,
    mark("Train again with a lower learning rate."),
    lower_rate,
)


def _rate_is_low(evidence: Evidence) -> bool:
    return evidence.rate_is_low and _is_underfit(evidence)


def _explain_low_rate(evidence: Evidence) -> str:
    return mark(
        "The training loss fell only from {run.start_loss:.2f} to {run.end_loss:.2f}: the learning"
        " rate {run.config.learning_rate:g} is too low."
    ).format(run=evidence)


def raise_rate(evidence: Evidence) -> ConfigFields:
    """Propose the usual learning rate, at the scale of the adapter."""
    rate = USUAL_RATE * evidence.config.learning_rate / evidence.felt_rate
    return {"learning_rate": float(f"{rate:.1g}")}


RATE_TOO_LOW = Rule(
    "rate too low",
    _rate_is_low,
    _explain_low_rate,
    mark("Train again with the usual learning rate."),
    raise_rate,
)


def _has_few_steps(evidence: Evidence) -> bool:
    few = max(FEW_STEPS, FEW_PER_CLASS * len(evidence.classes))
    return _is_underfit(evidence) and evidence.steps < few


def _explain_few_steps(evidence: Evidence) -> str:
    return mark(
        "The run ended while it was still learning: after {run.steps:,} steps the training loss is"
        " {run.end_loss:.2f}, and guessing has {run.guess_loss:.2f}."
    ).format(run=evidence)


def _train_longer(evidence: Evidence) -> ConfigFields:
    config = evidence.config
    if config.epochs >= MOST_EPOCHS:
        return {"epochs": config.epochs}
    per_epoch = evidence.steps_per_epoch
    steps = max(ENOUGH_STEPS, 2 * evidence.steps)
    epochs = min(MOST_EPOCHS, max(config.epochs + 1, ceil(steps / per_epoch)))
    return {"epochs": epochs, "evaluation_interval": max(1, epochs * per_epoch // 10)}


TOO_FEW_STEPS = Rule(
    "too few steps",
    _has_few_steps,
    _explain_few_steps,
    mark("Train again with more epochs."),
    _train_longer,
)


def _adapter_is_small(evidence: Evidence) -> bool:
    config = evidence.config
    small = config.rank <= SMALL_RANK or len(config.target_modules) == 1
    return small and config.target_modules != ("all-linear",) and _is_underfit(evidence)


def _explain_small_adapter(evidence: Evidence) -> str:
    modules = evidence.config.target_modules
    sentence = (
        mark(
            "The adapter is too small to learn these texts in {run.steps:,} steps: rank"
            " {run.config.rank:d} on {module} only, and the training loss is still"
            " {run.end_loss:.2f}."
        )
        if len(modules) == 1
        else mark(
            "The adapter is too small to learn these texts in {run.steps:,} steps: rank"
            " {run.config.rank:d}, and the training loss is still {run.end_loss:.2f}."
        )
    )
    return sentence.format(run=evidence, module="".join(modules[:1]))


def _enlarge_adapter(evidence: Evidence) -> ConfigFields:
    rank = max(USUAL_RANK, evidence.config.rank)
    return {"rank": rank, "alpha": 2 * rank, "target_modules": ()}


SMALL_ADAPTER = Rule(
    "small adapter",
    _adapter_is_small,
    _explain_small_adapter,
    mark("Train again with the usual rank and modules."),
    _enlarge_adapter,
)


def _is_one_class(evidence: Evidence) -> bool:
    return _is_guessing(evidence) and evidence.top_class[1] >= ONE_CLASS_SHARE


def explain_one_class(evidence: Evidence) -> str:
    """Name the class that nearly all texts are predicted as."""
    name, predicted = evidence.top_class
    return mark(
        "{predicted:.0f} % of the texts are predicted as {name!r}, which is the class of"
        " {share:.0f} %: the model has not learned the other classes."
    ).format(name=name, predicted=predicted * 100, share=evidence.top_class_share * 100)


def _labels_are_random(evidence: Evidence) -> bool:
    tfidf = evidence.tfidf
    return _is_guessing(evidence) and (tfidf is None or compute_skill(tfidf) < NO_SKILL)


def _explain_random_labels(evidence: Evidence) -> str:
    return (
        mark(
            "The model is hardly better than guessing although it learned the training texts by"
            " heart: the labels of the training texts do not follow from the texts."
        )
        if _is_learned(evidence)
        else mark(
            "The model is hardly better than guessing: the labels of the training texts do not"
            " follow from the texts."
        )
    )


LABELS_DO_NOT_FOLLOW = Rule(
    "labels do not follow", _labels_are_random, _explain_random_labels, CHECK_DATA
)


def _explain_guessing(evidence: Evidence) -> str:
    return mark(
        "The model is hardly better than guessing: TF-IDF reaches {tfidf} on the test texts."
    ).format(tfidf=_percent(evidence.tfidf))


def _is_learned(evidence: Evidence) -> bool:
    return evidence.end_loss < LEARNED * evidence.guess_loss


def _is_leaked(evidence: Evidence) -> bool:
    """Return whether test texts are among the training texts. Without a count, they do better than
    validation texts although the model learned by heart.
    """
    test, validation = evidence.test, evidence.validation
    if test is None or validation is None:
        return False
    if evidence.shared_test_texts is not None:
        return evidence.shared_test_texts > SHARED * len(test)
    if not (_is_learned(evidence) and _has_risen(evidence)):
        return False
    gap = test.scores.accuracy.value - validation.scores.accuracy.value
    return gap > 0.05 and _loss_z(validation, test) > 1.64  # one-sided, 5 %


def _loss_z(first: Predictions, second: Predictions) -> float:
    """Return the difference of the mean losses in standard errors."""
    variance = sum(
        float(each.loss.var(ddof=1)) / len(each) if len(each) > 1 else np.inf
        for each in (first, second)
    )
    return (first.mean_loss - second.mean_loss) / sqrt(variance) if variance > 0 else 0.0


def _explain_leak(evidence: Evidence) -> str:
    if evidence.shared_test_texts is not None and evidence.test is not None:
        return mark(
            "{shared:,} of {n:,} test texts are also training texts: the test accuracy is too high."
        ).format(shared=evidence.shared_test_texts, n=len(evidence.test))
    return mark(
        "Test texts are classified better ({test}) than validation texts ({validation}) by a model"
        " that learned its training texts by heart: test texts are probably among the training"
        " texts."
    ).format(test=_percent(evidence.test), validation=_percent(evidence.validation))


LEAK = Rule("leak", _is_leaked, _explain_leak, CHECK_DATA)


def _percent(predictions: Predictions | None) -> str:
    assert predictions is not None
    return f"{predictions.scores.accuracy.value * 100:.1f} %"


def _test_is_below(evidence: Evidence) -> bool:
    if evidence.test is None or evidence.validation is None:
        return False
    test, validation = (each.scores.accuracy for each in (evidence.test, evidence.validation))
    return _is_below(test, validation) and validation.value - test.value > 0.05


def _is_below(first: Proportion, second: Proportion) -> bool:
    p_value = compute_fisher_p_value(first.hits, first.n, second.hits, second.n)
    return first.value < second.value and p_value < 0.005


def _test_is_above(evidence: Evidence) -> bool:
    if evidence.test is None or evidence.validation is None:
        return False
    test, validation = (each.scores.accuracy for each in (evidence.test, evidence.validation))
    higher = _is_below(validation, test) or _loss_z(evidence.validation, evidence.test) > 2.58
    return higher and test.value - validation.value > 0.05


def _explain_test_above(evidence: Evidence) -> str:
    return mark(
        "Test accuracy ({test}) is far above validation accuracy ({validation}): labels of training"
        " texts are doubtful, or test texts are easier."
    ).format(test=_percent(evidence.test), validation=_percent(evidence.validation))


TEST_ABOVE_VALIDATION = Rule(
    "test above validation", _test_is_above, _explain_test_above, CHECK_DATA
)


def _explain_test_below(evidence: Evidence) -> str:
    return mark(
        "Test accuracy ({test}) is far below validation accuracy ({validation}): validation texts"
        " resemble training texts, or the test texts come from another source."
    ).format(test=_percent(evidence.test), validation=_percent(evidence.validation))


TEST_BELOW_VALIDATION = Rule(
    "test below validation", _test_is_below, _explain_test_below, CHECK_DATA
)


def _is_cut(evidence: Evidence) -> bool:
    return evidence.cut_share > MUCH_CUT and not _is_good(evidence)


def _is_good(evidence: Evidence) -> bool:
    paired = evidence.against_tfidf
    better = paired is not None and paired.interval[0] > 0
    return better or evidence.skill > 0.9


def _explain_cut(evidence: Evidence) -> str:
    return mark(
        "{share:.0f} % of the texts are longer than {limit:d} tokens and were truncated."
    ).format(share=evidence.cut_share * 100, limit=evidence.config.max_tokens)


def _raise_tokens(evidence: Evidence) -> ConfigFields:
    lengths = evidence.token_lengths
    covering = int(lengths[int(COVERED * (len(lengths) - 1))])
    limit = min(MOST_TOKENS, evidence.most_positions or MOST_TOKENS)
    return {"max_tokens": max(evidence.config.max_tokens, min(limit, 8 * ceil(covering / 8)))}


TRUNCATED_TEXTS = Rule(
    "truncated texts", _is_cut, _explain_cut, mark("Train again with longer texts."), _raise_tokens
)


def _has_risen(evidence: Evidence) -> bool:
    return bool(evidence.validations) and has_risen(evidence, evidence.validations[-1])


def has_risen(evidence: Evidence, validation: Metric) -> bool:
    """Return whether the loss of a validation is well above that of the best one."""
    best = evidence.best_validation
    assert best is not None
    rise = validation.loss - best.loss
    return rise > max((RISEN - 1) * best.loss, RISEN_SHARE * evidence.guess_loss)


def _is_worse_than_tfidf(evidence: Evidence) -> bool:
    return evidence.against_tfidf is not None and evidence.against_tfidf.interval[1] < 0


def _explain_tfidf(evidence: Evidence) -> str:
    paired = evidence.against_tfidf
    assert paired is not None
    return mark(
        "The run is worse than TF-IDF: TF-IDF reaches {tfidf} on the test texts, {points:.1f}"
        " points more."
    ).format(tfidf=_percent(evidence.tfidf), points=-paired.difference * 100)


def _learn_more(evidence: Evidence) -> ConfigFields:
    return {**_train_longer(evidence), "target_modules": ("all-linear",), "learning_rate": 1e-3}


WORSE_THAN_TF_IDF = Rule(
    "worse than TF-IDF",
    _is_worse_than_tfidf,
    _explain_tfidf,
    mark("Train again with more epochs and all linear layers."),
    _learn_more,
)


ONE_CLASS = Rule(
    "one class",
    _is_one_class,
    explain_one_class,
    mark("Train again with more epochs and all linear layers."),
    _learn_more,
)


GUESSING = Rule(
    "guessing",
    _is_guessing,
    _explain_guessing,
    mark("Train again with more epochs and all linear layers."),
    _learn_more,
)


def _is_overfit(evidence: Evidence) -> bool:
    best = evidence.best_validation
    if best is None or not (_is_learned(evidence) and _has_risen(evidence)):
        return False
    above_guessing = evidence.validations[-1].loss > evidence.guess_loss
    return above_guessing or not _is_good(evidence)


def explain_overfitting(evidence: Evidence) -> str:
    """Name the step of the lowest loss, the rise since then, and the step of the stored adapter."""
    best, last = evidence.best_validation, evidence.validations[-1]
    assert best is not None
    stored = max((each.step for each in evidence.validations if each.best), default=best.step)
    return mark(
        "Overfitting: since step {best.step:,} the validation loss has risen from {best.loss:.2f}"
        " to {last.loss:.2f}, while the training loss is {run.end_loss:.2f}. At step"
        " {last.step:,} the best adapter is that of step {stored:,}."
    ).format(run=evidence, best=best, last=last, stored=stored)


def _stop_earlier(evidence: Evidence) -> ConfigFields:
    config, best = evidence.config, evidence.best_validation
    assert best is not None
    epochs = max(1, ceil(1.5 * best.step / evidence.steps_per_epoch))
    if epochs < config.epochs:
        return {"epochs": epochs}
    return {"early_stopping": min(3, config.early_stopping or 3)}


OVERFITTING = Rule(
    "overfitting",
    _is_overfit,
    explain_overfitting,
    mark("Train again with fewer epochs or early stopping."),
    _stop_earlier,
)


def _is_improving(evidence: Evidence) -> bool:
    return _is_underfit(evidence) and evidence.loss_gain() > IMPROVING


STILL_IMPROVING = Rule(
    "still improving",
    _is_improving,
    lambda evidence: mark(
        "The run ended while it was still improving: the validation loss fell by {gain:.0f} % in"
        " the second half."
    ).format(gain=evidence.loss_gain() * 100),
    mark("Train again with more epochs."),
    _train_longer,
)


def _labels_are_doubtful(evidence: Evidence) -> bool:
    independent = evidence.errors >= MANY_ERRORS and evidence.error_ranking < RANDOM_ERRORS
    # a model that overfits is sure of its errors too
    return independent and not _is_guessing(evidence) and not _is_overfit(evidence)


DOUBTFUL_LABELS = Rule(
    "doubtful labels",
    _labels_are_doubtful,
    lambda evidence: mark(
        "The model is as sure of its errors as of its correct predictions: many labels are"
        " doubtful."
    ),
    CHECK_DATA,
)


def _has_plateaued(evidence: Evidence) -> bool:
    return _is_underfit(evidence) and not _is_good(evidence) and evidence.steps >= ENOUGH_STEPS / 2


def _explain_plateau(evidence: Evidence) -> str:
    return mark(
        "The training loss stays at {run.end_loss:.2f}, and guessing has {run.guess_loss:.2f}: the"
        " classes overlap, or labels are doubtful."
    ).format(run=evidence)


OVERLAPPING_CLASSES = Rule("overlapping classes", _has_plateaued, _explain_plateau, CHECK_DATA)


RULES = (
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
    TOO_FEW_STEPS,
    LEAK,
    SMALL_ADAPTER,
    TRUNCATED_TEXTS,
    ONE_CLASS,
    LABELS_DO_NOT_FOLLOW,
    GUESSING,
    TEST_BELOW_VALIDATION,
    TEST_ABOVE_VALIDATION,
    DOUBTFUL_LABELS,
    STILL_IMPROVING,
    WORSE_THAN_TF_IDF,
    OVERFITTING,
    OVERLAPPING_CLASSES,
)


def diagnose_run(store: Store, run: Run) -> Diagnosis | None:
    """Diagnose a finished run, or one that diverged; None for others. Raises ArtifactDamaged if the
    record is damaged.
    """
    job = run.job
    if job.state is JobState.FAILED and job.cause == FailureCause.DIVERGED:
        proposed = read_proposal(job)
        values = {name: getattr(proposed, name) for name in job.proposal} if proposed else {}
        return Diagnosis("diverged", job.message, job.fix, values)
    if run.imported or job.state is not JobState.COMPLETED:
        return None
    return diagnose(read_evidence(store, run))


def describe_diagnosis(diagnosis: Diagnosis | None) -> dict[str, object]:
    """Describe a diagnosis as JSON values."""
    if diagnosis is None:
        return {"id": "", "sentence": "No problem found.", "action": "", "changes": {}}
    return {**asdict(diagnosis), "changes": dict(diagnosis.changes)}


def conclude(store: Store, run: Run) -> RunResult:
    """Return the part of a run's result that lists show: diagnosis and accuracy of TF-IDF."""
    evidence = read_evidence(store, run)
    diagnosis = diagnose(evidence)
    part = RunResult(diagnosis=diagnosis.id if diagnosis else "")
    if evidence.tfidf is None:
        return part
    return RunResult(diagnosis=part.diagnosis, tfidf=SplitScores.of(evidence.tfidf))


def update_conclusions(store: Store, request: BaselineRequest) -> None:
    """Update the result of the finished runs that have these baselines."""
    for job in store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED]):
        run = Run.of(store, job)
        try:
            own = BaselineRequest.of(run.fingerprint, run.config, run.recipe)
            if (
                own.fingerprint != request.fingerprint
                or own.model_copy(update={"recipe": request.recipe}) != request
            ):
                continue
            result = {**job.result, **conclude(store, run).to_dict()}
        except ArtifactDamaged:  # the list of runs reports it
            continue
        store.replace_scores(job, json.dumps(result), job.request_json, job.fingerprint)
