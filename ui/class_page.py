"""The Class page: the leaderboard, and the teacher's controls."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from core.access import MACHINE_OWNER
from core.config import find_bounds
from core.errors import ArtifactDamaged
from core.lesson import open_lesson
from core.lesson.lesson_file import Spoiler
from core.people.classroom import (
    Ending,
    Rules,
    change_rules,
    clear_class,
    read_rules,
    recover_rules,
    replace_code,
)
from core.runs.compared_runs import list_hidden_notes
from core.runs.leaderboard import (
    LeaderboardRow,
    read_final_scores,
    read_leaderboard,
)
from core.runs.run import Run
from core.storage import accounts
from core.storage.store import Store
from core.translation import LANGUAGES, mark, translate, translate_plural
from ui import navigation
from ui.classroom import final_test, people, projector
from ui.lesson import hiding
from ui.session import visitors
from ui.session.error_boundary import boundary, show
from ui.text import format_age
from ui.widgets import disputed_labels, tables

MOST_COMPARED = 10
# the others are rarely changed
FIRST_RULES = ("minutes", "open", "names", "language", "hidden_percent")
CHOSEN = "class-chosen"  # ids of the selected runs
REFRESH_SECONDS = 10.0
ENDINGS = {
    Ending.KEEP: mark("Keep them on this page"),
    Ending.ARCHIVE: mark(
        "Archive them: only you find them, under Runs, and this page starts empty"
    ),
    Ending.DELETE: mark("Delete them; runs that were kept from earlier classes stay"),
}
UNDISPUTED = mark("Without disputed")
PER_CENT = ("Accuracy", UNDISPUTED, "Lower bound", "Guess")  # columns of the board


def open_rules(store: Store) -> Rules:
    """Return the rules of the class; if they cannot be read, a teacher gets the error and
    rules to save instead. Raises ArtifactDamaged for others.
    """
    try:
        return read_rules(store)
    except ArtifactDamaged as error:
        if not store.visitor.is_admin:
            raise
        show(error)
        rules, hidden_known = recover_rules(store)
        if not hidden_known:
            st.warning(
                translate(
                    "Whether the class has a hidden final test cannot be read. If it has one, set"
                    " its size again before you save: other texts are hidden then, and 0 hides"
                    " none."
                ),
                icon=":material/visibility_off:",
            )
        return rules


def draw_live(store: Store) -> None:
    """Draw the leaderboard, which is updated on its own."""
    st.fragment(_draw_leaderboard, run_every=REFRESH_SECONDS)(store)


def _draw_leaderboard(store: Store) -> None:
    with boundary(), visitors.show_live(store, _read_board) as board:
        hiding.stop_if_hidden(store, Spoiler.RESULTS, Spoiler.GUESSES, Spoiler.PARAMETERS)
        scores = read_final_scores(board.rules, board.lines)
        final_test.draw(store, board.rules, scores, board.notes)
        draw(board.lines, board.undisputed)


@dataclass(frozen=True, slots=True)
class Board:
    """The leaderboard, with accuracies in per cent without disputed labels, and what is hidden."""

    rules: Rules
    lines: list[LeaderboardRow]
    notes: Sequence[str]
    undisputed: list[float | None]
    hidden: Collection[Spoiler]


def _read_board(store: Store) -> Board:
    rules = read_rules(store)  # the test may have been revealed since
    lines = read_leaderboard(store, rules)
    runs = [line.run for line in lines]
    return Board(
        rules,
        lines,
        list_hidden_notes(store, [run.job for run in runs]),
        _score_undisputed(store, runs),
        open_lesson.find_hidden(store),
    )


def draw(lines: list[LeaderboardRow], undisputed: list[float | None]) -> None:
    """Draw the runs, best first, with buttons to compare selected runs and to download the
    table.
    """
    if not lines:
        st.markdown(f"#### {translate('No finished runs in this class yet.')}")
        st.caption(
            translate(
                "Start one under New run. It appears here after its scoring on the test texts."
            )
        )
        return
    table = pd.DataFrame([_row(line) for line in lines])
    if any(accuracy is not None for accuracy in undisputed):
        table.insert(list(table).index("±") + 1, UNDISPUTED, undisputed)
    chosen = _choose_runs(table, [line.run.id for line in lines])
    if len(lines) > 1:
        st.caption(
            translate(
                "Too close to call: the 95 % interval overlaps with that of the first run, so other"
                " test texts might reverse the order."
            )
        )
    with st.container(horizontal=True):
        if st.button(
            translate("Compare selected runs"),
            key="class-compare",
            disabled=not 2 <= len(chosen) <= MOST_COMPARED,
            icon=":material/compare_arrows:",
        ):
            navigation.open_page(navigation.COMPARE, compared=",".join(chosen))
        st.download_button(
            translate("Download table"),
            partial(tables.write_csv, table.rename(columns=translate)),
            "class.csv",
            "text/csv",
            key="class-csv",
            on_click="ignore",
            icon=":material/download:",
        )


def make_table_key(runs: Sequence[str]) -> str:
    """Return the key of a table with these runs in this order.

    A browser selects rows by number, which is another run when the order has changed.
    """
    return f"class-table-{hashlib.sha256(' '.join(runs).encode()).hexdigest()[:12]}"


def _choose_runs(table: pd.DataFrame, runs: list[str]) -> list[str]:
    """Draw the table and return the ids of the selected runs, which stay so in another order."""
    selected = [run for run in st.session_state.get(CHOSEN, []) if run in runs]
    columns = _columns()
    shown = table.assign(
        **{name: pd.to_numeric(table[name]) / 100 for name in PER_CENT if name in table}
    )
    rows = st.dataframe(
        tables.round_numbers(shown, columns),
        key=make_table_key(runs),
        hide_index=True,
        height=tables.compute_height(len(table), 20),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [runs.index(run) for run in selected]}},
        column_config=columns,
        placeholder="–",
        alt=translate_plural(
            "{n:,} finished run of the class",
            "{n:,} finished runs of the class, the highest lower bound first",
            len(table),
        ),
    )["selection"]["rows"]
    chosen = [runs[row] for row in rows if row < len(runs)]
    st.session_state[CHOSEN] = chosen
    return chosen


def _score_undisputed(store: Store, runs: Sequence[Run]) -> list[float | None]:
    """Return the accuracies in per cent without the labels that admins dispute, which are the same
    for all visitors; None for a run of which no scored text is disputed.
    """
    admin = store.for_visitor(MACHINE_OWNER)
    marks = {
        fingerprint: disputed_labels.read_of_data(admin, fingerprint)
        for fingerprint in {run.data_fingerprint for run in runs}
    }
    accuracies = []
    for run in runs:
        try:
            undisputed = disputed_labels.score(run, marks[run.data_fingerprint])
        except ArtifactDamaged:  # the pages of the run report the damaged table
            undisputed = None
        accuracies.append(undisputed.scores.accuracy.value * 100 if undisputed else None)
    return accuracies


def draw_teacher(store: Store, rules: Rules) -> None:
    """Draw how to join, the rules, the people, and the end of the class."""
    projector.draw_joining(store)
    with (
        st.container(border=True, key="teacher"),
        st.container(horizontal=True, vertical_alignment="center"),
    ):
        projector.draw_switch()
        if visitors.load_sign_in().is_configured:  # a provider replaces the class code
            st.markdown(f"#### {translate('Students sign in')}", width="content")
        else:
            _draw_wrong_tries(store)
        with st.popover(translate("Rules"), icon=":material/rule:", key="rules"):
            _draw_rules(store, rules)
        if rules.is_hiding:
            final_test.draw_reveal(store)
        with st.popover(translate("Activity log"), icon=":material/history:", key="audit"):
            _draw_audit(store)
        with (
            st.popover(translate("End the class"), icon=":material/restart_alt:", key="reset"),
            boundary(),
        ):
            _draw_end(store)
    people.draw(store)


def _draw_end(store: Store) -> None:
    st.text(
        translate(
            "Students are signed out, their keys stop working, and queued runs are removed. What"
            " happens to their finished runs?"
        )
    )
    ending = st.radio(
        translate("Finished runs"),
        list(Ending),
        key="ending",
        format_func=lambda choice: translate(ENDINGS[choice]),
    )
    st.caption(translate("A backup is one file with all runs and the keys of the students."))
    label = translate("Back up all runs first")
    navigation.link(navigation.RUNS, label, icon=":material/folder_zip:")
    sure = ending != Ending.DELETE or st.checkbox(
        translate("Delete them for good"), key="ending-sure"
    )
    if st.button(translate("End class"), key="reset-confirm", type="primary", disabled=not sure):
        clear_class(store, Ending(ending or Ending.KEEP))
        open_lesson.end_lesson(store)
        st.rerun()


def _draw_wrong_tries(store: Store) -> None:
    """Draw the wrong codes and keys, and the button that replaces the class code."""
    wrong, now = accounts.list_wrong_tries(store), store.clock()
    tries = sum(each.tries for each in wrong)
    with (
        st.popover(
            translate_plural("{n:,} wrong try", "{n:,} wrong tries", tries),
            icon=":material/lock:",
            key="wrong-tries",
        ),
        boundary(),
    ):
        st.caption(
            translate("Wrong codes and keys. Who has joined stays when the class code is replaced.")
        )
        if wrong:
            rows = [
                {
                    translate("Tried"): translate(each.kind),
                    translate("Times"): each.tries,
                    translate("Last"): format_age(now - each.last_at),
                    translate("Address"): each.address or translate("this machine"),
                    translate("Browser"): each.browser or translate("unknown"),
                }
                for each in wrong
            ]
            tables.draw_plain(pd.DataFrame(rows), key="wrong-tries-table")
        if st.button(
            translate("Replace the class code"), key="replace-code", icon=":material/autorenew:"
        ):
            replace_code(store)
            st.rerun()


def _draw_rules(store: Store, rules: Rules) -> None:
    with st.form("rules-form", border=False), boundary():
        values: dict[str, object] = {name: _draw_rule(name, rules) for name in FIRST_RULES}
        with st.expander(translate("More limits"), key="rules-more", type="compact"):
            others = {*FIRST_RULES, "hidden_seed", "hidden_since", "hidden_revealed"}
            more = [name for name in Rules.model_fields if name not in others]
            values |= {name: _draw_rule(name, rules) for name in more}
        if st.form_submit_button(translate("Save rules"), key="rules-save", type="primary"):
            change_rules(store, Rules.model_validate(rules.model_dump() | values))
            st.rerun()


def _draw_rule(name: str, rules: Rules) -> object:
    field, value = Rules.model_fields[name], getattr(rules, name)
    label, about, key = (
        translate(str(field.title)),
        translate(str(field.description)),
        f"rule-{name}",
    )
    if isinstance(value, bool):
        return st.toggle(label, value, key=key, help=about)
    if isinstance(value, str):
        languages = {code: language.name for code, language in LANGUAGES.items()}
        return st.selectbox(
            label,
            ["", *languages],
            ["", *languages].index(value),
            format_func=lambda code: languages.get(code) or translate("Each browser's"),
            key=key,
            help=about,
        )
    return st.number_input(label, *find_bounds(name, Rules), value, key=key, help=about)


def _draw_audit(store: Store) -> None:
    names = {visitor.id: visitor.name for visitor in accounts.list_people(store)}
    now = store.clock()
    rows = [
        {
            translate("When"): format_age(now - at),
            translate("Who"): names.get(visitor_id, visitor_id),
            translate("Action"): action,
            translate("Object"): subject,
        }
        for at, visitor_id, action, subject in accounts.read_audit_log(store)
    ]
    if rows:
        tables.draw_plain(pd.DataFrame(rows), key="audit-table")
    else:
        st.caption(translate("No activity yet."))


def _columns() -> tables.Columns:
    return {
        "Place": translate("Place"),
        "Who": translate("Who"),
        "Run": translate("Run"),
        "Accuracy": st.column_config.NumberColumn(translate("Accuracy"), **tables.per_cent()),
        "±": st.column_config.NumberColumn(
            **tables.decimals(1), help=translate("Half the 95 % interval (Wilson), in points")
        ),
        UNDISPUTED: st.column_config.NumberColumn(
            translate(UNDISPUTED),
            **tables.per_cent(),
            help=translate("Accuracy without the test texts whose labels the teacher disputes"),
        ),
        "Lower bound": st.column_config.NumberColumn(
            translate("Lower bound"),
            **tables.per_cent(),
            help=translate("Of the 95 % interval; the table is sorted by it"),
        ),
        "Varied": st.column_config.TextColumn(
            translate("Varied"),
            help=translate("Settings that differ from those of most runs here, without the seed"),
        ),
        "Guess": st.column_config.NumberColumn(
            translate("Guess"),
            **tables.per_cent(),
            help=translate("Accuracy that the user expected before the run"),
        ),
        "Texts": translate("Texts"),
        "CPU minutes": st.column_config.NumberColumn(
            translate("CPU minutes"),
            **tables.decimals(1),
            help=translate("Minutes of training times threads"),
        ),
        "Trained parameters": st.column_config.NumberColumn(
            translate("Trained parameters"), format="localized"
        ),
    }


def _row(line: LeaderboardRow) -> dict[str, object]:
    return {
        "Place": translate(line.place),
        "Who": line.owner_name or "–",
        "Run": line.run.job.name,
        "Accuracy": line.test.value * 100,
        "±": line.test.half_width * 100,
        "Lower bound": line.test.interval[0] * 100,
        "Varied": line.varied or "–",
        "Guess": None if line.guess is None else line.guess * 100,
        "Texts": line.test.n,
        "CPU minutes": line.cpu_minutes,
        "Trained parameters": line.trained_parameters,
    }
