"""The people of a class, as the teacher sees them: who is here, and what can be done about them."""

import pandas as pd
import streamlit as st

from core.access import Role
from core.errors import LoraLabError
from core.people.membership import (
    Member,
    list_members,
    merge_members,
    remove_member,
    rename_member,
    renew_key,
)
from core.storage.accounts import Standing
from core.storage.store import Store
from core.translation import mark, translate, translate_plural
from ui.session import visitors
from ui.session.error_boundary import boundary, show
from ui.text import format_age, plain_option
from ui.widgets import tables

HERE_SECONDS = 120.0  # since the last page that someone opened
REFRESH_SECONDS = 10.0
CHOSEN = "chosen-person"
COLUMNS = (
    mark("Name"),
    mark("Role"),
    mark("State"),
    mark("Joined"),
    mark("Last seen"),
    mark("Runs"),
    mark("Waiting"),
)
WORDS = {
    Standing.REMOVED: mark("removed"),
    Standing.BLOCKED: mark("blocked"),
    Standing.RESTORED: mark("from a backup, not joined"),
}


def draw(store: Store) -> None:
    """Draw the people, which are updated on their own, and the actions on one of them."""
    st.markdown(f"#### {translate('People')}")
    st.fragment(_draw_table, run_every=REFRESH_SECONDS)(store)
    people = {member.visitor.id: member for member in list_members(store)}
    if not people:
        return
    current = st.session_state.get(CHOSEN)
    # set each time: the browser keeps the earlier name of someone who was renamed
    st.session_state[CHOSEN] = current if current in people else None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            translate("Person"),
            list(people),
            index=None,
            format_func=lambda person: plain_option(_name(people.get(person))),
            placeholder=translate("Choose a person"),
            key=CHOSEN,
            width=280,
        )
        if chosen:
            _draw_actions(store, people[chosen], people)


def list_rows(store: Store) -> list[dict[str, object]]:
    """Return one row per person: name, role, state, when they joined and were last seen, runs."""
    now = store.clock()
    return [
        {
            "Name": member.visitor.name,
            "Role": translate(member.visitor.role),
            "State": translate(_describe(member, now)),
            "Joined": format_age(now - member.joined_at),
            "Last seen": format_age(now - (member.seen_at or member.joined_at)),
            "Runs": member.runs,
            "Waiting": member.waiting,
        }
        for member in list_members(store)
    ]


def _draw_table(store: Store) -> None:
    with boundary(), visitors.show_live(store, list_rows) as rows:
        _draw_rows(rows)


def _draw_rows(rows: list[dict[str, object]]) -> None:
    if not rows:
        st.caption(translate("No one has joined yet."))
        return
    here = sum(row["State"] == translate("here") for row in rows)
    st.caption(
        translate_plural(
            "{n:,} person, {here:,} of them here in the last two minutes.",
            "{n:,} people, {here:,} of them here in the last two minutes.",
            len(rows),
            here=here,
        )
    )
    tables.draw_plain(
        pd.DataFrame(rows),
        key="people-table",
        columns={name: translate(name) for name in COLUMNS},
        alt=translate("People of the class"),
    )


def _describe(member: Member, now: float) -> str:
    if member.standing in WORDS:
        return WORDS[member.standing]
    seen = member.seen_at or member.joined_at
    return mark("here") if now - seen < HERE_SECONDS else mark("away")


def _name(member: Member | None) -> str:
    return member.visitor.name if member else ""


def _draw_actions(store: Store, member: Member, people: dict[str, Member]) -> None:
    visitor = member.visitor
    with st.popover(translate("New key"), icon=":material/key:", key="person-key"):
        st.text(translate("The old key stops working. Browsers that are joined stay so."))
        if st.button(translate("Give a new key"), key="person-key-new", type="primary"):
            st.text(translate("Show it to this person only:"))
            st.code(renew_key(store, visitor), language=None)
    with st.popover(translate("Rename"), icon=":material/edit:", key="person-rename"):
        name = st.text_input(translate("New name"), key=f"person-name-{visitor.id}", max_chars=40)
        if st.button(translate("Save name"), key="person-name-save", type="primary"):
            try:
                rename_member(store, visitor, name)
            except LoraLabError as error:
                show(error)
            else:
                st.rerun()
    others = [
        other
        for other, each in people.items()
        if other != visitor.id and each.visitor.role is visitor.role
    ]
    with st.popover(
        translate("Merge"), icon=":material/merge:", key="person-merge", disabled=not others
    ):
        into = st.selectbox(
            translate("Give all runs of this person to"),
            others,
            format_func=lambda person: plain_option(_name(people.get(person))),
            key=f"person-into-{visitor.id}",
        )
        if st.button(translate("Merge"), key="person-merge-confirm", type="primary") and into:
            if dropped := merge_members(store, visitor, people[into].visitor):
                st.toast(
                    translate(
                        "Cleaning recipes that were dropped, because both have one for the same"
                        " data: {n:,}",
                        n=dropped,
                    )
                )
            st.rerun()
    if visitor.role is Role.STUDENT:
        _draw_removal(store, member)


def _draw_removal(store: Store, member: Member) -> None:
    with st.popover(translate("Remove"), icon=":material/person_remove:", key="person-remove"):
        st.text(
            translate(
                "Signs this person out and cancels their waiting runs. Finished runs stay. A"
                " blocked person cannot join again by this name or in this browser, until you give"
                " a new key."
            )
        )
        with st.container(horizontal=True):
            remove = st.button(translate("Remove"), key="person-remove-confirm")
            block = st.button(translate("Block"), key="person-block-confirm", type="primary")
        if remove or block:
            remove_member(store, member.visitor, block=block)
            st.rerun()
