"""The gateway's accounts: JSON and judgement."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.demo.gateway_accounts import GatewayAccount, Refused, read_account

REQUIRED = "Key: 'ServiceAccount.{0}' Error:Field validation for '{0}' failed on the 'required' tag"


def posted(**members: object) -> bytes:
    return json.dumps({"subject": "api-user", "status": "active"} | members).encode()


def refusal(body: bytes) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        read_account(body)
    return caught.value.status, caught.value.message


def test_an_account_is_read() -> None:
    account = read_account(posted(name="Api User", groups=["devops", "ops"], extra=1))

    assert account == GatewayAccount("api-user", "Api User", ("devops", "ops"), "active")


def test_name_and_groups_may_be_absent_or_null() -> None:
    bare = GatewayAccount("api-user", "", (), "active")

    assert read_account(posted()) == bare
    assert read_account(posted(name=None, groups=None)) == bare


def test_the_id_is_derived_from_the_subject() -> None:
    assert GatewayAccount("api-user").id == "e2ad98f2-5086-538e-8171-71e65cc5b081"


@pytest.mark.parametrize(
    ("groups", "role"),
    [((), "standard"), (("auditor",), "auditor"), (("auditor", "admin"), "admin")],
)
def test_the_role_follows_from_the_groups(groups: tuple[str, ...], role: str) -> None:
    account = GatewayAccount("api-user", groups=groups)

    assert account.role == role
    assert account.userinfo()["is_admin"] is (role == "admin")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "EOF"),
        (b" ", "EOF"),
        (b"{}", f"{REQUIRED.format('Subject')}\n{REQUIRED.format('Status')}"),
        (posted(subject=""), REQUIRED.format("Subject")),
        (posted(status=None), REQUIRED.format("Status")),
    ],
)
def test_what_is_missing_is_named(body: bytes, message: str) -> None:
    assert refusal(body) == (400, message)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        b"1",
        posted(subject=1),
        posted(groups="ops"),
        posted(groups=["ops", 1]),
        posted(name=[]),
        posted(status=True),
    ],
)
def test_what_is_not_an_account_is_a_400(body: bytes) -> None:
    assert refusal(body)[0] == 400


def test_a_status_that_does_not_exist_is_a_422() -> None:
    assert refusal(posted(status="foo")) == (422, 'wrong status value "foo"')


@settings(max_examples=200)
@given(st.binary() | st.text().map(str.encode))
def test_whatever_is_posted_is_answered(body: bytes) -> None:
    with pytest.raises(Refused):
        read_account(body)
