import pytest
import segno
import streamlit as st
from streamlit.runtime.context import StreamlitHeaders

from tests.support.app.visitors import report
from ui.session.join_address import (
    describe_joining,
    find_join_address,
    find_network_address,
    make_qr,
)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Options of the server, which a test changes."""
    options: dict[str, object] = {"server.address": "192.0.2.5", "server.port": 8501}
    monkeypatch.setattr(st, "get_option", options.get)
    return options


def test_the_address_is_that_of_the_local_network(options: dict[str, object]) -> None:
    assert find_network_address() == "http://192.0.2.5:8501"

    options |= {"server.sslCertFile": "cert.pem", "server.baseUrlPath": "/lab/"}
    assert find_network_address() == "https://192.0.2.5:8501/lab"

    options |= {"server.address": "2001:db8::5", "server.sslCertFile": None}
    assert find_network_address() == "http://[2001:db8::5]:8501/lab"


def test_a_server_for_this_machine_alone_has_none(options: dict[str, object]) -> None:
    options["server.address"] = "127.0.0.1"

    assert find_network_address() == ""
    assert describe_joining("abcdef") == "\n  Class code: abcdef\n"


@pytest.mark.parametrize(
    ("host", "url", "address"),
    [
        ("lab.example.org", "https://lab.example.org/board", "https://lab.example.org"),
        ("192.0.2.9:8501", "http://192.0.2.9:8501/", "http://192.0.2.9:8501"),
        ("localhost:8501", "http://localhost:8501/", "http://192.0.2.5:8501"),
    ],
)
def test_a_page_shows_the_address_by_which_it_was_opened(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch, host: str, url: str, address: str
) -> None:
    report(monkeypatch, headers=StreamlitHeaders([("Host", host)]), url=url)

    assert find_join_address() == address


def test_the_terminal_prints_address_code_and_qr_code(options: dict[str, object]) -> None:
    text = describe_joining("abcdef")

    assert "http://192.0.2.5:8501" in text and "abcdef" in text
    assert "█" in text


def test_the_qr_code_opens_the_address_with_the_code() -> None:
    code = make_qr("http://192.0.2.5:8501", "abcdef")

    assert code == segno.make_qr("http://192.0.2.5:8501/?code=abcdef", error="m")
    assert not code.is_micro, "phones do not read micro codes"
