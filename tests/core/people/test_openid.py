from collections.abc import Mapping
from pathlib import Path

import pytest

from core.access import GUEST, Role
from core.errors import ConfigError, NotAllowed
from core.people import openid
from core.people.openid import SignIn, describe_sign_in, find_visitor, read_secrets, read_sign_in
from core.settings import Settings

SECTION = {
    "redirect_uri": "http://localhost:8501/oauth2callback",
    "cookie_secret": "c" * 32,
    "client_id": "lab",
    "client_secret": "s",
    "server_metadata_url": "http://localhost/.well-known/openid-configuration",
}
ADA = {
    "is_logged_in": True,
    "iss": "https://id.example",
    "sub": "1",
    "name": "Ada",
    "email": "Ada@school.example",
    "email_verified": True,
}
CLASS = Settings(mode="classroom", teachers=("grace@school.example",))


def without(values: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: value for name, value in values.items() if name not in names}


def test_no_section_means_no_signing_in() -> None:
    assert read_sign_in({}) == SignIn()
    assert not read_sign_in({}).is_configured


def test_a_whole_section_is_ready_with_and_without_a_name() -> None:
    shared = {name: SECTION[name] for name in openid.SHARED_KEYS}
    own = {name: SECTION[name] for name in openid.PROVIDER_KEYS}

    assert read_sign_in(SECTION) == SignIn(("",))
    assert read_sign_in({**shared, "school": own, "google": own}) == SignIn(("school", "google"))
    assert read_sign_in({**SECTION, "client_kwargs": {"prompt": "login"}}).ready


@pytest.mark.parametrize("name", SECTION)
def test_what_is_missing_is_named_and_keeps_everybody_out(name: str) -> None:
    result = read_sign_in(without(SECTION, name))

    assert result.is_configured and not result.ready
    assert any(f"lacks {name}" in problem for problem in result.problems)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cookie_secret": "short"}, "cookie_secret has 5 characters"),
        ({"redirect_uri": "http://localhost:8501/"}, "redirect_uri does not end with"),
        ({"my_school": {"client_id": "a"}}, "underscore"),
        ({"client_id": "  "}, "lacks client_id"),
    ],
)
def test_what_would_not_work_or_not_be_safe_is_said(
    changes: dict[str, object], message: str
) -> None:
    result = read_sign_in({**SECTION, **changes})

    assert not result.ready
    assert message in " ".join(result.problems)


def test_claims_from_headers_are_refused() -> None:
    assert "X-Who" in " ".join(read_sign_in(SECTION, {"X-Who": "sub"}).problems)
    assert read_sign_in(SECTION, {"X-Locale": "locale"}).ready


def test_an_owner_depends_on_issuer_and_subject_alone() -> None:
    ada = find_visitor(CLASS, ADA)

    assert (ada.name, ada.role) == ("Ada", Role.STUDENT)
    assert (
        find_visitor(CLASS, {**ADA, "name": "Ada King", "email": "king@school.example"}).id
        == ada.id
    )
    assert find_visitor(CLASS, {**ADA, "sub": "2"}).id != ada.id
    assert find_visitor(CLASS, {**ADA, "iss": "https://other.example"}).id != ada.id


@pytest.mark.parametrize(
    "claims",
    [
        {},
        without(ADA, "sub"),
        without(ADA, "iss"),
        {**ADA, "is_logged_in": "true"},
        {**ADA, "is_logged_in": False},
        {**ADA, "sub": 1},
    ],
)
def test_without_a_checked_token_someone_is_a_guest(claims: dict[str, object]) -> None:
    assert find_visitor(CLASS, claims) is GUEST


def test_a_verified_address_of_the_settings_is_the_teachers() -> None:
    grace = {**ADA, "sub": "9", "name": "Grace", "email": "Grace@School.example"}

    assert find_visitor(CLASS, grace).role is Role.TEACHER
    assert find_visitor(CLASS, {**grace, "email_verified": False}).role is Role.STUDENT
    assert find_visitor(CLASS, {**grace, "email_verified": "true"}).role is Role.STUDENT
    assert find_visitor(CLASS, without(grace, "email_verified")).role is Role.STUDENT


def test_an_id_names_the_teacher_where_the_provider_verifies_no_address() -> None:
    plain = without(ADA, "email", "email_verified")
    mark = find_visitor(CLASS, plain).id

    assert find_visitor(Settings(mode="classroom", teachers=(mark,)), plain).role is Role.TEACHER


def test_a_domain_lets_students_in_and_makes_no_one_a_teacher() -> None:
    assert (
        find_visitor(Settings(mode="classroom", students=("@school.example",)), ADA).role
        is Role.STUDENT
    )
    assert (
        find_visitor(Settings(mode="classroom", teachers=("@school.example",)), ADA).role
        is Role.STUDENT
    )


@pytest.mark.parametrize(
    "address",
    [
        "ada@elsewhere.example",
        "school.example",
        "ada@school.example.evil.example",
        "@school.example@evil.example",
    ],
)
def test_who_is_on_no_list_is_refused_with_the_id_to_show(address: str) -> None:
    listed = Settings(mode="classroom", students=("@school.example",))

    with pytest.raises(NotAllowed, match="Your id is oidc-"):
        find_visitor(listed, {**ADA, "email": address})


def test_on_a_public_page_only_an_admin_is_someone() -> None:
    public = Settings(mode="public", teachers=("ada@school.example",))

    assert find_visitor(public, ADA).is_admin
    assert find_visitor(public, {**ADA, "email": "bob@school.example"}) is GUEST


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "  Ada \n Lovelace "}, "Ada Lovelace"),
        ({"name": "ada@school.example", "preferred_username": "ada"}, "ada"),
        ({"name": "x" * 300}, "x" * 40),
        ({"name": "A\u202edA\x07"}, "AdA"),
        ({"name": 7}, "Student"),
    ],
)
def test_a_name_is_one_short_line_and_no_address(claims: dict[str, object], name: str) -> None:
    assert find_visitor(CLASS, {**ADA, **claims}).name.startswith(name)
    assert "@" not in find_visitor(CLASS, {**ADA, **claims}).name


def test_each_mode_says_its_way_in() -> None:
    ready, none, broken = (
        SignIn(("",)),
        SignIn(),
        SignIn((), ("[auth] in secrets.toml lacks client_id.",)),
    )

    assert (
        describe_sign_in(Settings(mode="local"), ready)
        == "from this machine only, without signing in"
    )
    assert describe_sign_in(CLASS, none) == "class code and teacher's code"
    assert describe_sign_in(CLASS, ready) == "signing in (OpenID Connect)"
    assert "names no teacher" in describe_sign_in(Settings(mode="classroom"), ready)
    assert "lacks client_id" in describe_sign_in(CLASS, broken)
    assert describe_sign_in(Settings(mode="public"), none) == "everyone may view the pages"
    assert "are admins after signing in" in describe_sign_in(Settings(mode="public"), ready)


def test_of_two_files_of_secrets_the_later_one_wins(tmp_path: Path) -> None:
    files = first, second = tmp_path / "home.toml", tmp_path / "project.toml"
    assert read_secrets(files) == {}

    first.write_text('[auth]\nclient_id = "first"\n')
    second.write_text('[auth]\nclient_id = "second"\n')
    assert read_secrets(files) == {"client_id": "second"}

    second.write_text("[auth")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secrets(files)
