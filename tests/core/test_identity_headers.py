"""Identity headers: ours alone, under every spelling (P3, P15)."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.identity_headers import FIELDS, IdentityHeaders, encode_value, fold_name
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import SubjectKey

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)
NAMES = {field: f"X-Auth-{field.replace('_', '-').title()}" for field in FIELDS}
HEADERS = IdentityHeaders(NAMES, cleared=("X-Forwarded-User", "Remote_User"))
ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer="https://idp.example",
    name="Robot",
    groups=("Domain Admins", "ops"),
    scopes=frozenset({"write", "read"}),
    client_id="robot-client",
    token_id=None,
    issued_at=None,
    expires_at=0.0,
)


def test_every_alias_of_every_name_is_protected() -> None:
    """CVE-2025-64484, CVE-2026-54763, CVE-2026-88011: three rounds on one alias each."""
    for name in (*NAMES.values(), "X-Forwarded-User", "Remote_User"):
        parts = name.replace("_", "-").split("-")
        for joints in itertools.product("-_.", repeat=len(parts) - 1):
            alias = parts[0] + "".join(
                joint + part for joint, part in zip(joints, parts[1:], strict=True)
            )
            for spelled in (alias, alias.lower(), alias.upper(), alias.swapcase()):
                assert HEADERS.is_protected(spelled), spelled


@HOSTILE
@given(
    st.sampled_from(sorted(NAMES.values())),
    st.lists(st.sampled_from("-_. !#$%&'*+^`|~"), min_size=3, max_size=3),
    st.integers(0, 2**20),
)
def test_no_separator_and_no_case_makes_a_name_another(
    name: str, joints: list[str], cases: int
) -> None:
    spelled = "".join(c.upper() if cases >> i & 1 else c.lower() for i, c in enumerate(name))
    for joint in joints:
        spelled = spelled.replace("-", joint, 1)

    assert HEADERS.is_protected(spelled)


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "X-Auth",
        "X-Auth-Subjects",
        "X-Auth-Sub",
        "XAuthSubject",
        "Authorization",
        "A" * 200,
    ],
)
def test_other_names_are_left_alone(name: str) -> None:
    assert not HEADERS.is_protected(name)


@pytest.mark.parametrize(
    "name", ["Transfer_Encoding", "transfer.encoding", "Content_Length", "CONTENT LENGTH"]
)
def test_an_alias_of_a_framing_header_is_protected(name: str) -> None:
    """Such an alias would be a second opinion on where the message ends."""
    assert HEADERS.is_protected(name)


@pytest.mark.parametrize("name", ["Transfer-Encoding", "content-length", "Host", "Connection"])
def test_a_framing_header_itself_is_not(name: str) -> None:
    assert not HEADERS.is_protected(name)


@pytest.mark.parametrize(
    "name", ["X-Auth-Cl\u0131ent-Id", "X-Auth-\u017fubject", "X-Auth-Sub\u00efject", "\u00e9"]
)
def test_a_name_outside_ascii_is_never_passed_on(name: str) -> None:
    """Such letters become others in upper or lower case, differently in each program."""
    assert HEADERS.is_protected(name)


def test_a_long_name_is_folded_all_the_same() -> None:
    long_name = "X-" + "a-" * 100 + "z"

    assert IdentityHeaders({"subject": long_name}).is_protected(long_name.replace("-", "_"))
    assert fold_name(long_name) == long_name.casefold()


def test_every_configured_header_is_told() -> None:
    assert dict(HEADERS.values(ROBOT, "r-1")) == {
        "X-Auth-Subject": "robot",
        "X-Auth-Issuer": "https://idp.example",
        "X-Auth-Name": "Robot",
        "X-Auth-Groups": "Domain Admins,ops",
        "X-Auth-Scopes": "read write",
        "X-Auth-Client-Id": "robot-client",
        "X-Auth-Kind": "service_account",
        "X-Auth-Request-Id": "r-1",
        "X-Auth-Assertion": "",
        "X-Forwarded-User": "",
        "Remote_User": "",
    }


def test_for_an_unknown_caller_every_header_is_told_empty() -> None:
    """A header merely left out leaves the client's own in some chains (CVE-2026-30851)."""
    told = dict(HEADERS.values(None, "r-1"))

    assert set(told) == {*NAMES.values(), "X-Forwarded-User", "Remote_User"}
    assert {name: value for name, value in told.items() if value} == {"X-Auth-Request-Id": "r-1"}


def test_a_field_that_is_not_configured_is_not_told() -> None:
    assert IdentityHeaders({"subject": "X-Sub"}).values(ROBOT, "r-1") == [("X-Sub", "robot")]


def test_a_scope_with_a_space_stays_one_scope() -> None:
    crafty = replace(ROBOT, scopes=frozenset({"read admin", "write"}))

    assert dict(HEADERS.values(crafty, ""))["X-Auth-Scopes"] == "read%20admin write"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("Robot 7", "Robot 7"),
        ("100%", "100%25"),
        ("%0d%0a", "%250d%250a"),
        ("x\u00e9", "x%C3%A9"),
        ("a\r\nX-Auth-Groups: admin", "a%0D%0AX-Auth-Groups: admin"),
        ("a\x00b\x7f\t", "a%00b%7F%09"),
        ("\u2028", "%E2%80%A8"),
        ("\ud800", "?"),
    ],
)
def test_a_value_is_percent_encoded_outside_printable_ascii(text: str, value: str) -> None:
    assert encode_value(text) == value


@HOSTILE
@given(st.text() | st.text(st.characters(categories=["Cc", "Cs", "Zs", "Lu", "Po"])))
@example("\udfff\r\n\x00%")
def test_no_text_yields_a_control_or_a_non_ascii_octet(text: str) -> None:
    value = encode_value(text)

    assert value.isascii()
    assert value.isprintable()


@HOSTILE
@given(st.text(), st.text(), st.frozensets(st.text(), max_size=3))
def test_no_claim_breaks_a_header(name: str, issuer: str, scopes: frozenset[str]) -> None:
    hostile = replace(ROBOT, name=name, issuer=issuer, scopes=scopes)

    for _, value in HEADERS.values(hostile, "r-1"):
        assert value.isascii()
        assert value.isprintable()
