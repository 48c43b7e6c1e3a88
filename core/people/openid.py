"""Signing in through OpenID Connect: what ``secrets.toml`` configures, and what the settings make
of whom a provider vouches for.

Streamlit checks the provider's signed token and keeps its claims in a cookie that it signs. Who
somebody is here hangs on ``iss`` and ``sub`` alone, which a provider never gives to another person
(OpenID Connect Core 1.0, section 5.7); names and addresses change hands.
"""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.access import GUEST, LONGEST_NAME, Mode, Role, Visitor, sanitize_name
from core.errors import ConfigError, NotAllowed
from core.settings import PROJECT, Settings

SECTION = "auth"
SHARED, OF_A_PROVIDER = (
    ("redirect_uri", "cookie_secret"),
    ("client_id", "client_secret", "server_metadata_url"),
)
CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32  # letters; who guesses it signs cookies of their own
CLAIMS = frozenset(
    {"is_logged_in", "iss", "sub", "name", "preferred_username", "email", "email_verified"}
)  # that are read here
SECRETS = (
    Path.home() / ".streamlit" / "secrets.toml",
    PROJECT / ".streamlit" / "secrets.toml",
)  # the later one wins


@dataclass(frozen=True, slots=True)
class SignIn:
    """What is configured: names of providers, "" for the one without a name, and what is missing or
    wrong, in sentences.
    """

    providers: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether somebody has begun to configure it. Then nobody comes in another way, also while
        something is missing.
        """
        return bool(self.providers or self.problems)

    @property
    def ready(self) -> bool:
        """Whether people can sign in."""
        return bool(self.providers) and not self.problems


def read_sign_in(
    section: Mapping[str, object], trusted_headers: Mapping[str, str] | None = None
) -> SignIn:
    """What the section ``[auth]`` configures. ``trusted_headers`` are those from which Streamlit
    takes claims, unchecked.
    """
    if not section:
        return SignIn()
    named = {
        name: values
        for name, values in section.items()
        if isinstance(values, Mapping) and name != "client_kwargs"
    }
    alone: Mapping[str, Mapping[str, object]] = (
        {"": section} if any(key in section for key in OF_A_PROVIDER) or not named else {}
    )
    problems = _missing(section, SHARED, f"[{SECTION}]")
    for name, values in {**alone, **named}.items():
        problems += _missing(
            values, OF_A_PROVIDER, f"[{SECTION}.{name}]" if name else f"[{SECTION}]"
        )
        if "_" in name:
            problems.append(
                f"The provider {name!r} has an underscore in its name, which Streamlit cannot read."
            )
    secret, address = str(section.get("cookie_secret", "")), str(section.get("redirect_uri", ""))
    if 0 < len(secret) < SHORTEST_SECRET:
        problems.append(
            f"cookie_secret has {len(secret)} letters; it takes {SHORTEST_SECRET} random ones."
        )
    if address and not address.endswith(CALLBACK):
        problems.append(f"redirect_uri does not end with {CALLBACK}.")
    if headers := sorted(
        header for header, claim in (trusted_headers or {}).items() if claim in CLAIMS
    ):
        problems.append(
            f"server.trustedUserHeaders takes claims from {', '.join(headers)}, which anybody can"
            " send."
        )
    return SignIn((*alone, *named), tuple(problems))


def read_secrets() -> Mapping[str, object]:
    """The section ``[auth]`` as the files tell it, for the command line; pages ask Streamlit.
    Raises ConfigError.
    """
    found: Mapping[str, object] = {}
    for path in SECRETS:
        if not path.is_file():
            continue
        try:
            section = tomllib.loads(path.read_text(encoding="utf-8")).get(SECTION, {})
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"secrets.toml in {path.parent.name} cannot be read ({type(error).__name__}).",
                "Mend the file.",
            ) from error
        found = section if isinstance(section, Mapping) else found
    return found


def ways_in(settings: Settings, sign_in: SignIn) -> str:
    """How people come in, in a sentence."""
    if settings.mode == Mode.LOCAL:
        return "from this machine only, without signing in"
    if sign_in.problems:
        return f"nobody signs in: {' '.join(sign_in.problems)}"
    by = f"signing in ({', '.join(name or 'OpenID Connect' for name in sign_in.providers)})"
    if settings.mode == Mode.CLASSROOM:
        in_charge = "" if settings.teachers else "; LORALAB_TEACHERS names no teacher"
        return f"{by}{in_charge}" if sign_in.ready else "class code and teacher's code"
    return (
        f"everybody, to look; LORALAB_TEACHERS, by {by}, to act"
        if sign_in.ready
        else "everybody, to look"
    )


def find_visitor(settings: Settings, claims: Mapping[str, object]) -> Visitor:
    """Who the claims of a checked token make somebody here: GUEST without any. Raises NotAllowed
    for who is on no list of this class.
    """
    identity = [
        text for name in ("iss", "sub") if isinstance(text := claims.get(name), str) and text
    ]
    if claims.get("is_logged_in") is not True or len(identity) < 2:
        return GUEST
    mark = "oidc-" + hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    known_by = _known_by(mark, claims)
    name = _name(claims) or f"Student {mark[-4:]}"
    if {name for name in known_by if not name.startswith("@")} & set(settings.teachers):
        return Visitor(mark, name, Role.TEACHER)
    if settings.mode != Mode.CLASSROOM:
        return GUEST
    if settings.students and not known_by & set(settings.students):
        raise NotAllowed(
            f"You have signed in, but this class does not know you. Your id here is {mark}.",
            "Show it to your teacher.",
        )
    return Visitor(mark, name, Role.STUDENT)


def _missing(values: Mapping[str, object], wanted: tuple[str, ...], where: str) -> list[str]:
    missing = [
        key
        for key in wanted
        if not isinstance(values.get(key), str) or not str(values[key]).strip()
    ]
    return [f"{where} in secrets.toml lacks {', '.join(missing)}."] if missing else []


def _known_by(mark: str, claims: Mapping[str, object]) -> set[str]:
    """By what a list of the settings may name somebody: the id here, and the address and its domain
    where the provider has verified it.
    """
    address = claims.get("email")
    if (
        not isinstance(address, str)
        or claims.get("email_verified") is not True
        or address.count("@") != 1
    ):
        return {mark}
    lower = address.strip().lower()
    return {mark, lower, lower[lower.index("@") :]}


def _name(claims: Mapping[str, object]) -> str:
    """One line; an address is nobody's name: others on the board would read it."""
    told = (claims.get(name) for name in ("name", "preferred_username"))
    named = (
        sanitize_name(text, LONGEST_NAME)
        for text in told
        if isinstance(text, str) and "@" not in text
    )
    return next(filter(None, named), "")
