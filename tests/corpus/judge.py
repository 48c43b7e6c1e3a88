"""Judge the result of a reader for a case."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.corpus.case import Ask, Case, Counts, Exact, LeftOut, Outcome, Overrides, Refused, Rows

NAMED_LINES = 5  # a report may name only the first lines of each reason


class Verdict(StrEnum):
    """The five ways in which a reader can answer."""

    RIGHT = "right"
    SILENT = "wrong without a word"
    UNSAID = "right rows, but the report lacks something"
    REFUSED = "refused, or refused without the reason"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows that a reader reports as left out: reason, number, and the lines it names."""

    reason: str
    rows: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a reader: rows (of each split) in order, or the message of its error."""

    parts: tuple[Rows, ...] = field(default=(), repr=False)
    dropped: tuple[Dropped, ...] = ()
    report: str = ""
    error: str | None = None
    crashed: bool = False


Again = Callable[[Overrides], Answer]


def judge(case: Case, answer: Answer, again: Again) -> Verdict:
    """Compare an answer with the outcomes of a case; ``again`` reads it with other options."""
    if answer.crashed:
        return Verdict.CRASHED
    if any(_matches(outcome, answer, again) for outcome in case.outcomes):
        return Verdict.RIGHT
    if answer.error is not None:
        return Verdict.REFUSED
    rows_right = any(_rows_match(outcome, answer.parts) for outcome in case.outcomes)
    return Verdict.UNSAID if rows_right else Verdict.SILENT


def rows_right(case: Case, parts: tuple[Rows, ...]) -> bool:
    """Whether the rows alone are those of an outcome, whatever the reader says about them."""
    return any(_rows_match(outcome, parts) for outcome in case.outcomes)


def _matches(outcome: Outcome, answer: Answer, again: Again) -> bool:
    match outcome:
        case Refused(fragments):
            return answer.error is not None and _contains(answer.error, fragments)
        case Ask(fragments, readings):
            return (
                answer.error is not None
                and _contains(answer.error, fragments)
                and all(_same_rows(rows, again(options).parts) for options, rows in readings)
            )
        case Exact(_, left_out, mentions):
            spoken = _contains(answer.report, mentions) and _reported(left_out, answer.dropped)
        case Counts(_, _, left_out):
            spoken = _reported(left_out, answer.dropped)
    return answer.error is None and spoken and _rows_match(outcome, answer.parts)


def _rows_match(outcome: Outcome, parts: tuple[Rows, ...]) -> bool:
    match outcome:
        case Exact(rows):
            return _same_rows(rows, parts)
        case Counts(classes, texts):
            every_row = [row for part in parts for row in part]
            return Counter(label for label, _ in every_row) == dict(classes) and set(texts) <= {
                text for _, text in every_row
            }
        case _:
            return False


def _same_rows(rows: Rows, parts: tuple[Rows, ...]) -> bool:
    """Whether the parts hold exactly ``rows``, each part in their order."""
    together = Counter(row for part in parts for row in part)
    return together == Counter(rows) and all(_in_order(part, rows) for part in parts)


def _in_order(part: Rows, rows: Rows) -> bool:
    remaining = iter(rows)
    return all(row in remaining for row in part)


def _reported(expected: tuple[LeftOut, ...], dropped: tuple[Dropped, ...]) -> bool:
    """Whether every row that is left out is counted under its reason and its line named."""
    required = sum(len(item.lines) for item in expected if not item.optional)
    possible = sum(len(item.lines) for item in expected)
    if not required <= sum(item.rows for item in dropped) <= possible:
        return False
    return all(
        len(item.lines) >= min(item.rows, NAMED_LINES)
        and all(_expects(expected, item.reason, line) for line in item.lines)
        for item in dropped
    )


def _expects(expected: tuple[LeftOut, ...], reason: str, line: int) -> bool:
    return any(line in item.lines and item.reason.lower() in reason.lower() for item in expected)


def _contains(message: str, fragments: Iterable[str]) -> bool:
    return all(fragment.lower() in message.lower() for fragment in fragments)
