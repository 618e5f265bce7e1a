"""A real Prometheus scrapes the real sidecar, by the very rules that operators get."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from sidecar.demo.redis_server import free_port
from tests.app.test_tls import Certificates
from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.proxies.programs import DEPLOY, find_program
from tests.fakes.waiting import until_async

pytestmark = pytest.mark.e2e

SECONDS = 40.0


class Prometheus:
    """A running one. ``query`` and ``firing`` are what it says."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url = url
        self._http = http

    async def query(self, expression: str) -> list[float]:
        found = await self._get("query", query=expression)
        return [float(each["value"][1]) for each in found["result"]]

    async def firing(self) -> set[str]:
        found = await self._get("alerts")
        return {
            each["labels"]["alertname"] for each in found["alerts"] if each["state"] == "firing"
        }

    async def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{path}"
        try:
            async with self._http.get(url, params=parameters) as response:
                if response.status == 200:
                    return (await response.json())["data"]
        except aiohttp.ClientConnectionError:
            pass
        return {"result": [], "alerts": []}  # it is starting


@asynccontextmanager
async def prometheus(site: Site, directory: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run it with deploy/'s scrape.yaml, in which but the targets and the pace are others."""
    program = find_program("prometheus", "Debian: prometheus")
    settings = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yaml").read_text())
    settings["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    settings["rule_files"] = [str(DEPLOY / "prometheus" / "rules.yaml")]
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(settings))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        program,
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}", site.http)
    finally:
        process.terminate()
        await process.wait()


def dashboard() -> dict[str, str]:
    """Return the queries of the dashboard, by panel, as Grafana would ask them of this job."""
    file = json.loads((DEPLOY / "grafana" / "sidecar.json").read_text())
    queries = {}
    for panel in file["panels"]:
        for target in panel.get("targets", ()):
            query = target["expr"].replace("$job", "sidecar").replace("$instance", ".*")
            queries[f"{panel['title']} {target['refId']}"] = query.replace(
                "$__rate_interval", "10s"
            )
    return queries


async def ask(sidecar: Sidecar, site: Site, token: str, expected: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    url = sidecar.url + "/api/userinfo"
    async with site.http.get(url, headers=headers, ssl=False) as response:
        assert response.status == expected


async def test_operators_see_everything_and_are_told_when_redis_is_away(
    site: Site, tmp_path: Path
) -> None:
    await site.enable()
    ours = Certificates(tmp_path, "ours")
    tls = {"certificate": str(ours.certificate), "key": str(ours.key)}
    settings = site.settings()
    settings["listen"]["tls"] = tls
    async with running_sidecar(settings, site.directory) as sidecar:
        target = sidecar.admin_url.removeprefix("http://")
        async with prometheus(site, tmp_path, target) as watcher:
            await ask(sidecar, site, site.token(), 200)

            async def is_seen() -> bool:
                granted = await watcher.query('sidecar_decisions_total{outcome="granted"}')
                return granted == [1.0] and await watcher.query("sidecar_account_view_live") == [
                    1.0
                ]

            await until_async(is_seen, SECONDS)
            assert await watcher.firing() == set()
            # What has just been counted for the first time, no rate can be told of yet.
            await ask(sidecar, site, site.token(), 200)
            await ask(sidecar, site, "a.forged.token", 401)
            unanswered = dashboard()

            async def is_full() -> bool:
                for title, query in list(unanswered.items()):
                    if any(map(isfinite, await watcher.query(query))):
                        del unanswered[title]
                return not unanswered

            try:
                await until_async(is_full, SECONDS)
            except TimeoutError:
                pytest.fail(f"no data for {', '.join(unanswered)}")

            await site.redis.kill()

            async def is_told() -> bool:
                return "SidecarViewNotLive" in await watcher.firing()

            await until_async(is_told, SECONDS)
            assert "SidecarDown" not in await watcher.firing()
