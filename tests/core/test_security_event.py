"""A security event token says who is meant and what happened, or it is refused."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.security_event import (
    Effect,
    EventRefusal,
    EventRefused,
    EventToken,
    Transmitter,
    read_events,
)
from sidecar.core.subject import SubjectKey
from sidecar.core.token import VerifiedToken
from tests.fakes.events import CAEP, RISC, ROBOT_ID, TRANSMITTER, event
from tests.fakes.world import ISSUER, NOW, REALM

ROBOT = SubjectKey(REALM, "robot")
OTHER = "https://other.example"


def read(claims: dict[str, Any], transmitter: Transmitter = TRANSMITTER) -> EventToken:
    return read_events(VerifiedToken(ISSUER, "secevent+jwt", claims, 1), transmitter, NOW)


def refusal(claims: dict[str, Any]) -> EventRefusal:
    with pytest.raises(EventRefused) as refused:
        read(claims)
    assert refused.value.description
    return refused.value.refusal


def test_a_revoked_session_says_whose_and_when() -> None:
    found = read(event())

    assert (found.token_id, found.issued_at) == ("event-1", NOW - 5)
    (happened,) = found.events
    assert (happened.effect, happened.keys, happened.at) == (Effect.REVOKE, (ROBOT,), NOW - 6)


@pytest.mark.parametrize(
    ("kind", "payload", "effect", "with_status"),
    [
        (CAEP + "session-revoked", {}, Effect.REVOKE, Effect.REVOKE),
        (CAEP + "credential-change", {"change_type": "revoke"}, Effect.REVOKE, Effect.REVOKE),
        (CAEP + "credential-change", {"change_type": "delete"}, Effect.REVOKE, Effect.REVOKE),
        (CAEP + "credential-change", {"change_type": "update"}, Effect.REVOKE, Effect.REVOKE),
        (CAEP + "credential-change", {}, Effect.REVOKE, Effect.REVOKE),
        (CAEP + "credential-change", {"change_type": "create"}, Effect.NONE, Effect.NONE),
        (CAEP + "token-claims-change", {"claims": {}}, Effect.NONE, Effect.NONE),
        (RISC + "sessions-revoked", {}, Effect.REVOKE, Effect.REVOKE),
        (RISC + "account-disabled", {"reason": "hijacking"}, Effect.NONE, Effect.DISABLE),
        (RISC + "account-purged", {}, Effect.NONE, Effect.DISABLE),
        (RISC + "account-enabled", {}, Effect.NONE, Effect.ENABLE),
        (CAEP + "account-disabled", {}, Effect.NONE, Effect.NONE),
        ("https://unheard.example/of", {}, Effect.NONE, Effect.NONE),
        (
            "https://schemas.openid.net/secevent/ssf/event-type/verification",
            {"state": "x"},
            Effect.NONE,
            Effect.NONE,
        ),
    ],
)
def test_each_type_of_event_has_its_effect(
    kind: str, payload: dict[str, Any], effect: Effect, with_status: Effect
) -> None:
    claims = event(kind, payload)

    assert read(claims).events[0].effect is effect
    found = read(claims, replace(TRANSMITTER, changes_status=True)).events[0]
    assert found.effect is with_status
    assert (found.keys == (ROBOT,)) is (with_status is not Effect.NONE)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"iss": OTHER}, EventRefusal.INVALID_ISSUER),
        ({"iss": None}, EventRefusal.INVALID_ISSUER),
        ({"aud": OTHER}, EventRefusal.INVALID_AUDIENCE),
        ({"aud": None}, EventRefusal.INVALID_AUDIENCE),
        ({"aud": [{"a": 1}]}, EventRefusal.INVALID_AUDIENCE),
        ({"aud": "https://sidecar.example/"}, EventRefusal.INVALID_AUDIENCE),
        ({"sub": "robot"}, EventRefusal.INVALID_REQUEST),
        ({"exp": NOW + 60}, EventRefusal.INVALID_REQUEST),
        ({"jti": None}, EventRefusal.INVALID_REQUEST),
        ({"jti": ""}, EventRefusal.INVALID_REQUEST),
        ({"jti": 7}, EventRefusal.INVALID_REQUEST),
        ({"iat": None}, EventRefusal.INVALID_REQUEST),
        ({"iat": "now"}, EventRefusal.INVALID_REQUEST),
        ({"iat": True}, EventRefusal.INVALID_REQUEST),
        ({"iat": NOW + 61}, EventRefusal.INVALID_REQUEST),
        ({"iat": NOW - 86401}, EventRefusal.INVALID_REQUEST),
        ({"events": None}, EventRefusal.INVALID_REQUEST),
        ({"events": {}}, EventRefusal.INVALID_REQUEST),
        ({"events": []}, EventRefusal.INVALID_REQUEST),
        ({"events": {CAEP + "session-revoked": None}}, EventRefusal.INVALID_REQUEST),
        ({"events": {f"https://a/{n}": {} for n in range(17)}}, EventRefusal.INVALID_REQUEST),
        ({"events": {"a\nb": {}}}, EventRefusal.INVALID_REQUEST),
        ({"events": {"a" * 256: {}}}, EventRefusal.INVALID_REQUEST),
        ({"sub_id": None}, EventRefusal.INVALID_REQUEST),
        ({"sub_id": "robot"}, EventRefusal.INVALID_REQUEST),
        ({"sub_id": {"format": "aliases"}}, EventRefusal.INVALID_REQUEST),
        (
            {"sub_id": {"format": "aliases", "identifiers": [ROBOT_ID] * 17}},
            EventRefusal.INVALID_REQUEST,
        ),
    ],
)
def test_what_is_no_sound_event_for_us_is_refused(
    changed: dict[str, Any], expected: EventRefusal
) -> None:
    assert refusal(event(**changed)) is expected


@pytest.mark.parametrize("aud", ["https://sidecar.example", [OTHER, "https://sidecar.example"]])
def test_an_audience_is_one_or_several(aud: object) -> None:
    assert read(event(aud=aud)).events


@pytest.mark.parametrize(
    ("subject", "keys"),
    [
        (ROBOT_ID, (ROBOT,)),
        ({"format": "iss_sub", "iss": OTHER, "sub": "robot"}, ()),
        ({"format": "iss_sub", "iss": ISSUER, "sub": "a\r\nb"}, ()),
        ({"format": "iss_sub", "iss": ISSUER}, ()),
        ({"format": "iss_sub", "iss": [ISSUER], "sub": "robot"}, ()),
        ({"format": "opaque", "id": "robot"}, ()),
        ({"format": "email", "email": "robot@example.com"}, ()),
        ({"format": "account", "uri": "acct:robot@example.com"}, ()),
        ({"format": "phone_number", "phone_number": "+1"}, ()),
        ({"format": ["iss_sub"]}, ()),
        ({}, ()),
        (
            {"format": "complex", "user": ROBOT_ID, "device": {"format": "opaque", "id": "d"}},
            (ROBOT,),
        ),
        ({"format": "complex", "session": {"format": "opaque", "id": "s"}}, ()),
        ({"format": "complex", "user": {"format": "complex", "user": ROBOT_ID}}, ()),
        ({"format": "aliases", "identifiers": [ROBOT_ID, ROBOT_ID]}, (ROBOT,)),
        (
            {"format": "aliases", "identifiers": [{"format": "email", "email": "a@b"}, ROBOT_ID]},
            (ROBOT,),
        ),
        (
            {
                "format": "aliases",
                "identifiers": [{"format": "aliases", "identifiers": [ROBOT_ID]}],
            },
            (),
        ),
    ],
)
def test_who_is_meant_by_each_format(subject: object, keys: tuple[SubjectKey, ...]) -> None:
    """RFC 9493."""
    assert read(event(sub_id=subject)).events[0].keys == keys


def test_an_opaque_identifier_is_a_subject_where_the_settings_say_whose() -> None:
    found = read(
        event(sub_id={"format": "opaque", "id": "robot"}),
        replace(TRANSMITTER, opaque_issuer=ISSUER),
    )

    assert found.events[0].keys == (ROBOT,)


def test_the_subject_may_stand_in_the_event_as_it_used_to() -> None:
    claims = event(payload={"subject": ROBOT_ID}, sub_id=None)

    assert read(claims).events[0].keys == (ROBOT,)


@pytest.mark.parametrize(
    ("timestamp", "at"),
    [
        (NOW - 100, NOW - 100),
        (NOW + 1000, NOW - 5),
        (NOW * 1000, NOW - 5),
        (None, NOW - 5),
        ("soon", NOW - 5),
        (-1, NOW - 5),
        (10**400, NOW - 5),
    ],
)
def test_nothing_happened_later_than_it_was_told(timestamp: object, at: float) -> None:
    """Else a timestamp in milliseconds would shut a program out for fifty thousand years."""
    claims = event(payload={"event_timestamp": timestamp})

    assert read(claims).events[0].at == at


def test_nothing_happens_after_now_though_the_transmitters_clock_is_ahead() -> None:
    assert read(event(iat=NOW + 30, payload={"event_timestamp": NOW + 30})).events[0].at == NOW


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
_NAMES = st.sampled_from(["iss", "aud", "iat", "jti", "sub_id", "events", "exp"])


@given(st.dictionaries(_NAMES, _JSON))
def test_hostile_claims_are_refused_and_never_a_surprise(changed: dict[str, Any]) -> None:
    with suppress(EventRefused):
        for each in read({**event(), **changed}).events:
            assert each.at <= NOW
            assert set(each.keys) <= {ROBOT}
