"""Who may push events is said without a doubt, and whose subjects they are about."""

from typing import Any

import pytest

from sidecar.core.security_event import Transmitter
from tests.settings.desk import Desk, changed


@pytest.fixture
def receiver(desk: Desk) -> dict[str, Any]:
    return {
        "name": "idp",
        "issuer": "https://idp.example/",
        "audiences": ["https://sidecar.example"],
        "secret_file": desk.write("secret", b"a secret of some length\n"),
    }


def pushed(*receivers: dict[str, Any], **events: Any) -> dict[str, Any]:
    return changed(events={"receivers": list(receivers), **events})


def test_little_has_to_be_said(desk: Desk, receiver: dict[str, Any]) -> None:
    events = desk.load(pushed(receiver)).events

    assert events is not None
    (found,) = events.receivers
    assert found.read_secret() == "a secret of some length"
    assert found.transmitter({"https://idp.example/": "corp"}) == Transmitter(
        "https://idp.example/",
        frozenset({"https://sidecar.example"}),
        {"https://idp.example/": "corp"},
    )
    assert found.signer().type_required
    assert found.signer().token_types == {"secevent+jwt", "application/secevent+jwt"}


def test_a_transmitter_may_speak_of_anothers_subjects_if_it_is_said(
    desk: Desk, receiver: dict[str, Any]
) -> None:
    more = {
        "issuer": "https://signals.example",
        "subjects_of": ["https://idp.example/"],
        "opaque_subjects": True,
        "account_events": True,
    }
    events = desk.load(pushed({**receiver, **more})).events

    assert events is not None
    found = events.receivers[0].transmitter({"https://idp.example/": "corp"})
    assert found.subjects == {"https://idp.example/": "corp"}
    assert found.opaque_issuer == "https://idp.example/"
    assert found.changes_status


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"name": "a/b"}, "name"),
        ({"issuer": "http://idp.example/"}, "set insecure_http: true for this receiver"),
        ({"issuer": "https://user@idp.example/"}, "without user"),
        ({"jwks_url": "http://idp.example/keys"}, "set insecure_http: true for this receiver"),
        ({"algorithms": ["HS256"]}, "must not sign. Expected some of ES256"),
        ({"algorithms": []}, "must not sign"),
        ({"audiences": []}, "audiences"),
        ({"secret_file": "/nowhere"}, "cannot be read"),
        ({"issuer": "https://signals.example"}, "is none of issuers; name in subjects_of"),
        ({"subjects_of": ["https://other.example"]}, "is none of issuers; name in subjects_of"),
        ({"max_age": 1}, "greater than or equal to 60"),
        ({"trust": True}, "is no setting"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(
    desk: Desk, receiver: dict[str, Any], members: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(pushed({**receiver, **members}))


def test_a_short_secret_is_refused(desk: Desk, receiver: dict[str, Any]) -> None:
    short = desk.write("short", b"hunter2")

    assert "16 characters at least" in desk.the_problem(pushed({**receiver, "secret_file": short}))


def test_opaque_identifiers_are_one_issuers(desk: Desk, receiver: dict[str, Any]) -> None:
    issuers = [
        {"issuer": issuer, "audiences": ["api"]}
        for issuer in ("https://idp.example/", "https://other.example")
    ]
    more = {"opaque_subjects": True, "subjects_of": [each["issuer"] for each in issuers]}

    problem = desk.the_problem({**pushed({**receiver, **more}), "issuers": issuers})

    assert "opaque_subjects needs one issuer" in problem


@pytest.mark.parametrize("what", ["name", "issuer"])
def test_receivers_are_told_apart(desk: Desk, receiver: dict[str, Any], what: str) -> None:
    other = {
        **receiver,
        "name": "other",
        "issuer": "https://other.example",
        "subjects_of": ["https://idp.example/"],
        what: receiver[what],
    }

    assert f"{what} {receiver[what]!r} is there twice" in desk.the_problem(pushed(receiver, other))


def test_secrets_do_not_pass_the_network_unencrypted(desk: Desk, receiver: dict[str, Any]) -> None:
    assert "set events.tls" in desk.the_problem(pushed(receiver, host="0.0.0.0"))  # noqa: S104
    found = desk.load(pushed(receiver, host="0.0.0.0", insecure_http=True)).events  # noqa: S104
    assert found is not None
