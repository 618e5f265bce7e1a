"""The principal."""

from dataclasses import FrozenInstanceError, replace

import pytest

from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import SubjectKey

ROBOT = Principal(
    key=SubjectKey("corp", "robot"),
    kind=PrincipalKind.SERVICE_ACCOUNT,
    issuer="https://idp.example",
    name="Robot",
    groups=("ops",),
    scopes=frozenset({"read"}),
    client_id="robot-client",
    token_id="t-1",
    issued_at=None,
    expires_at=1.0,
)


def test_a_principal_cannot_be_promoted() -> None:
    with pytest.raises(FrozenInstanceError):
        ROBOT.groups = ("admin",)  # type: ignore[misc]


def test_the_same_subject_in_another_realm_is_another() -> None:
    other = replace(ROBOT, key=SubjectKey("lab", "robot"))

    assert other != ROBOT
    assert other.key != ROBOT.key


def test_the_kinds_are_labels() -> None:
    assert [kind.value for kind in PrincipalKind] == ["service_account", "unregistered"]
