"""Delivery of what a script has drawn when the next request arrives just as it ends.

A session of Streamlit 1.67 passes the messages of a script to the event loop, and drops those that
are still on the way when a request starts another script. On a busy server that loses the new
picture of a slider, or its end, when a tick arrives within some milliseconds.
"""

from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

RETRY_SECONDS = 0.001


def deliver_before_replacing(session_type: type[AppSession] = AppSession) -> None:
    """Have a session start another script only when the messages of the last one are delivered.

    The last message of a script that has ended releases it, so a session without a script has
    delivered all messages.
    """
    create = session_type._create_scriptrunner

    def create_after_delivery(session: AppSession, request: RerunData) -> None:
        if session._scriptrunner is None:
            create(session, request)
        else:
            session._event_loop.call_later(RETRY_SECONDS, repeat, session, request)

    def repeat(session: AppSession, request: RerunData) -> None:
        if session._state is AppSessionState.SHUTDOWN_REQUESTED:
            return
        runner = session._scriptrunner
        if runner is None or not runner.request_rerun(request):
            create_after_delivery(session, request)

    setattr(session_type, "_create_scriptrunner", create_after_delivery)  # noqa: B010 - mypy
