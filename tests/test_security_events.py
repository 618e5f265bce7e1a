"""An event that is the transmitter's own is in force when it is answered, once, and everywhere."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.decision import Grant
from sidecar.core.security_event import EventRefusal, EventRefused
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import Change, StatusUnavailable, StreamKind
from sidecar.revocations import Revocations
from sidecar.security_events import Desk, EventOutcome, EventSink, EventsUnavailable
from sidecar.service_accounts import ServiceAccounts
from sidecar.stream_guard import StreamGuard
from sidecar.streams import Streams
from tests.fakes.events import (
    CAEP,
    RISC,
    ROBOT_ID,
    SIGNER,
    TRANSMITTER,
    FakeEventMemory,
    event,
    signed,
)
from tests.fakes.store import FakeAccountStore
from tests.fakes.tokens import ec_key, rsa_key
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER, NOW, REALM, World

ROBOT = SubjectKey(REALM, "robot")


class Case:
    def __init__(self, **transmitter: Any) -> None:
        self.world = World()
        self.store = FakeAccountStore()
        self.store.accounts[ROBOT] = Account("1", "robot", "Robot", (), AccountStatus.ACTIVE)
        self.memory = FakeEventMemory()
        self.outcomes: list[EventOutcome] = []
        clock, observer = self.world.clock, self.world.observer
        self.sink = EventSink(
            replace(TRANSMITTER, **transmitter),
            SIGNER,
            self.world.keys,
            self.memory,
            Desk(
                ServiceAccounts(self.store, clock, observer, actor="event:idp"),
                Revocations(self.store, clock, observer, actor="event:idp"),
            ),
            clock,
            self.outcomes.append,
        )

    @property
    def robot(self) -> Account:
        return self.store.accounts[ROBOT]

    async def take(self, *arguments: Any, **changed: Any) -> None:
        await self.sink.take(signed(event(*arguments, **changed)))

    async def refuses(self, text: str) -> EventRefusal:
        with pytest.raises(EventRefused) as refused:
            await self.sink.take(text)
        assert self.outcomes == [EventOutcome.REFUSED]
        assert self.store.writes == 0
        assert not self.memory.remembered
        return refused.value.refusal


async def test_a_revoked_session_makes_the_tokens_useless_that_there_were_by_then() -> None:
    case = Case()
    await case.take()

    assert case.robot.not_before == NOW - 5  # the second after the event's
    assert case.robot.is_active
    assert case.outcomes == [EventOutcome.REVOKED]
    (audit,) = case.world.observer.audits
    assert (audit.actor, audit.action, audit.key) == (
        "event:idp", "revoke_subject_tokens", ROBOT,
    )  # fmt: skip


async def test_an_event_of_long_ago_takes_nothing_back() -> None:
    case = Case()
    case.store.accounts[ROBOT] = replace(case.robot, not_before=NOW - 1.0)
    await case.take(payload={"event_timestamp": NOW - 1000})

    assert case.robot.not_before == NOW - 1


async def test_what_was_taken_is_not_taken_again() -> None:
    case = Case(changes_status=True)
    await case.take(RISC + "account-enabled")
    writes = case.store.writes
    case.store.accounts[ROBOT] = replace(case.robot, status=AccountStatus.INACTIVE, updated_at=0.0)

    await case.take(RISC + "account-enabled")

    assert case.outcomes[-1] is EventOutcome.REPEATED
    assert case.store.writes == writes
    assert not case.robot.is_active
    assert case.memory.remembered == {(ISSUER, "event-1"): 86400 + 120}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (signed(event())[:-5] + "AAAAA", EventRefusal.INVALID_KEY),
        (signed(event(), alg="none"), EventRefusal.INVALID_KEY),
        (signed(event(), alg="HS256"), EventRefusal.INVALID_KEY),
        (signed(event(), rsa_key("strangers")), EventRefusal.INVALID_KEY),
        (signed(event(), ec_key()), EventRefusal.INVALID_KEY),
        (signed(event(), typ="at+jwt"), EventRefusal.INVALID_REQUEST),
        (signed(event(), typ="JWT"), EventRefusal.INVALID_REQUEST),
        (signed(event(), typ=None), EventRefusal.INVALID_REQUEST),
        (signed(event(), kid=None), EventRefusal.INVALID_REQUEST),
        (signed(event(), jku="https://evil.example"), EventRefusal.INVALID_REQUEST),
        (signed(event(iss="https://other.example")), EventRefusal.INVALID_ISSUER),
        (signed(event(aud="https://other.example")), EventRefusal.INVALID_AUDIENCE),
        (signed(event(iat=NOW - 100_000)), EventRefusal.INVALID_REQUEST),
        ("", EventRefusal.INVALID_REQUEST),
        ("not a token", EventRefusal.INVALID_REQUEST),
        ("a.b.c\r\n", EventRefusal.INVALID_REQUEST),
        ("a" * 40_000, EventRefusal.INVALID_REQUEST),
        ("e30.e30.", EventRefusal.INVALID_REQUEST),
    ],
)
async def test_what_is_not_the_transmitters_changes_nothing(
    text: str, expected: EventRefusal
) -> None:
    assert await Case().refuses(text) is expected


async def test_an_access_token_of_the_same_keys_is_no_event() -> None:
    case = Case()

    assert await case.refuses(case.world.sign()) is EventRefusal.INVALID_REQUEST


async def test_a_key_that_is_new_is_fetched() -> None:
    case = Case()
    fresh = rsa_key("fresh")
    case.world.keys.on_refresh = lambda issuer: case.world.keys.publish(
        issuer, {"fresh": (fresh.verification_key(),)}
    )
    await case.sink.take(signed(event(), fresh))

    assert case.outcomes == [EventOutcome.REVOKED]


@pytest.mark.parametrize("what", ["keys", "store", "memory"])
async def test_what_cannot_be_put_into_force_is_to_be_sent_again(what: str) -> None:
    case = Case()
    if what == "keys":
        case.world.keys.forget(ISSUER)
    elif what == "store":
        case.store.failure = StatusUnavailable("down")
    else:
        case.memory.failure = StatusUnavailable("down")
    with pytest.raises(EventsUnavailable):
        await case.take()
    assert case.outcomes == [EventOutcome.UNAVAILABLE]
    assert not case.memory.remembered

    again = Case()
    again.memory = case.memory
    case.store.failure = case.memory.failure = None
    case.world.keys.publish(ISSUER, {"rsa": (rsa_key().verification_key(),)})
    await case.take()
    assert case.robot.not_before == NOW - 5


async def test_disabling_by_an_event_is_a_setting() -> None:
    case = Case()
    await case.take(RISC + "account-disabled")
    assert case.outcomes == [EventOutcome.IGNORED]
    assert case.robot.is_active

    case = Case(changes_status=True)
    await case.take(RISC + "account-disabled")
    assert case.outcomes == [EventOutcome.DISABLED]
    assert not case.robot.is_active
    assert case.robot.not_before == NOW - 5


async def test_an_account_is_enabled_unless_somebody_changed_it_since() -> None:
    case = Case(changes_status=True)
    inactive = replace(case.robot, status=AccountStatus.INACTIVE, updated_at=NOW - 10.0)
    case.store.accounts[ROBOT] = inactive
    await case.take(RISC + "account-enabled")
    assert case.outcomes == [EventOutcome.ENABLED]
    assert case.robot.is_active

    case.store.accounts[ROBOT] = replace(inactive, updated_at=NOW - 6.0)
    await case.take(RISC + "account-enabled", jti="event-2")
    assert case.outcomes[-1] is EventOutcome.SUPERSEDED
    assert not case.robot.is_active


async def test_who_is_disabled_meanwhile_is_not_enabled() -> None:
    case = Case(changes_status=True)
    inactive = replace(case.robot, status=AccountStatus.INACTIVE)
    case.store.accounts[ROBOT] = inactive

    def disable_again() -> None:
        case.store.accounts[ROBOT] = replace(inactive, updated_at=NOW, updated_by="operator")

    case.store.before_put = disable_again
    with pytest.raises(EventsUnavailable):
        await case.take(RISC + "account-enabled")

    assert not case.robot.is_active


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({"sub_id": {"format": "email", "email": "a@b"}}, EventOutcome.UNKNOWN_SUBJECT),
        ({"sub_id": {**ROBOT_ID, "sub": "stranger"}}, EventOutcome.UNKNOWN_SUBJECT),
        ({"events": {CAEP + "token-claims-change": {}}}, EventOutcome.IGNORED),
        ({"events": {"https://unheard.example/of": {}}}, EventOutcome.IGNORED),
    ],
)
async def test_what_changes_nothing_here_is_taken_and_logged(
    changed: dict[str, Any], outcome: EventOutcome
) -> None:
    """RFC 8935: a refusal would have the transmitter send it again for ever."""
    case = Case()
    await case.take(**changed)

    assert case.outcomes == [outcome]
    assert case.store.writes == 0
    assert case.memory.remembered


async def test_a_pushed_event_cuts_what_is_open_and_refuses_the_next_request() -> None:
    case = Case()
    world = case.world
    token = world.sign()
    decision = world.ask("GET", "/reports", token=token)
    assert isinstance(decision, Grant)
    streams = Streams(world.observer)
    guard = StreamGuard(streams, world.accounts, world.clock, {ISSUER: 0.0})
    cuts: list[object] = []
    with streams.registered(decision, StreamKind.WEBSOCKET, cuts.append):
        task = asyncio.get_running_loop().create_task(guard.run())
        await case.take()
        world.accounts.accounts[ROBOT] = case.robot
        world.accounts.change(Change(*ROBOT))
        await until(lambda: cuts)
        task.cancel()
        await asyncio.wait((task,))
    assert not isinstance(await world.wait_for("GET", "/reports", token=token), Grant)
