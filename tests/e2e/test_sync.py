"""A gateway's accounts kept in step by two workers, one of which leads."""

import asyncio
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import yaml

from sidecar.demo.gateway import GatewayAccount
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import Sidecar, cli, running_sidecar
from tests.e2e.test_main_job import bearer
from tests.e2e.test_reloading import reload
from tests.e2e.test_workers import all_ready, ask_all, metric, pids
from tests.fakes.answering import answering, ok
from tests.fakes.waiting import until, until_async

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

EVERY = 0.3
FAILED = "sidecar_sync_failures_total"
_LEADS = re.compile(r"process (\d+) syncs the accounts")


async def status_of(site: Site, subject: str = SUBJECT) -> str:
    found = await site.redis.command("HGET", f"sidecar:account:default:{subject}", "status")
    return str(found)


async def fence(site: Site) -> int:
    return int(str(await site.redis.command("GET", "sidecar:sync:fence:default")))


async def becomes(site: Site, status: str, subject: str = SUBJECT) -> None:
    async def has() -> bool:
        return await status_of(site, subject) == status

    await until_async(has, 20)


async def next_sync(site: Site, sidecar: Sidecar) -> None:
    """Wait until a sync that began later than now has succeeded."""
    before = await last_sync(site, sidecar)

    async def has_synced_twice() -> bool:
        # One that was under way may have seen what was before; at this pace the next did not.
        return await last_sync(site, sidecar) >= before + EVERY * 1.5

    await until_async(has_synced_twice, 20)


async def last_sync(site: Site, sidecar: Sidecar) -> float:
    return await metric(site, sidecar, "sidecar_sync_last_success_timestamp_seconds")


async def failures(site: Site, sidecar: Sidecar, reason: str) -> float:
    return await metric(site, sidecar, f'{FAILED}{{reason="{reason}"}}')


@asynccontextmanager
async def syncing(site: Site, workers: int = 2, **sync: object) -> AsyncIterator[Sidecar]:
    """Run a sidecar whose own identity in the gateway is ``syncer``."""
    site.gateway.accounts["syncer"] = GatewayAccount("syncer")
    token = site.directory / "token"
    token.write_text(site.token(sub="syncer", lifetime=3600))
    section = {"token_file": str(token), "every": EVERY, **sync}
    settings = site.settings(workers=workers, sync=section)
    async with running_sidecar(settings, site.directory) as sidecar:
        if workers > 1:
            await all_ready(site, sidecar, workers)
        yield sidecar


async def test_what_the_gateway_has_is_let_in_and_what_it_disables_is_refused(site: Site) -> None:
    token = site.token()
    async with syncing(site) as sidecar:
        await becomes(site, "active")
        assert await ask_all(site, sidecar, token, 20) == {200}

        site.gateway.accounts["new"] = GatewayAccount("new", "New", ("ops",))
        await becomes(site, "active", "new")
        site.gateway.accounts[SUBJECT].status = "inactive"
        await next_sync(site, sidecar)
        assert await ask_all(site, sidecar, token, 20) == {401}

        # The gateway cannot change these again, but we can.
        del site.gateway.accounts["new"]
        await becomes(site, "inactive", "new")
        assert await metric(site, sidecar, 'sidecar_sync_changes_total{kind="add"}') >= 3
        assert await metric(site, sidecar, 'sidecar_sync_changes_total{kind="disable"}') >= 2
        audits = [line for line in sidecar.decisions if line.get("event") == "account"]
        assert {line["actor"] for line in audits} == {"sync:gateway"}
        assert len(audits) == len({(line["action"], line["subject"]) for line in audits})


async def test_who_is_disabled_in_redis_stays_disabled(site: Site) -> None:
    async with syncing(site) as sidecar:
        await becomes(site, "active")
        await site.disable()
        site.gateway.accounts[SUBJECT].groups = ("more",)
        await next_sync(site, sidecar)

        assert await status_of(site) == "inactive"
        assert await ask_all(site, sidecar, site.token(), 10) == {401}


async def test_a_gateway_that_is_down_or_answers_garbage_changes_nothing(site: Site) -> None:
    answers = {
        "malformed": ok(b'{"message": "maintenance"}'),
        "status": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        "too_many_vanished": ok(b"null"),
        "unreachable": b"",
    }
    async with answering(None) as gateway:
        gateway.answer = ok(
            b'[{"subject": "api-user", "status": "active"}, {"subject": "b", "status": "active"}]'
        )
        async with syncing(site, gateway_url=gateway.url) as sidecar:
            await becomes(site, "active", "b")
            for reason, answer in answers.items():
                gateway.answer = answer

                async def has_failed(reason: str = reason) -> bool:
                    return await failures(site, sidecar, reason) >= 2

                await until_async(has_failed, 20)

            assert (await status_of(site), await status_of(site, "b")) == ("active", "active")
            assert await ask_all(site, sidecar, site.token(), 10) == {200}
            assert await metric(site, sidecar, 'sidecar_sync_changes_total{kind="disable"}') == 0

            gateway.answer = ok(b'[{"subject": "api-user", "status": "inactive"}]')
            await becomes(site, "inactive")


def leaders(sidecar: Sidecar) -> list[int]:
    """Return the processes that led, in their order."""
    return [int(pid) for pid in _LEADS.findall("".join(sidecar.output))]


async def test_when_the_leader_is_killed_another_takes_over(site: Site) -> None:
    async with syncing(site) as sidecar:
        await becomes(site, "active")
        (first,) = leaders(sidecar)
        assert first in pids(sidecar)
        number = await fence(site)
        os.kill(first, signal.SIGKILL)

        await until(lambda: len(leaders(sidecar)) == 2, 20)
        assert await fence(site) > number
        site.gateway.accounts["new"] = GatewayAccount("new")
        await becomes(site, "active", "new")


async def test_a_leader_that_was_paused_finds_that_it_is_none(site: Site) -> None:
    async with syncing(site) as sidecar:
        await becomes(site, "active")
        (first,) = leaders(sidecar)
        os.kill(first, signal.SIGSTOP)
        try:
            await until(lambda: len(leaders(sidecar)) == 2, 20)
        finally:
            os.kill(first, signal.SIGCONT)
        left = f"process {first} leaves it to others"
        await until(lambda: any(left in line for line in sidecar.output), 20)
        site.gateway.accounts["new"] = GatewayAccount("new")
        await becomes(site, "active", "new")
        assert len(leaders(sidecar)) == 2


async def test_a_redis_that_was_emptied_is_not_filled_again_before_somebody_looked(
    site: Site,
) -> None:
    """Who was disabled in it would be active again."""
    async with syncing(site, workers=1) as sidecar:
        await becomes(site, "active", "syncer")
        config = ("--config", str(site.directory / "sidecar.yaml"))
        assert (await cli("account", "disable", SUBJECT, *config))[0] == 0
        await next_sync(site, sidecar)
        await site.redis.command("FLUSHALL")

        async def is_won_again() -> bool:
            return await site.redis.command("EXISTS", "sidecar:sync:leader:default") == 1

        await until_async(is_won_again, 20)
        assert await ask_all(site, sidecar, site.token(), 3) == {503}
        assert await status_of(site) == "None"

        assert (await cli("account", "create", SUBJECT, "--disable", *config))[0] == 0
        assert (await cli("store", "confirm", "--yes", *config))[0] == 0
        await becomes(site, "active", "syncer")
        assert await status_of(site) == "inactive"


async def test_the_commands_show_and_carry_out_the_difference(site: Site) -> None:
    async with syncing(site, workers=1, every=3600) as sidecar:
        await becomes(site, "active")
        config = ("--config", str(site.directory / "sidecar.yaml"))
        site.gateway.accounts["new"] = GatewayAccount("new")

        code, out, err = await cli("account", "sync", "--dry-run", *config)
        assert (code, "new" in out) == (0, True), err
        assert await status_of(site, "new") == "None"
        code, out, err = await cli("account", "sync", *config)
        assert code == 0, err
        assert await status_of(site, "new") == "active"
        assert sidecar.process.returncode is None


async def test_pruning_asks_at_a_terminal(site: Site) -> None:
    file = site.directory / "accounts.json"
    file.write_text("[]")
    (site.directory / "sidecar.yaml").write_text(yaml.safe_dump(site.settings()))

    async def apply(answer: bytes) -> int:
        ours, theirs = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "sidecar", "account", "apply", "-f", str(file)),
                *("--prune", "--config", str(site.directory / "sidecar.yaml")),
                stdin=theirs,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            os.write(ours, answer)
            return await asyncio.wait_for(process.wait(), 60)
        finally:
            os.close(ours)
            os.close(theirs)

    await site.enable()
    assert await apply(b"n\n") == 1
    assert await status_of(site) == "active"
    assert await apply(b"y\n") == 0
    assert await status_of(site) == "None"


async def test_settings_without_a_sync_end_it_though_what_was_before_still_streams(
    site: Site,
) -> None:
    async with syncing(site, workers=1) as sidecar:
        await becomes(site, "active")
        stream = sidecar.url + "/api/sessions/1/stream"
        async with site.http.get(stream, headers=bearer(site.token())) as response:
            assert response.status == 200
            await reload(sidecar, site.directory, site.settings(workers=1))

            async def nobody_leads() -> bool:
                return await site.redis.command("EXISTS", "sidecar:sync:leader:default") == 0

            await until_async(nobody_leads, 20)
            assert await response.content.readany()
