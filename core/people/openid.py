"""Sign-in with OpenID Connect: the configuration in ``secrets.toml``, and visitors from claims.

Streamlit checks the provider's signed token and stores its claims in a signed cookie. The identity
of a visitor depends only on ``iss`` and ``sub``, which a provider never gives to another user
(OpenID Connect Core 1.0, section 5.7); names and e-mail addresses may change their owner.
"""

import hashlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.access import GUEST, LONGEST_NAME, Mode, Role, Visitor, sanitize_name
from core.errors import ConfigError, NotAllowed
from core.settings import PROJECT, Settings

SECTION = "auth"
SHARED_KEYS, PROVIDER_KEYS = (
    ("redirect_uri", "cookie_secret"),
    ("client_id", "client_secret", "server_metadata_url"),
)
CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32  # characters; a guessed secret could sign any cookie
# claims that are read here
CLAIMS = frozenset(
    {"is_logged_in", "iss", "sub", "name", "preferred_username", "email", "email_verified"}
)
SECRETS = (Path.home() / ".streamlit" / "secrets.toml", PROJECT / ".streamlit" / "secrets.toml")


@dataclass(frozen=True, slots=True)
class SignIn:
    """Configuration of the sign-in.

    Args:
        providers: Names of the providers; "" for the one without a name.
        problems: Sentences about what is missing or wrong.
    """

    providers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def is_configured(self) -> bool:
        """Whether a sign-in is configured, even incompletely. No other way to join is then open."""
        return bool(self.providers or self.problems)

    @property
    def ready(self) -> bool:
        """Whether visitors can sign in."""
        return bool(self.providers) and not self.problems


def read_sign_in(
    section: Mapping[str, object], trusted_headers: Mapping[str, str] | None = None
) -> SignIn:
    """Parse the section ``[auth]`` of ``secrets.toml``.

    ``trusted_headers`` are headers from which Streamlit reads claims without a check.
    """
    if not section:
        return SignIn()
    named = {
        name: values
        for name, values in section.items()
        if isinstance(values, Mapping) and name != "client_kwargs"
    }
    unnamed: Mapping[str, Mapping[str, object]] = (
        {"": section} if any(key in section for key in PROVIDER_KEYS) or not named else {}
    )
    problems = _list_missing(section, SHARED_KEYS, f"[{SECTION}]")
    for name, values in {**unnamed, **named}.items():
        problems += _list_missing(
            values, PROVIDER_KEYS, f"[{SECTION}.{name}]" if name else f"[{SECTION}]"
        )
        if "_" in name:
            problems.append(
                f"The provider {name!r} has an underscore in its name, which Streamlit cannot read."
            )
    secret, address = str(section.get("cookie_secret", "")), str(section.get("redirect_uri", ""))
    if 0 < len(secret) < SHORTEST_SECRET:
        problems.append(
            f"cookie_secret has {len(secret)} characters; it needs {SHORTEST_SECRET} random ones."
        )
    if address and not address.endswith(CALLBACK):
        problems.append(f"redirect_uri does not end with {CALLBACK}.")
    if headers := sorted(
        header for header, claim in (trusted_headers or {}).items() if claim in CLAIMS
    ):
        problems.append(
            f"server.trustedUserHeaders reads claims from {', '.join(headers)}, which any client"
            " can send."
        )
    return SignIn((*unnamed, *named), tuple(problems))


def read_secrets(paths: Iterable[Path] = SECRETS) -> Mapping[str, object]:
    """Read the section ``[auth]`` from the files, for the command line; pages ask Streamlit.

    Of several files, the last wins. Raises ConfigError.
    """
    last: Mapping[str, object] = {}
    for path in paths:
        if not path.is_file():
            continue
        try:
            section = tomllib.loads(path.read_text(encoding="utf-8")).get(SECTION, {})
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"secrets.toml in {path.parent.name} cannot be read ({type(error).__name__}).",
                "Fix the file.",
            ) from error
        last = section if isinstance(section, Mapping) else last
    return last


def describe_sign_in(settings: Settings, sign_in: SignIn) -> str:
    """Describe in a sentence how visitors sign in."""
    if settings.mode == Mode.LOCAL:
        return "from this machine only, without signing in"
    if sign_in.problems:
        return f"no one can sign in: {' '.join(sign_in.problems)}"
    by = f"signing in ({', '.join(name or 'OpenID Connect' for name in sign_in.providers)})"
    if settings.mode == Mode.CLASSROOM:
        no_teacher = "" if settings.teachers else "; LORALAB_TEACHERS names no teacher"
        return f"{by}{no_teacher}" if sign_in.ready else "class code and teacher's code"
    admins = f"; users in LORALAB_TEACHERS are admins after {by}" if sign_in.ready else ""
    return f"everyone may view the pages{admins}"


def find_visitor(settings: Settings, claims: Mapping[str, object]) -> Visitor:
    """Return the visitor that the claims of a checked token identify; GUEST without claims.

    Raises NotAllowed for a user who is on no list of this class.
    """
    identity = [
        text for name in ("iss", "sub") if isinstance(text := claims.get(name), str) and text
    ]
    if claims.get("is_logged_in") is not True or len(identity) < 2:
        return GUEST
    visitor_id = "oidc-" + hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    known_by = _list_identifiers(visitor_id, claims)
    name = _read_name(claims) or f"Student {visitor_id[-4:]}"
    if {name for name in known_by if not name.startswith("@")} & set(settings.teachers):
        return Visitor(visitor_id, name, Role.TEACHER)
    if settings.mode != Mode.CLASSROOM:
        return GUEST
    if settings.students and not known_by & set(settings.students):
        raise NotAllowed(
            "You have signed in, but you are not on the list of this class. Your id is {id}.",
            "Show it to your teacher.",
            id=visitor_id,
        )
    return Visitor(visitor_id, name, Role.STUDENT)


def _list_missing(values: Mapping[str, object], required: tuple[str, ...], where: str) -> list[str]:
    missing = [
        key
        for key in required
        if not isinstance(values.get(key), str) or not str(values[key]).strip()
    ]
    return [f"{where} in secrets.toml lacks {', '.join(missing)}."] if missing else []


def _list_identifiers(visitor_id: str, claims: Mapping[str, object]) -> set[str]:
    """Return the names by which the settings may list a visitor.

    These are the id, and the e-mail address and its domain if the provider has verified it.
    """
    address = claims.get("email")
    if (
        not isinstance(address, str)
        or claims.get("email_verified") is not True
        or address.count("@") != 1
    ):
        return {visitor_id}
    lower = address.strip().lower()
    return {visitor_id, lower, lower[lower.index("@") :]}


def _read_name(claims: Mapping[str, object]) -> str:
    """Return the name on one line; never an e-mail address, which others would see."""
    texts = (claims.get(name) for name in ("name", "preferred_username"))
    named = (
        sanitize_name(text, LONGEST_NAME)
        for text in texts
        if isinstance(text, str) and "@" not in text
    )
    return next(filter(None, named), "")
