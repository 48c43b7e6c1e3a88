"""Whether a visitor is on the machine that runs the server, by the address of the connection."""

from ipaddress import ip_address

import psutil
import streamlit as st

from core.access import GUEST, MACHINE_OWNER, Mode, Visitor
from core.settings import Settings


def at_the_machine(settings: Settings) -> Visitor:
    """The machine's owner, where nobody else can be here; asks no database."""
    return MACHINE_OWNER if settings.mode == Mode.LOCAL and from_this_machine() else GUEST


def is_own(peer: str) -> bool:
    """Whether the address is one of this machine's own, whichever way it is written; nobody else
    can connect from one.
    """
    if not peer:
        return True
    try:
        found = ip_address(peer)
    except ValueError:
        return False
    plain_form = (
        getattr(found, "ipv4_mapped", None) or found
    )  # a server that listens on IPv6 writes ::ffff:127.0.0.1
    return plain_form.is_loopback or str(plain_form) in _own_addresses()


def address() -> str:
    """Where the visitor's connection comes from; empty from this machine itself. Behind a proxy
    that is the proxy's own address.
    """
    peer = st.context.ip_address
    return (
        peer if isinstance(peer, str) else ""
    )  # None through localhost; a page under test has no connection


def from_this_machine() -> bool:
    """Whether the connection comes from this machine itself and not through a proxy."""
    return is_own(address()) and "X-Forwarded-For" not in st.context.headers


def _own_addresses() -> set[str]:
    return {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
