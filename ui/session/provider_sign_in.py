"""Signing in through a provider: what is configured, who the provider says is there, and the door
of a class that has one.
"""

import streamlit as st

from core.access import GUEST, Mode, Role, Visitor
from core.errors import LoraLabError
from core.people import accounts, classroom
from core.people.openid import SECTION, SignIn, find_visitor, read_sign_in
from core.settings import Settings
from core.storage.store import Store
from ui.session.error_boundary import show
from ui.text import plain


def configured() -> SignIn:
    """What ``secrets.toml`` configures."""
    if not st.secrets.load_if_toml_exists() or SECTION not in st.secrets:
        return SignIn()
    return read_sign_in(st.secrets[SECTION].to_dict(), st.get_option("server.trustedUserHeaders"))


def current(settings: Settings, store: Store, sign_in: SignIn) -> Visitor:
    """Who is here by the claims that Streamlit has checked, let in on their first visit; GUEST
    where they may not act.
    """
    visitor = _vouched_for(settings, sign_in)
    if visitor is GUEST or accounts.is_here(store, visitor):
        return visitor
    if accounts.was_sent_out(store, visitor):
        return GUEST
    try:
        classroom.sign_in(store, visitor)
    except LoraLabError:  # the class is closed: the door says so
        return GUEST
    return visitor


def draw_door(settings: Settings, store: Store, sign_in: SignIn) -> None:
    """The way into a class for who has not signed in, or is not let in."""
    if not sign_in.ready:
        st.error(
            "**Nobody can sign in here yet.** " + plain(" ".join(sign_in.problems)),
            icon=":material/error:",
        )
        return
    try:
        visitor = find_visitor(settings, st.user.to_dict())
        if visitor is GUEST:
            st.markdown("#### Join the class")
            _draw_providers(sign_in)
            return
        if accounts.was_sent_out(store, visitor):
            st.markdown(f"#### The class has ended, {plain(visitor.name)}")
            if st.button("Join the next one", key="join-again", type="primary"):
                classroom.sign_in(store, visitor)
                st.rerun()
        else:
            classroom.sign_in(store, visitor)  # raises what the reader has to know
            st.rerun()
    except LoraLabError as error:
        show(error)
    if st.button("Sign out", key="sign-out", icon=":material/logout:"):
        st.logout()


def draw_line(settings: Settings, sign_in: SignIn, visitor: Visitor) -> None:
    """Who the sidebar says you are, or on a public page the way in for who is in charge of it."""
    if visitor is not GUEST:
        in_charge = visitor.role is Role.TEACHER
        with st.popover(
            plain(visitor.name),
            icon=":material/school:" if in_charge else ":material/person:",
            key="who",
        ):
            st.caption(f"Signed in. Your id here is `{visitor.id}`.")
            if st.button("Sign out", key="sign-out", icon=":material/logout:"):
                st.logout()
    elif settings.mode == Mode.PUBLIC and sign_in.ready:
        with st.popover("For who runs this page", icon=":material/login:", key="who"):
            _draw_providers(sign_in)


def _vouched_for(settings: Settings, sign_in: SignIn) -> Visitor:
    if not sign_in.ready:
        return GUEST
    try:
        return find_visitor(settings, st.user.to_dict())
    except LoraLabError:  # on no list of this class: the door says so
        return GUEST


def _draw_providers(sign_in: SignIn) -> None:
    for name in sign_in.providers:
        label = f"Sign in with {plain(name.capitalize())}" if name else "Sign in"
        if st.button(label, key=f"sign-in-{name}", type="primary", icon=":material/login:"):
            st.login(name or None)
