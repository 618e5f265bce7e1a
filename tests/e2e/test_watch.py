"""``sidecar watch`` on the real process."""

import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import cli, running_sidecar
from tests.e2e.test_main_job import status

pytestmark = pytest.mark.e2e


async def test_what_a_running_sidecar_decided_is_seen_in_a_pipe(site: Site) -> None:
    await site.enable()
    async with running_sidecar(site.settings(), site.directory) as sidecar:
        for _ in range(3):
            assert await status(site, sidecar, site.token()) == 200
        await site.disable()
        assert await status(site, sidecar, site.token()) == 401

        code, out, err = await cli("watch", "--once", "--admin", sidecar.admin_url)

    assert code == 0, err
    lines = [line.replace("│", " ").split() for line in out.splitlines()]
    assert ["granted", "3", "-"] in lines
    assert ["denied", "subject_inactive", "1", "-"] in lines
    assert [line[:3] for line in lines if line[:2] == ["account", "view"]] == [
        ["account", "view", "live,"]
    ]
