"""The address that students type to open a class, for pages and for the terminal."""

from io import StringIO
from urllib.parse import urlsplit

import segno
import streamlit as st
from streamlit.net_util import get_internal_ip

from ui.session.local_machine import LOCAL_HOSTS, read_host_name

ALL_ADDRESSES = frozenset({"", "0.0.0.0", "::"})


def find_join_address() -> str:
    """Return the address of this page if others can open it, else that in the local network.

    Empty if no other machine can reach the server.
    """
    host = str(st.context.headers.get("Host", ""))
    if (name := read_host_name(host)) and name not in LOCAL_HOSTS:
        scheme = urlsplit(str(st.context.url or "")).scheme
        return f"{scheme if scheme == 'https' else 'http'}://{host}"
    return find_network_address()


def describe_joining(code: str) -> str:
    """Return what students need to join, for the terminal, with a QR code if there is an address.

    The teacher's code is left out, because a terminal may be projected.
    """
    address, picture = find_network_address(), StringIO()
    if not address:
        return f"\n  Class code: {code}\n"
    make_qr(address, code).terminal(out=picture, compact=True)
    return f"\n{picture.getvalue()}\n  Students open {address} and type the code {code}\n"


def make_qr(address: str, code: str) -> segno.QRCode:
    """Return the QR code that opens the address with the class code filled in."""
    return segno.make_qr(f"{address}/?code={code}" if code else address, error="m")


def find_network_address() -> str:
    """Return the address of this server in the local network; empty if it has none.

    The name of a network interface is read; nothing is sent.
    """
    if str(st.get_option("server.address") or "") not in ALL_ADDRESSES:
        bound = str(st.get_option("server.address"))
        return "" if bound in LOCAL_HOSTS else _format(bound)
    internal = get_internal_ip()
    return _format(internal) if internal and internal not in LOCAL_HOSTS else ""


def _format(address: str) -> str:
    scheme = "https" if st.get_option("server.sslCertFile") else "http"
    host = f"[{address}]" if ":" in address else address
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"{scheme}://{host}:{st.get_option('server.port')}{f'/{base}' if base else ''}"
