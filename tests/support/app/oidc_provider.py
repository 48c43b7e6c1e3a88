"""A small OpenID Connect provider on loopback for two people: discovery, keys, authorisation code
with PKCE, and signed tokens.
"""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "lora-lab", "a secret of the test's own"
PEOPLE = {
    "grace": {"sub": "1", "name": "Grace", "email": "grace@school.example", "email_verified": True},
    "ada": {"sub": "2", "name": "Ada", "email": "ada@school.example", "email_verified": True},
}
EXPIRES_SECONDS = 600
SECRETS = """[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "{cookie}"
client_id = "{client}"
client_secret = "{secret}"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@dataclass
class Provider:
    """Address, key and issued codes of the provider.

    ``signing_key`` may differ from the published key, as with forged tokens.
    """

    url: str = ""
    key: RSAKey = field(
        default_factory=lambda: RSAKey.generate_key(2048, {"use": "sig", "kid": "published"})
    )
    signing_key: RSAKey | None = None
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def metadata(self) -> dict[str, object]:
        """Return the discovery document."""
        ends = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
        }
        return {
            "issuer": self.url,
            **{name: f"{self.url}/{path}" for name, path in ends.items()},
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def choose(self, query: dict[str, str]) -> str:
        """Return the page on which a person chooses their identity."""
        links = []
        for person in PEOPLE:
            code = secrets.token_hex(8)
            self.codes[code] = {**query, "who": person}
            back = f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
            links.append(f'<a id="{person}" href="{html.escape(back)}">{person}</a>')
        return "<title>Provider</title>" + " ".join(links)

    def exchange(self, form: dict[str, str], authorization: str) -> dict[str, object]:
        """Return the token for a code.

        A code works once, for the client with its secret and the verifier of its challenge.
        """
        requests = self.codes.pop(form["code"])
        user, _, password = (
            base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        )
        assert (unquote(user), unquote(password).replace("+", " ")) == (CLIENT, SECRET), (
            "another client"
        )
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
            .decode()
            .rstrip("=")
        )
        assert challenge == requests["code_challenge"], "the code of another sign-in"
        now = int(time.time())
        claims = {
            **PEOPLE[requests["who"]],
            "iss": self.url,
            "aud": CLIENT,
            "iat": now,
            "exp": now + EXPIRES_SECONDS,
            "nonce": requests["nonce"],
        }
        signed = jwt.encode(
            {"alg": "RS256", "kid": "published"}, claims, self.signing_key or self.key
        )
        return {
            "access_token": secrets.token_hex(8),
            "token_type": "Bearer",
            "expires_in": EXPIRES_SECONDS,
            "id_token": signed,
        }


@contextmanager
def provider() -> Iterator[Provider]:
    """Start a provider on a free port of loopback."""
    served = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path)
            if path.path == "/.well-known/openid-configuration":
                self._answer(json.dumps(served.metadata()), "application/json")
            elif path.path == "/keys":
                self._answer(
                    json.dumps({"keys": [served.key.as_dict(private=False)]}), "application/json"
                )
            elif path.path == "/authorize":
                self._answer(served.choose(_single(path.query)), "text/html")
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            form = _single(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer(
                json.dumps(served.exchange(form, self.headers.get("Authorization", ""))),
                "application/json",
            )

        def log_message(self, *args: object) -> None:
            """Log nothing."""

        def _answer(self, text: str, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.url = f"http://localhost:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def _single(query: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(query).items()}


@dataclass
class Lesson:
    """A server in classroom mode and its sign-in provider."""

    url: str
    provider: Provider
