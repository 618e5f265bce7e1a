"""From a grant to the record, with the settings' realms, prefix and bounds."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.redis_last_use import RedisLastUse
from sidecar.app.observing import observing
from sidecar.app.parts import make_accounts
from sidecar.app.recording import open_recorded_use, recording
from sidecar.app.running import running
from sidecar.core.decision import Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import SubjectKey
from sidecar.demo.redis_server import RedisServer
from sidecar.ports import ViewEvent
from tests.app.test_parts import settings
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until, until_async
from tests.observability.test_recent_use import principal

REQUEST = AccessRequest("GET", "a", "/x", "", (), "127.0.0.1", "r")
ROBOT = SubjectKey("default", "robot")
GRANT = Grant(Route("r", "/x"), principal(ROBOT))


async def test_where_it_is_not_asked_for_nothing_listens(tmp_path: Path) -> None:
    found, clock = settings(tmp_path), SystemClock()
    with observing(clock) as observed:
        watched = observed(found)
        async with recording(found, watched, clock) as record:
            await record()
        assert watched.recent_use is None


async def is_recording(store: RedisLastUse) -> bool:
    return (await store.read("default", [])).since is not None


@pytest.mark.parametrize("prefix", ["sidecar:", "u", "used:"])
async def test_a_grant_is_recorded_and_no_view_hears_of_it(tmp_path: Path, prefix: str) -> None:
    clock, keys = SystemClock(), AccountKeys(prefix)
    observer = RecordingObserver()

    def pushes() -> int:
        return observer.view_events.count(ViewEvent.INVALIDATED)

    async with RedisServer() as redis:
        await redis.command("HSET", keys.account(ROBOT), "status", "active")
        section: dict[str, Any] = {"url": redis.url, "prefix": prefix, "last_use": {"every": 1}}
        found = settings(tmp_path, accounts=section)
        accounts = make_accounts(found, clock, observer)
        with observing(clock) as observed:
            watched = observed(found)
            async with (
                running(accounts.run),
                recording(found, watched, clock) as record,
                open_recorded_use(found, 5.0) as store,
            ):
                await until(accounts.view.is_live)
                before = pushes()
                async with running(record):
                    await until_async(lambda: is_recording(store))
                    watched.observer.decided(REQUEST, GRANT, 0.0)
                # What is written after it is heard after it.
                await redis.command("HSET", keys.account(ROBOT), "status", "inactive")
                await until(lambda: pushes() > before)
                found_uses = (await store.read("default", ["robot"])).by_subject

    assert found_uses["robot"].uses == 1
    assert pushes() == before + 1
