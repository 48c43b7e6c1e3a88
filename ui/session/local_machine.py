"""Which requests come from the person at this machine, by address, Host, Origin and headers."""

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import psutil
import streamlit as st

from core.access import GUEST, LOCAL_BROWSER, Mode, Visitor
from core.settings import Settings

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
# set by proxies, tunnels and content delivery networks, some of which send _ instead of -
FORWARDING_HEADERS = frozenset(
    {
        "cdn-loop",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "proxy-connection",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-url",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-request-start",
        "x-scheme",
        "x-url-scheme",
    }
)
FORWARDING_PREFIXES = (
    *("cf-", "fly-", "ngrok-", "tailscale-", "x-amzn-", "x-appengine-", "x-azure-"),
    *("x-cloud-trace-", "x-envoy-", "x-forwarded", "x-vercel-"),
)
# a browser names those that it descends from, too, so the first sign decides
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("Chrome", "Chrome"),
    ("CriOS", "Chrome"),
    ("Safari", "Safari"),
    ("", "Another program"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)


def find_local_visitor(settings: Settings) -> Visitor:
    """Return the machine's owner if the visitor must be local, else a guest; no database access."""
    return LOCAL_BROWSER if settings.mode == Mode.LOCAL and is_from_this_machine() else GUEST


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


def find_foreign_sign(headers: Mapping[str, str], peer: str) -> str:
    """Return why a request does not come from a browser on this machine; empty if it does.

    A web page whose name was rebound to this machine is recognized by its Host, another web page by
    its Origin, a proxy on this machine by the headers that it adds.
    """
    if not is_own(peer):
        return "The connection comes from another machine."
    hosts, origins = [], []
    for name, value in headers.items():  # of a request, a name may occur more than once
        lower = name.lower().replace("_", "-")
        if lower in FORWARDING_HEADERS or lower.startswith(FORWARDING_PREFIXES):
            return f"The request came through a proxy: it has the header {name}."
        hosts += [value] if lower == "host" else []
        origins += [value] if lower == "origin" else []
    if len(hosts) != 1 or read_host_name(hosts[0]) not in LOCAL_HOSTS:
        return "The address in the browser is not localhost or 127.0.0.1."
    if not all(is_same_origin(origin, hosts[0]) for origin in origins):
        return "The request comes from another web page."
    return ""


def is_same_origin(origin: str, host: str) -> bool:
    """Return whether a page of this Origin was served by this Host."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()


def read_host_name(host: str) -> str:
    """Return the name or address in a Host header, without port; empty if it is not valid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.netloc != host or "@" in host:
        return ""
    return (parts.hostname or "").lower()


def read_address() -> str:
    """Return the address of the visitor's connection; empty for this machine.

    The server replaces the address of a proxy in ``FORWARDED_ALLOW_IPS`` by the one it forwards.
    """
    peer = st.context.ip_address
    # None via localhost; a page under test has no connection
    return peer if isinstance(peer, str) else ""


def read_browser() -> str:
    """Return the names of the visitor's browser and system; empty if the browser states none."""
    agent = st.context.headers.get("User-Agent", "")
    named = (
        next((name for sign, name in signs if sign in agent), "") for signs in (BROWSERS, SYSTEMS)
    )
    return " on ".join(filter(None, named))


def is_from_this_machine() -> bool:
    """Return whether the page was opened by a browser on this machine and not through a proxy."""
    peer, headers = read_address(), st.context.headers.to_dict()
    # a page under test has no headers
    return is_own(peer) and not (headers and find_foreign_sign(headers, peer))
