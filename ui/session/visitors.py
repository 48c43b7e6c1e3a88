"""The visitor of this session, and the sign-in page of a classroom: by code or by provider."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.access import GUEST, Action, Mode, Role, Visitor, is_allowed
from core.errors import ArtifactDamaged, LoraLabError, NameKnown, NotAllowed
from core.people import allowances, classroom, membership
from core.people.classroom import Browser, Ending
from core.people.openid import SECTION, SignIn, find_visitor, read_sign_in
from core.runs.limits import make_guest_trainer
from core.settings import Settings
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.recovery import open_store
from core.storage.store import Store
from core.translation import mark, read_language, translate, use
from ui.session import drafts, language, visit_cookie
from ui.session.error_boundary import TICKS, WHO, read_once, read_settings, show
from ui.session.local_machine import find_local_visitor, read_address, read_browser
from ui.text import plain

KEY, GUEST_TRAINER = "visitor-key", "guest-trainer"
# what this browser stays joined with, its ticket, and what it was joined with before leaving
TOKEN, TICKET, LEFT = "visit-token", "visit-ticket", "left"
KNOWN_NAME = "known-name"
CODE = "code"  # parameter of the address
WHERE_RUNS_ARE = {
    Ending.KEEP: mark(
        "Your runs stay on this server: join the next class and open Runs, where they have your"
        " name."
    ),
    Ending.ARCHIVE: mark(
        "Your runs stay on this server under Runs, but not on the page Class. Your teacher can give"
        " you a file with them."
    ),
    Ending.DELETE: mark(
        "Your runs were deleted from this server. Ask your teacher for the backup; Runs restores"
        " it."
    ),
}
T = TypeVar("T")


class _Changed:
    """Differs from all that a fragment draws, so that its script starts."""


CHANGED = _Changed()
_uploaders: dict[str, Visitor] = {}  # visitors who may upload files, by session


def find_current(settings: Settings) -> Visitor:
    """Return the visitor, found once within a boundary.

    In a classroom, visitors who have not joined are guests, who may only look. A visitor of a
    public page is a guest or a guest trainer.
    """
    return read_once("visitor", lambda: _find_current(settings))


def _find_current(settings: Settings) -> Visitor:
    if settings.mode == Mode.LOCAL:
        return find_local_visitor(settings)
    sign_in = load_sign_in()
    visitor = (
        _find_signed_in(settings, open_store(settings, shared=settings.snapshot), sign_in)
        if sign_in.is_configured
        else _find_joined(settings)
    )
    if visitor is GUEST and settings.mode == Mode.PUBLIC and settings.guest_taste:
        guest_trainer: Visitor = st.session_state.setdefault(GUEST_TRAINER, make_guest_trainer())
        return guest_trainer
    return visitor


def _find_joined(settings: Settings) -> Visitor:
    """Return the member of this visit, or the one who stays joined in this browser."""
    if settings.mode != Mode.CLASSROOM:
        return GUEST
    store, visitor = open_store(settings, shared=settings.snapshot), None
    if WHO in st.session_state:
        visitor = accounts.find_member(store, st.session_state[WHO].id)
    if visitor is None and LEFT not in st.session_state:
        visitor = membership.find_remembered(store, _read_token())
    if visitor is None:
        return GUEST
    st.session_state[WHO] = visitor
    return visitor


def is_unchanged(store: Store, sign_in: SignIn) -> bool:
    """Return whether the store's visitor has the same name and role as when it was opened.

    It needs no session. False if only a session knows, as of someone who signed in at a provider.
    """
    mode = store.settings.mode
    if sign_in.is_configured and mode != Mode.LOCAL:
        return False
    return mode != Mode.CLASSROOM or (
        accounts.find_member(store, store.visitor.id) == store.visitor
    )


@contextmanager
def show_live(store: Store, read: Callable[[Store], T]) -> Iterator[T]:
    """Yield what ``read`` returns, which is all that the current fragment draws.

    Each tick reads it again in another thread, for the same visitor and in their language, and
    starts no script while it stays the same. So ``read`` uses no widget and no state of a session.
    """
    shown = read(store)
    with TICKS.show(shown, partial(_read_again, store, read, read_language(), load_sign_in())):
        yield shown


def _read_again(
    store: Store, read: Callable[[Store], T], language: str, sign_in: SignIn
) -> T | _Changed:
    """Return what ``read`` returns now, or ``CHANGED`` if the visitor may have changed."""
    if not is_unchanged(store, sign_in):
        return CHANGED
    with use(language):
        return read(store)


def _read_token() -> str:
    """Return what the browser stays joined with; empty if it has nothing."""
    host = str(st.context.headers.get("Host", ""))
    token = visit_cookie.read_token(st.context.cookies, host)
    return token if isinstance(token, str) else ""  # a page under test has no connection


def find_uploader(session: str) -> str:
    """Return the id of this Streamlit session's visitor; empty if they may not upload files."""
    visitor, settings = _uploaders.get(session), Settings()
    if visitor is None or settings.mode == Mode.LOCAL:
        return visitor.id if visitor else ""
    # someone who was removed since their page was drawn, a moment ago by another process
    store = open_store(settings)
    return visitor.id if accounts.find_member(store, visitor.id) else ""


def admit() -> None:
    """Admit the visitor, or stop at the sign-in page. Call this before anything else is drawn."""
    settings = read_settings()
    of_class = ""
    if settings.mode == Mode.CLASSROOM:
        of_class = classroom.read_language(open_store(settings, shared=settings.snapshot))
    language.begin_visit(of_class)
    visitor = find_current(settings)
    _note_uploader(visitor)
    if settings.mode == Mode.LOCAL and visitor is GUEST:
        st.title(translate("LoRA Lab is only available on this machine"), anchor=False)
        st.markdown(
            translate(
                "It was started in local mode. To give others access, start it with the environment"
                " variable `LORALAB_MODE` set to `classroom` (with a code) or `public` (read-only)."
            )
        )
        st.stop()
    if settings.mode == Mode.CLASSROOM and visitor is GUEST:
        st.session_state.pop(WHO, None)
        _draw_sign_in_page(settings)
        st.stop()
    if settings.mode == Mode.CLASSROOM:
        membership.note_seen(open_store(settings, visitor, settings.snapshot))


def _note_uploader(visitor: Visitor) -> None:
    context = get_script_run_ctx()
    if context is None:
        return
    if is_allowed(visitor, Action.WORK):
        _uploaders[context.session_id] = visitor
    else:
        _uploaders.pop(context.session_id, None)


def draw_line() -> None:
    """Draw the visitor's name in the sidebar, with the key to sign in again."""
    settings = read_settings()
    sign_in = load_sign_in()
    guest_or_member = find_current(settings) if settings.mode != Mode.LOCAL else GUEST
    if settings.mode == Mode.PUBLIC and guest_or_member is GUEST:
        st.caption(translate("Public page: explore and classify; training is disabled."))
    if guest_or_member.role is Role.GUEST_TRAINER:
        st.caption(translate("Public page: explore, classify, and start a Taste run."))
    if settings.mode != Mode.LOCAL and sign_in.is_configured:
        _draw_provider_line(
            settings,
            sign_in,
            GUEST if guest_or_member.role is Role.GUEST_TRAINER else guest_or_member,
        )
        return
    visitor: Visitor | None = st.session_state.get(WHO)
    if settings.mode != Mode.CLASSROOM or visitor is None:
        return
    with st.popover(
        plain(visitor.name),
        icon=":material/school:" if visitor.role is Role.TEACHER else ":material/person:",
        key="who",
    ):
        _draw_key(open_store(settings, visitor, settings.snapshot))
        if st.button(translate("Leave"), key="leave", icon=":material/logout:"):
            _leave(open_store(settings, shared=settings.snapshot))
            st.rerun()
    _keep_joined(visitor)


def _draw_key(store: Store) -> None:
    if key := st.session_state.get(KEY):
        st.text(translate("Your key. With it you sign in on another machine."))
        if store.visitor.role is Role.TEACHER:  # this screen may be on a projector
            st.text_input(translate("Your key"), key, type="password", key="key-shown")
        else:
            st.code(key, language=None)
        return
    st.text(translate("Your key was shown when you joined. A new one replaces it."))
    if st.button(translate("Show a new key"), key="new-key", icon=":material/key:"):
        st.session_state[KEY] = membership.renew_key(store, store.visitor)
        st.rerun()


def _leave(store: Store) -> None:
    last = st.session_state.pop(TOKEN, "")
    for token in (_read_token(), last):
        membership.forget_browser(store, token)
    for key in (WHO, KEY, TICKET, drafts.KEY):
        st.session_state.pop(key, None)
    st.session_state[LEFT] = last


def _keep_joined(visitor: Visitor) -> None:
    """Have the browser fetch its cookie after joining, and show the key if it keeps none."""
    ticket = st.session_state.get(TICKET, "")
    if visit_cookie.tickets.is_awaited(ticket):
        st.html(
            visit_cookie.make_script(ticket, st.get_option("server.baseUrlPath")),
            unsafe_allow_javascript=True,
        )
        st.fragment(_await_cookie, run_every=1.0)(ticket)
    elif ticket:
        st.session_state.pop(TICKET)
        if not visit_cookie.tickets.is_confirmed(ticket):
            st.dialog(translate("Copy your key"))(_show_key)(visitor)


def _await_cookie(ticket: str) -> None:
    """Have the key shown if no cookie came back; otherwise nothing is drawn again."""
    awaited, confirmed = _read_ticket(ticket)
    with TICKS.show((awaited, confirmed), lambda: _read_ticket(ticket)):
        if st.session_state.get(TICKET) != ticket:
            return
        if confirmed:
            st.session_state.pop(TICKET)
        elif not awaited:
            st.rerun()


def _read_ticket(ticket: str) -> tuple[bool, bool]:
    """Return whether the cookie is awaited, and whether the browser has sent it back."""
    tickets = visit_cookie.tickets
    return tickets.is_awaited(ticket), tickets.is_confirmed(ticket)


def _show_key(visitor: Visitor) -> None:
    st.text(
        translate(
            "This browser stores no cookies of this page, so you have to sign in again after"
            " closing or reloading it. Copy your key now: it is shown once."
        )
    )
    key = st.session_state.get(KEY, "")
    if visitor.role is Role.TEACHER:
        st.text_input(translate("Your key"), key, type="password", key="key-once")
    else:
        st.code(key, language=None)
    if st.button(translate("I have copied it"), key="key-copied", type="primary"):
        st.rerun()


def _draw_sign_in_page(settings: Settings) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        st.title("LoRA Lab", anchor=False, width="content")
        language.draw_picker()
    st.caption(
        translate(
            "See how a language model learns to classify texts: train one, watch it learn, and"
            " inspect its errors."
        )
    )
    if (sign_in := load_sign_in()).is_configured:
        _draw_provider_page(settings, open_store(settings, shared=settings.snapshot), sign_in)
        return
    _draw_ending(open_store(settings, shared=settings.snapshot))
    if code := st.query_params.get(CODE):  # of the QR code
        st.session_state.setdefault("join-code", code[:64])
    new, back = st.columns(2, gap="large")
    with new, st.form("join"):
        st.markdown(f"#### {translate('Join the class')}")
        name = st.text_input(translate("Your name"), max_chars=40, key="join-name")
        code = st.text_input(
            translate("Class code"),
            max_chars=64,
            key="join-code",
            help=translate("Shown on the teacher's screen."),
        )
        _draw_joins_left(open_store(settings, shared=settings.snapshot))
        if st.form_submit_button(translate("Join"), type="primary", key="join-submit"):
            _join(settings, name, code, Role.STUDENT)
    known: NameKnown | None = st.session_state.get(KNOWN_NAME)
    with back, st.form("back"):
        st.markdown(f"#### {translate('Is that you?' if known else 'Sign in again')}")
        if known:
            st.warning(plain(str(known)), icon=":material/person:")
        key = st.text_input(
            translate("Your key"),
            max_chars=64,
            key="back-key",
            help=translate("Shown after you joined."),
            type="password",
        )
        if st.form_submit_button(translate("Sign in"), key="back-submit"):
            _try(
                lambda store: (
                    classroom.sign_in_with_key(store, key, read_address(), _read_browser()),
                    key,
                ),
                settings,
            )
    with st.expander(translate("I am the teacher"), icon=":material/school:"):
        _draw_teacher_form(settings)


def _draw_teacher_form(settings: Settings) -> None:
    with st.form("teach", border=False):
        name = st.text_input(translate("Teacher's name"), max_chars=40, key="teach-name")
        code = st.text_input(
            translate("Teacher's code"),
            max_chars=64,
            key="teach-code",
            type="password",
            help=translate("Printed by `python -m core classroom`."),
        )
        if st.form_submit_button(translate("Open the class"), key="teach-submit"):
            _join(settings, name, code, Role.TEACHER)


def _draw_ending(store: Store) -> None:
    """Say where the runs are of someone whose class has ended."""
    token = st.session_state.get(TOKEN) or _read_token()
    if membership.find_standing(store, token) is Standing.REMOVED:
        where = translate(WHERE_RUNS_ARE[classroom.read_ending(store)])
        st.info(f"**{translate('The class has ended.')}** {where}", icon=":material/school:")


def _join(settings: Settings, name: str, code: str, role: Role) -> None:
    _try(
        lambda store: classroom.join(store, code, name, read_address(), _read_browser(), role),
        settings,
    )


def _read_browser() -> Browser:
    last = st.session_state.get(LEFT) or _read_token()
    return Browser(read_browser(), last)


def _draw_joins_left(store: Store) -> None:
    """Draw how often a student may still join from here, once someone has."""
    try:
        joins = classroom.list_joins(store, read_address(), _read_browser())
    except ArtifactDamaged:  # of the rules: the teacher, who signs in below, saves them again
        return
    for allowance, user in joins:
        left = allowances.read_left(store, allowance, user)
        if left.left <= allowance.most // 2:
            st.caption(plain(str(left)))


def _try(enter: Callable[[Store], tuple[Visitor, str]], settings: Settings) -> None:
    try:
        store = open_store(settings, shared=settings.snapshot)
        if membership.find_standing(store, _read_token()) is Standing.BLOCKED:
            raise NotAllowed("Your teacher has blocked you.", "Ask your teacher.")
        visitor, key = enter(store)
    except NameKnown as error:
        # an error is translated when it is drawn
        st.session_state[KNOWN_NAME] = error.with_traceback(None)
        st.rerun()
    except LoraLabError as error:
        show(error)
        return
    st.session_state[WHO], st.session_state[KEY] = visitor, key
    st.session_state[TOKEN] = membership.remember_browser(store, visitor, _read_browser().token)
    st.session_state[TICKET] = visit_cookie.tickets.issue(st.session_state[TOKEN])
    st.query_params.pop(CODE, None)
    for name in (LEFT, KNOWN_NAME):
        st.session_state.pop(name, None)
    st.rerun()


def load_sign_in() -> SignIn:
    """Return the sign-in configuration from ``secrets.toml``, read once within a boundary."""
    return read_once("sign-in", _load_sign_in)


def _load_sign_in() -> SignIn:
    if not st.secrets.load_if_toml_exists() or SECTION not in st.secrets:
        return SignIn()
    return read_sign_in(st.secrets[SECTION].to_dict(), st.get_option("server.trustedUserHeaders"))


def _find_signed_in(settings: Settings, store: Store, sign_in: SignIn) -> Visitor:
    """Return the visitor by the claims that Streamlit has verified, joining them on first visit.

    GUEST if they may not act.
    """
    visitor = _find_admitted(settings, sign_in)
    if visitor is GUEST:
        return visitor
    if accounts.is_member(store, visitor):
        return _name_as_member(store, visitor)
    if accounts.was_removed(store, visitor):
        return GUEST
    try:
        classroom.sign_in(store, visitor)
    except LoraLabError:  # the class is closed: the sign-in page says so
        return GUEST
    return _name_as_member(store, visitor)


def _name_as_member(store: Store, visitor: Visitor) -> Visitor:
    """Return the visitor with the name in the class, which may differ from the provider's."""
    member = accounts.find_member(store, visitor.id)
    return replace(visitor, name=member.name) if member else visitor


def _draw_provider_page(settings: Settings, store: Store, sign_in: SignIn) -> None:
    """Draw the sign-in page of a class for visitors who are not signed in or not admitted."""
    if not sign_in.ready:
        st.error(
            f"**{translate('Sign-in is not available yet.')}** "
            + plain(" ".join(sign_in.problems)),
            icon=":material/error:",
        )
        return
    try:
        visitor = find_visitor(settings, st.user.to_dict())
        if visitor is GUEST:
            st.markdown(f"#### {translate('Join the class')}")
            _draw_providers(sign_in)
            return
        if accounts.was_removed(store, visitor):
            ended = translate("The class has ended, {name}", name=plain(visitor.name))
            st.markdown(f"#### {ended}")
            if st.button(translate("Join the next class"), key="join-again", type="primary"):
                classroom.sign_in(store, visitor)
                st.rerun()
        else:
            classroom.sign_in(store, visitor)  # raises the error to show
            st.rerun()
    except LoraLabError as error:
        show(error)
    if st.button(translate("Sign out"), key="sign-out", icon=":material/logout:"):
        st.logout()


def _draw_provider_line(settings: Settings, sign_in: SignIn, visitor: Visitor) -> None:
    """Draw the visitor's name in the sidebar or, on a public page, the admin's sign-in."""
    if visitor is not GUEST:
        is_teacher = visitor.role is Role.TEACHER
        with st.popover(
            plain(visitor.name),
            icon=":material/school:" if is_teacher else ":material/person:",
            key="who",
        ):
            st.caption(translate("Signed in. Your id here is `{id}`.", id=visitor.id))
            if st.button(translate("Sign out"), key="sign-out", icon=":material/logout:"):
                st.logout()
    elif settings.mode == Mode.PUBLIC and sign_in.ready:
        with st.popover(translate("Admin sign-in"), icon=":material/login:", key="who"):
            _draw_providers(sign_in)


def _find_admitted(settings: Settings, sign_in: SignIn) -> Visitor:
    if not sign_in.ready:
        return GUEST
    try:
        return find_visitor(settings, st.user.to_dict())
    except LoraLabError:  # on no list of this class: the sign-in page says so
        return GUEST


def _draw_providers(sign_in: SignIn) -> None:
    for name in sign_in.providers:
        label = (
            translate("Sign in with {provider}", provider=plain(name.capitalize()))
            if name
            else translate("Sign in")
        )
        if st.button(label, key=f"sign-in-{name}", type="primary", icon=":material/login:"):
            st.login(name or None)
