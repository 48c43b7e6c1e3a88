"""Whether a visitor is on the machine that runs the server, by the address of the connection."""

from collections.abc import Callable
from ipaddress import ip_address

import psutil
import streamlit as st

from core.access import GUEST, MACHINE_OWNER, Mode, Visitor
from core.settings import Settings


def find_local_visitor(settings: Settings) -> Visitor:
    """Return the machine's owner if the visitor must be local, else a guest; no database access."""
    return MACHINE_OWNER if settings.mode == Mode.LOCAL and is_from_this_machine() else GUEST


def list_own_addresses() -> set[str]:
    """List the addresses of this machine's network interfaces."""
    return {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}


def is_own(peer: str, list_addresses: Callable[[], set[str]] = list_own_addresses) -> bool:
    """Return whether the address is one of this machine's addresses, in any notation."""
    if not peer:
        return True
    try:
        parsed = ip_address(peer)
    except ValueError:
        return False
    # a server that listens on IPv6 reports ::ffff:127.0.0.1
    plain_form = getattr(parsed, "ipv4_mapped", None) or parsed
    return plain_form.is_loopback or str(plain_form) in list_addresses()


def read_address() -> str:
    """Return the address of the visitor's connection; empty for this machine.

    Behind a proxy this is the proxy's address.
    """
    peer = st.context.ip_address
    # None via localhost; a page under test has no connection
    return peer if isinstance(peer, str) else ""


def is_from_this_machine() -> bool:
    """Return whether the connection comes from this machine and not through a proxy."""
    return is_own(read_address()) and "X-Forwarded-For" not in st.context.headers
