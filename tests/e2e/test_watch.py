"""``sidecar watch`` on the real process."""

import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_main_job import status
from tests.e2e.test_workers import ask_all, pids

pytestmark = pytest.mark.e2e


def words(out: str) -> list[list[str]]:
    return [line.replace("│", " ").split() for line in out.splitlines()]


async def test_what_a_running_sidecar_decided_is_seen_in_a_pipe(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        for _ in range(3):
            assert await status(site, sidecar, site.token()) == 200
        await site.disable()
        assert await status(site, sidecar, site.token()) == 401

        code, out, err = await cli("watch", "--once", "--admin", sidecar.admin_url)

    assert code == 0, err
    lines = words(out)
    assert ["granted", "3", "-"] in lines
    assert ["denied", "subject_inactive", "1", "-"] in lines
    assert [line[:3] for line in lines if line[:2] == ["account", "view"]] == [
        ["account", "view", "live,"]
    ]
    assert [line[1:5] for line in lines if line[:1] == [str(sidecar.process.pid)]] == [
        ["4", "-", "0", "live,"]
    ]


async def test_each_worker_has_a_row_of_its_own(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(workers=2), site.directory) as sidecar:
        assert await ask_all(site, sidecar, site.token()) == {200}

        code, out, err = await cli("watch", "--once", "--admin", sidecar.admin_url)
        workers = {str(pid) for pid in pids(sidecar)}

    assert code == 0, err
    rows = {line[0]: line for line in words(out) if line and line[0] in workers}
    assert rows.keys() == workers
    assert sum(int(row[1]) for row in rows.values()) == 60
    assert all(int(row[1]) > 0 for row in rows.values())
    assert [row[4] for row in rows.values()] == ["live,", "live,"]
    assert all(row[-2:] == ["s", "ago"] for row in rows.values())
