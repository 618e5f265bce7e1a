"""Sentinels and Cluster nodes that are reached by TLS alone."""

import shutil
from pathlib import Path

import pytest
import trustme

from sidecar.demo.redis_server import RedisServer, free_port
from tests.e2e.conftest import SUBJECT, Site
from tests.e2e.processes import running_sidecar
from tests.e2e.test_failures import becomes
from tests.e2e.test_main_job import status
from tests.fakes.fleet import Cluster
from tests.fakes.waiting import until_async

PROGRAM = shutil.which("redis-server")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PROGRAM is None, reason="no redis-server with TLS here"),
]


def find() -> Path:
    assert PROGRAM is not None
    return Path(PROGRAM)


def tls(directory: Path, port: int) -> tuple[str, ...]:
    """Make an authority and a certificate of it, and return the options of a server."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    leaf.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    server, ca = str(directory / "server.pem"), str(directory / "ca.pem")
    return (
        "--tls-port", str(port), "--tls-cert-file", server, "--tls-key-file", server,
        "--tls-ca-cert-file", ca, "--tls-auth-clients", "no", "--tls-replication", "yes",
    )  # fmt: skip


async def is_heard(site: Site, redis: RedisServer, url: str, prefix: str) -> None:
    """An account is let in and shut out, with a sidecar that trusts the authority alone."""
    name = f"{prefix}account:default:{SUBJECT}"
    await redis.command("HSET", name, "status", "active")
    accounts = {"url": url, "prefix": prefix, "tls": {"ca": str(site.directory / "ca.pem")}}
    settings = site.settings(accounts=accounts)
    async with running_sidecar(settings, site.directory) as sidecar:
        assert await status(site, sidecar, site.token()) == 200
        await redis.command("HSET", name, "status", "inactive")
        await becomes(site, sidecar, site.token(), 401)


async def test_a_sentinel_and_its_primary_behind_tls(site: Site) -> None:
    port, sentinel_port = free_port(), free_port()
    options = tls(site.directory, port)
    watching = (
        "--sentinel", *options[2:], "--tls-port", str(sentinel_port),
        "--sentinel", "monitor", "main", "127.0.0.1", str(port), "1",
    )  # fmt: skip
    async with (
        RedisServer(arguments=options, find=find) as redis,
        RedisServer(arguments=watching, find=find),
    ):
        await is_heard(
            site, redis, f"rediss+sentinel://127.0.0.1:{sentinel_port}/main/0", "sidecar:"
        )


async def test_a_cluster_behind_tls(site: Site) -> None:
    port = free_port()
    options = (
        *tls(site.directory, port), "--tls-cluster", "yes", "--cluster-enabled", "yes",
        "--cluster-port", str(free_port()),
    )  # fmt: skip
    async with RedisServer(arguments=options, find=find) as redis:
        await redis.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        await until_async(Cluster([redis]).is_settled)
        await is_heard(site, redis, f"rediss+cluster://127.0.0.1:{port}", "{sidecar}:")
