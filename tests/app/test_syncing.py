"""The sync joined from its parts: each setting reaches the part that it is for."""

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sidecar.account_sync import NotFetched, SyncFailure
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.app.running import running
from sidecar.app.syncing import gateway_client, keep_in_step, open_gateway, sync_rules
from sidecar.core.account_plan import PlanRules, Vanished
from sidecar.core.subject import SubjectKey
from sidecar.core.wanted_accounts import WantedAccount
from sidecar.demo.gateway import Gateway, GatewayAccount, identity_provider_verifier
from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.settings import Settings
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates
from tests.fakes.answering import answering, ok
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until, until_async


async def nobody(_: str) -> str | None:
    return None


def syncing(directory: Path, gateway: str, sync: dict[str, Any], **sections: Any) -> Settings:
    key = directory / "key"
    key.write_text("key\n")
    members = {"api_key_file": str(key), "every": 0.1, **sync}
    return settings(
        directory,
        upstream={"url": gateway},
        sync={name: value for name, value in members.items() if value is not None},
        **sections,
    )


def metrics() -> SyncMetrics:
    return SyncMetrics(CollectorRegistry())


def stays() -> bool:
    return False


async def test_without_the_section_nothing_is_synced(tmp_path: Path) -> None:
    found = settings(tmp_path)
    await keep_in_step(
        found, MemoryAccounts(), SystemClock(), RecordingObserver(), metrics(), stays
    )

    with pytest.raises(ValueError, match="sync is not among them"):
        async with open_gateway(found, SystemClock()):
            pass


async def test_in_memory_the_view_itself_is_written_to(tmp_path: Path) -> None:
    accounts, observer = MemoryAccounts(), RecordingObserver()
    async with Gateway(nobody, [GatewayAccount("a")], api_key="key") as gateway:
        found = syncing(tmp_path, gateway.url, {}, accounts={"url": "memory://"})

        async def job() -> None:
            await keep_in_step(found, accounts, SystemClock(), observer, metrics(), stays)

        async with running(job):
            await until(lambda: observer.audits)

    standing = accounts.look_up(SubjectKey("default", "a"), None)
    assert standing is not None
    assert standing.account is not None
    assert observer.audits[0].actor == "sync:gateway"


async def test_in_redis_it_is_written_under_the_prefix_of_the_settings(tmp_path: Path) -> None:
    view = MemoryAccounts()

    class LiveView:
        """The view of a store that is elsewhere."""

        is_live, look_up, read, watch = view.is_live, view.look_up, view.read, view.watch

    async with (
        RedisServer() as redis,
        Gateway(nobody, [GatewayAccount("a")], api_key="key") as gateway,
    ):
        found = syncing(tmp_path, gateway.url, {}, accounts={"url": redis.url, "prefix": "ours:"})

        async def job() -> None:
            await keep_in_step(
                found, LiveView(), SystemClock(), RecordingObserver(), metrics(), stays
            )

        async def is_there() -> bool:
            return await redis.command("EXISTS", "ours:account:default:a") == 1

        async with running(job):
            await until_async(is_there)
            assert await redis.command("EXISTS", "ours:sync:leader:default") == 1
        assert await redis.command("EXISTS", "ours:sync:leader:default") == 0


async def test_client_credentials_are_an_identity_of_the_gateway(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a secret\n")
    clients = [Client("syncer", "a secret", "syncer", ("read",))]
    async with (
        IdentityProvider(clients, audiences=("hoop",)) as provider,
        Gateway(
            identity_provider_verifier(provider.jwks_url), [GatewayAccount("syncer")]
        ) as gateway,
    ):
        sync = {
            "api_key_file": None,
            "token_url": provider.token_url,
            "client_id": "syncer",
            "secret_file": str(tmp_path / "secret"),
            "audience": "hoop",
            "insecure_http": True,
        }
        async with open_gateway(syncing(tmp_path, gateway.url, sync), SystemClock()) as source:
            assert await source.fetch() == [WantedAccount("syncer")]


async def test_a_token_comes_from_its_file_and_the_gateway_may_be_another(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame\n")
    async with answering(ok(b"null")) as gateway:
        sync = {
            "api_key_file": None,
            "token_file": str(tmp_path / "token"),
            "gateway_url": gateway.url + "/x",
        }
        found = syncing(tmp_path, "http://127.0.0.1:9", sync)
        async with open_gateway(found, SystemClock()) as source:
            assert await source.fetch() == []

        assert gateway.requests[0].startswith("GET /x/api/serviceaccounts ")
        assert "Authorization: Bearer sesame\r\n" in gateway.requests[0]


async def test_the_gateways_path_is_the_presets_and_a_socket_is_one(tmp_path: Path) -> None:
    async with answering(ok(b"null")) as gateway:
        found = syncing(tmp_path, gateway.url, {}, preset_prefix="/x")
        async with open_gateway(found, SystemClock()) as source:
            await source.fetch()
        assert gateway.requests[0].startswith("GET /x/api/serviceaccounts ")

    place = str(tmp_path / "s")
    async with answering(ok(b"null"), place) as gateway:
        found = syncing(tmp_path, f"unix:{place}", {})
        async with open_gateway(found, SystemClock()) as source:
            await source.fetch()
        assert gateway.requests[0].startswith("GET /api/serviceaccounts ")


async def test_the_gateway_is_verified_as_upstream_is(tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(ValueError, match=r"junk\.pem"):
        gateway_client(settings(tmp_path, upstream={"url": "https://a", "tls": {"ca": str(junk)}}))


async def test_the_token_endpoint_is_verified_as_the_issuer_at_its_host(tmp_path: Path) -> None:
    """Its own authority is trusted, so what fails is that nobody listens there."""
    (tmp_path / "secret").write_text("s")
    sync = {
        "api_key_file": None,
        "token_url": "https://localhost:9/token",
        "client_id": "me",
        "secret_file": str(tmp_path / "secret"),
    }
    issuer = {
        "issuer": "https://localhost/",
        "audiences": ["a"],
        "ca": str(Certificates(tmp_path, "ours").ca),
    }
    found = syncing(tmp_path, "http://127.0.0.1:9", sync, issuers=[issuer])
    async with open_gateway(found, SystemClock()) as source:
        with pytest.raises(NotFetched) as failed:
            await source.fetch()
    assert failed.value.reason is SyncFailure.CREDENTIAL


def test_the_rules_are_those_of_the_settings(tmp_path: Path) -> None:
    found = syncing(tmp_path, "http://127.0.0.1:9", {"reenable": True, "max_disabled_share": 0.2})
    assert found.sync is not None
    assert sync_rules(found.sync) == PlanRules(Vanished.DISABLE, True, 0.2)  # noqa: FBT003

    found = syncing(tmp_path, "http://127.0.0.1:9", {"disable_vanished": False})
    assert found.sync is not None
    assert sync_rules(found.sync).vanished is Vanished.KEEP
