"""A Redis that does not let us in, or is not the one that it should be (R13).

Whatever is wrong, nobody is granted anything, the log says why, and once it is put right the view
finds its way back by itself.
"""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
import trustme

from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import StatusUnavailable, ViewEvent
from tests.adapters.test_redis_accounts import ALICE, Seen, activate, running_view
from tests.fakes.scripted_redis import scripted_redis
from tests.fakes.waiting import until

POLICY = ViewPolicy(read_timeout=1.0, max_backoff=0.05)
# As docs/redis.md gives them.
RIGHTS = (
    "%R~sidecar:*", "-@all", "+hello", "+auth", "+ping", "+select", "+client|tracking", "+hgetall",
    "+exists", "+mget", "+role",
)  # fmt: skip
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


async def is_shut(view: RedisAccountView, seen: Seen) -> None:
    """Nothing is known and nobody is let in, however often it is tried."""
    seen.observer.view_events.clear()
    await until(lambda: seen.observer.view_events.count(ViewEvent.LOST) > 2)
    assert ViewEvent.LIVE not in seen.observer.view_events
    await until(lambda: not view.is_live())
    assert view.look_up(ALICE, None) is None
    with pytest.raises(StatusUnavailable):
        await view.read(ALICE, None)


async def gets_well(view: RedisAccountView) -> None:
    await until(view.is_live)
    assert (await view.read(ALICE, None)).account is not None


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelname == "WARNING"]


async def test_a_wrong_password_lets_nobody_in_until_it_is_the_right_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Seen()
    async with RedisServer(password="another") as redis:
        await activate(redis)
        url = f"redis://127.0.0.1:{redis.port}/0"
        async with running_view(url, POLICY, seen, {"password": "mine"}) as view:
            await is_shut(view, seen)
            told = warnings(caplog)[0]
            assert "AuthenticationError" in told
            assert "mine" not in told

            await redis.command("CONFIG", "SET", "requirepass", "mine")
            await gets_well(view)


async def test_a_password_that_is_changed_under_us_ends_the_lease(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen = Seen()
    async with RedisServer(password="first") as redis:
        await activate(redis)
        async with running_view(redis.url, POLICY, seen) as view:
            await gets_well(view)

            await redis.command("CONFIG", "SET", "requirepass", "second")
            new = RedisServer(port=redis.port, password="second")  # to talk to the one that runs
            await new.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await is_shut(view, seen)
            # It began with a connection that was closed; that is not why it lasts.
            await until(lambda: any("AuthenticationError" in each for each in warnings(caplog)))

            await new.command("CONFIG", "SET", "requirepass", "first")
            await gets_well(view)


async def sidecar_user(redis: RedisServer, *changes: str) -> None:
    await redis.command("ACL", "SETUSER", "sidecar", "on", ">secret", *changes)


@pytest.mark.parametrize("right", ["client|tracking", "ping", "mget"])
async def test_a_user_without_a_right_lets_nobody_in_until_it_has_it(
    redis: RedisServer, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    await activate(redis)
    await sidecar_user(redis, *(each for each in RIGHTS if each != f"+{right}"))
    seen = Seen()
    options = {"username": "sidecar", "password": "secret"}
    async with running_view(redis.url, POLICY, seen, options) as view:
        await is_shut(view, seen)
        told = warnings(caplog)[0]
        assert "permission" in told

        await sidecar_user(redis, f"+{right}")
        await gets_well(view)


def wrong_name(ours: trustme.CA) -> trustme.LeafCert:
    return ours.issue_cert("redis.example")


def unknown_authority(_: trustme.CA) -> trustme.LeafCert:
    return trustme.CA().issue_cert("127.0.0.1")


def expired(ours: trustme.CA) -> trustme.LeafCert:
    return ours.issue_cert("127.0.0.1", not_before=LONG_AGO, not_after=LONG_AGO.replace(month=2))


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (wrong_name, "mismatch"),
        (unknown_authority, "unable to get local issuer"),
        (expired, "has expired"),
    ],
)
async def test_a_certificate_that_proves_nothing_lets_nobody_in_until_it_does(
    caplog: pytest.LogCaptureFixture,
    certificate: Callable[[trustme.CA], trustme.LeafCert],
    why: str,
) -> None:
    ours, seen = trustme.CA(), Seen()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate(ours).configure_cert(server)
    options = {"ssl_ca_data": ours.cert_pem.bytes().decode()}
    async with (
        scripted_redis({}, server) as redis,
        running_view(redis.url, POLICY, seen, options) as view,
    ):
        await is_shut(view, seen)
        told = warnings(caplog)[0]
        assert why in told

        ours.issue_cert("127.0.0.1").configure_cert(server)
        await gets_well(view)
