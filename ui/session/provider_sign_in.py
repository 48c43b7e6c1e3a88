"""Sign-in through a provider: the configuration, the signed-in visitor, and the sign-in page."""

import streamlit as st

from core.access import GUEST, Mode, Role, Visitor
from core.errors import LoraLabError
from core.people import classroom
from core.people.openid import SECTION, SignIn, find_visitor, read_sign_in
from core.settings import Settings
from core.storage import accounts
from core.storage.store import Store
from ui.session.error_boundary import show
from ui.text import plain


def configured() -> SignIn:
    """Return the sign-in configuration from ``secrets.toml``."""
    if not st.secrets.load_if_toml_exists() or SECTION not in st.secrets:
        return SignIn()
    return read_sign_in(st.secrets[SECTION].to_dict(), st.get_option("server.trustedUserHeaders"))


def current(settings: Settings, store: Store, sign_in: SignIn) -> Visitor:
    """Return the visitor by the claims that Streamlit has verified, joining them on first visit.

    GUEST if they may not act.
    """
    visitor = _vouched_for(settings, sign_in)
    if visitor is GUEST or accounts.is_here(store, visitor):
        return visitor
    if accounts.was_sent_out(store, visitor):
        return GUEST
    try:
        classroom.sign_in(store, visitor)
    except LoraLabError:  # the class is closed: the sign-in page says so
        return GUEST
    return visitor


def draw_door(settings: Settings, store: Store, sign_in: SignIn) -> None:
    """Draw the sign-in page of a class for visitors who are not signed in or not admitted."""
    if not sign_in.ready:
        st.error(
            "**Sign-in is not available yet.** " + plain(" ".join(sign_in.problems)),
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
            if st.button("Join the next class", key="join-again", type="primary"):
                classroom.sign_in(store, visitor)
                st.rerun()
        else:
            classroom.sign_in(store, visitor)  # raises the error to show
            st.rerun()
    except LoraLabError as error:
        show(error)
    if st.button("Sign out", key="sign-out", icon=":material/logout:"):
        st.logout()


def draw_line(settings: Settings, sign_in: SignIn, visitor: Visitor) -> None:
    """Draw the visitor's name in the sidebar or, on a public page, the admin's sign-in."""
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
        with st.popover("Admin sign-in", icon=":material/login:", key="who"):
            _draw_providers(sign_in)


def _vouched_for(settings: Settings, sign_in: SignIn) -> Visitor:
    if not sign_in.ready:
        return GUEST
    try:
        return find_visitor(settings, st.user.to_dict())
    except LoraLabError:  # on no list of this class: the sign-in page says so
        return GUEST


def _draw_providers(sign_in: SignIn) -> None:
    for name in sign_in.providers:
        label = f"Sign in with {plain(name.capitalize())}" if name else "Sign in"
        if st.button(label, key=f"sign-in-{name}", type="primary", icon=":material/login:"):
            st.login(name or None)
