"""The revocation endpoint's parts: the store that it writes to is the one that is read."""

from pathlib import Path

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.admin.listener import AdminListener, Revoke
from sidecar.app.revoking import revoking
from sidecar.core.subject import SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.introspection import NoIntrospection
from tests.admin.test_listener import ask
from tests.app.test_parts import settings
from tests.fakes.observer import RecordingObserver
from tests.fakes.world import ISSUER, World

CLIENT = {"client_id": "soc", "secret": "a secret of some length"}
ISSUERS = [{"issuer": ISSUER, "realm": "corp", "audiences": ["api"]}]


def listener(revoke: Revoke | None) -> AdminListener:
    return AdminListener(
        "127.0.0.1",
        0,
        probes=dict,
        render=lambda _: (b"", "text/plain"),
        workers=bytes,
        revoke=revoke,
    )


async def test_without_clients_there_is_no_such_path(tmp_path: Path) -> None:
    found = settings(tmp_path)
    world, observer = World(), RecordingObserver()
    async with (
        revoking(found, world.keys, NoIntrospection(), None, SystemClock(), observer) as revoke,
        listener(revoke) as admin,
    ):
        assert revoke is None
        assert (await ask(admin.url + "/oauth2/revoke", "POST"))[0] == 404
        assert (await ask(admin.url + "/oauth2/revoke", "GET"))[0] == 404


async def revoke_one(url: str, token: str) -> int:
    form = f"client_id=soc&client_secret=a+secret+of+some+length&token={token}"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    return (await ask(url + "/oauth2/revoke", "POST", form.encode(), **kind))[0]


async def test_in_redis_it_is_written_under_the_prefix_of_the_settings(tmp_path: Path) -> None:
    world, observer = World(), RecordingObserver()
    async with RedisServer() as redis:
        found = settings(
            tmp_path,
            issuers=ISSUERS,
            accounts={"url": redis.url, "prefix": "ours:"},
            admin={"revocation_clients": [CLIENT]},
        )
        async with (
            revoking(found, world.keys, NoIntrospection(), None, SystemClock(), observer) as revoke,
            listener(revoke) as admin,
        ):
            assert await revoke_one(admin.url, world.sign(jti="j", exp=4102444800)) == 200
        assert await redis.command("EXISTS", "ours:revoked:corp:j") == 1


async def test_in_memory_the_view_itself_is_written_to(tmp_path: Path) -> None:
    found = settings(
        tmp_path,
        issuers=ISSUERS,
        accounts={"url": "memory://"},
        admin={"revocation_clients": [CLIENT]},
    )
    world, observer, accounts = World(), RecordingObserver(), MemoryAccounts()
    async with (
        revoking(found, world.keys, NoIntrospection(), accounts, SystemClock(), observer) as revoke,
        listener(revoke) as admin,
    ):
        assert await revoke_one(admin.url, world.sign(jti="j")) == 200

    standing = accounts.look_up(SubjectKey("corp", "robot"), "j")
    assert standing is not None
    assert standing.token_revoked
    assert [record.actor for record in observer.audits] == ["oauth2:soc"]
