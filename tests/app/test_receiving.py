"""Settings become an entrance: a real push over sockets, its keys found by the metadata."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.app.checking import problems_of
from sidecar.app.receiving import make_event_listener, receiving, renew_event_context
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.observability.change_counter import ChangeCounter
from sidecar.settings import Settings
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.events import event
from tests.fakes.observer import RecordingObserver
from tests.fakes.transmitter import FakeTransmitter, fake_transmitter

SECRET = "a secret of some length"


def pushed_to(
    directory: Path, transmitter: FakeTransmitter, accounts: str, **events: Any
) -> Settings:
    secret = directory / "secret"
    secret.write_text(SECRET)
    receiver = {
        "name": "idp",
        "issuer": transmitter.issuer,
        "insecure_http": True,
        "audiences": ["https://sidecar.example"],
        "secret_file": str(secret),
    }
    issuer = {"issuer": transmitter.issuer, "insecure_http": True, "audiences": ["api"]}
    return settings(
        directory,
        issuers=[issuer],
        accounts={"url": accounts},
        events={"port": 0, "receivers": [receiver], **events},
    )


def about_the_robot(transmitter: FakeTransmitter, token_id: str) -> dict[str, Any]:
    now = int(SystemClock().now())
    subject = {"format": "iss_sub", "iss": transmitter.issuer, "sub": "robot"}
    return event(iat=now, jti=token_id, sub_id=subject, payload={"event_timestamp": now - 1})


async def push_twice(
    wanted: Settings, view: MemoryAccounts | None, transmitter: FakeTransmitter
) -> ChangeCounter:
    counter, listener = ChangeCounter(), make_event_listener(wanted)
    assert listener is not None
    async with (
        receiving(wanted, view, SystemClock(), RecordingObserver(), counter) as receive,
        listener,
    ):
        listener.receive = receive
        claims = about_the_robot(transmitter, "1")
        for _ in range(2):
            answer = await transmitter.push(listener.url + "/events/idp", SECRET, claims)
            assert answer == (202, b"")
    return counter


def count(counter: ChangeCounter, outcome: str) -> float | None:
    return counter.registry.get_sample_value(
        "sidecar_security_events_total", {"receiver": "idp", "outcome": outcome}
    )


async def test_a_push_revokes_the_accounts_tokens_in_redis(tmp_path: Path) -> None:
    async with RedisServer() as redis, fake_transmitter() as transmitter:
        await redis.command("HSET", "sidecar:account:default:robot", "status", "active")
        counter = await push_twice(pushed_to(tmp_path, transmitter, redis.url), None, transmitter)
        not_before = await redis.command("HGET", "sidecar:account:default:robot", "not_before")

    assert float(str(not_before)) > SystemClock().now() - 60
    assert (count(counter, "revoked"), count(counter, "repeated")) == (1, 1)


async def test_a_push_revokes_them_in_memory(tmp_path: Path) -> None:
    accounts = MemoryAccounts()
    robot = SubjectKey("default", "robot")
    await accounts.put(robot, Account("1", "robot", "", (), AccountStatus.ACTIVE), expected=None)
    async with fake_transmitter() as transmitter:
        wanted = pushed_to(tmp_path, transmitter, "memory://")
        counter = await push_twice(wanted, accounts, transmitter)

    found = await accounts.get(robot)
    assert found is not None
    assert found.not_before > 0
    assert (count(counter, "revoked"), count(counter, "repeated")) == (1, 1)


async def test_without_receivers_there_is_no_listener(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    assert make_event_listener(wanted) is None
    async with receiving(
        wanted, None, SystemClock(), RecordingObserver(), ChangeCounter()
    ) as receive:
        assert receive is None


def test_files_that_are_not_what_they_should_be_are_found_at_the_start(tmp_path: Path) -> None:
    transmitter = FakeTransmitter("https://idp.example")
    certificates = Certificates(tmp_path, "ours")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    tls = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    assert problems_of(pushed_to(tmp_path, transmitter, "memory://", tls=tls)) == []

    tls["certificate"] = str(junk)
    (problem,) = problems_of(pushed_to(tmp_path, transmitter, "memory://", tls=tls))

    assert problem.place == "events"
    assert "junk.pem" in problem.text


def test_a_renewed_certificate_is_shown_and_a_broken_one_is_not(tmp_path: Path) -> None:
    transmitter = FakeTransmitter("https://idp.example")
    certificates = Certificates(tmp_path, "ours")
    tls = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    wanted = pushed_to(tmp_path, transmitter, "memory://", tls=tls)
    listener = make_event_listener(wanted)
    renew_event_context(listener, wanted)
    renew_event_context(None, settings(tmp_path))

    certificates.certificate.write_text("junk")
    with pytest.raises(OSError, match=r"."):
        renew_event_context(listener, wanted)
