"""Settings become parts: each value reaches the part that it is for."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_accounts import MemoryAccounts
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.app.parts import (
    admin_context,
    listen_policy,
    make_accounts,
    redis_options,
    renew_admin_context,
    upstream_policy,
)
from sidecar.app.running import running
from sidecar.app.tls import client_context
from sidecar.demo.redis_server import RedisServer
from sidecar.fronts.admission import Room
from sidecar.settings import Settings, load
from tests.app.test_tls import Certificates, shake_hands
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until


def settings(directory: Path, **sections: Any) -> Settings:
    file = directory / "sidecar.yaml"
    values = {
        "upstream": {"url": "http://127.0.0.1:8009"},
        "preset": "hoop",
        "issuers": [{"issuer": "https://idp.example/", "audiences": ["api"]}],
        "accounts": {"url": "redis://127.0.0.1/0"},
        **sections,
    }
    file.write_text(yaml.safe_dump(values))
    return load(file, {})


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, "ours")


def test_accounts_in_memory_are_live_from_the_start(tmp_path: Path) -> None:
    accounts = make_accounts(
        settings(tmp_path, accounts={"url": "memory://"}), SystemClock(), RecordingObserver()
    )

    assert isinstance(accounts.view, MemoryAccounts)
    assert accounts.view.is_live()
    assert accounts.proven_at() is not None


def test_accounts_in_redis_are_not(tmp_path: Path) -> None:
    store = {"url": "redis://127.0.0.1/0", "read_timeout": 0.07, "reconnect_spread": 5}
    accounts = make_accounts(settings(tmp_path, accounts=store), SystemClock(), RecordingObserver())

    assert isinstance(accounts.view, RedisAccountView)
    assert accounts.view._policy.read_timeout == 0.07
    assert accounts.view._policy.spread == 5
    assert not accounts.view.is_live()
    assert accounts.proven_at() is None


@pytest.mark.parametrize(("rolled_back", "files"), [("deny", 1), ("accept", 0)])
async def test_the_mark_of_the_store_is_remembered_where_a_roll_back_matters(
    tmp_path: Path, rolled_back: str, files: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    async with RedisServer() as redis:
        await redis.command("SET", "sidecar:revision", "7")
        section = {"url": redis.url, "state_dir": str(state), "rolled_back": rolled_back}
        accounts = make_accounts(
            settings(tmp_path, accounts=section), SystemClock(), RecordingObserver()
        )
        async with running(accounts.run, accounts.remember):
            await until(accounts.view.is_live)

    assert len(list(state.iterdir())) == files


def test_redis_gets_user_password_and_certificates(
    tmp_path: Path, certificates: Certificates
) -> None:
    secret = tmp_path / "password"
    secret.write_text("from a file\n")
    found = redis_options(
        settings(
            tmp_path,
            accounts={
                "url": "rediss://redis/0",
                "username": "sidecar",
                "password_file": str(secret),
                "tls": {
                    "ca": str(certificates.ca),
                    "certificate": str(certificates.certificate),
                    "key": str(certificates.key),
                },
            },
        )
    )

    assert found == {
        "username": "sidecar",
        "password": "from a file",
        "ssl_ca_certs": str(certificates.ca),
        "ssl_certfile": str(certificates.certificate),
        "ssl_keyfile": str(certificates.key),
    }
    assert redis_options(settings(tmp_path)) == {}


def test_the_listener_and_upstream_get_their_bounds_and_tls(
    tmp_path: Path, certificates: Certificates
) -> None:
    found = settings(
        tmp_path,
        listen={
            "host": "127.0.0.1",
            "port": 9443,
            "idle_timeout": 7,
            "tls": {
                "certificate": str(certificates.certificate),
                "key": str(certificates.key),
            },
        },
        upstream={
            "url": "https://gateway:8009/",
            "connect_timeout": 1,
            "first_byte_timeout": 2,
            "idle_timeout": 3,
            "max_connections": 4,
            "tls": {"ca": str(certificates.ca), "server_name": "gateway.example"},
        },
    )

    assert found.upstream is not None
    listen, upstream = listen_policy(found.listen, Room(5)), upstream_policy(found.upstream)
    assert (listen.host, listen.port, listen.idle_timeout) == ("127.0.0.1", 9443, 7)
    assert (listen.head_timeout, listen.room.in_all) == (10, 5)
    assert listen.tls is not None
    assert upstream.url == "https://gateway:8009"
    assert (upstream.connect_timeout, upstream.first_byte_timeout) == (1, 2)
    assert (upstream.idle_timeout, upstream.max_connections) == (3, 4)
    assert upstream.server_name == "gateway.example"
    assert upstream.tls is not None
    plain = settings(tmp_path)
    assert plain.upstream is not None
    assert listen_policy(plain.listen).tls is None
    assert upstream_policy(plain.upstream).tls is None


async def test_the_admin_listener_asks_for_certificates_and_needs_none(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Probes and Prometheus show none."""
    own = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    found = settings(tmp_path, admin={"tls": {**own, "client_ca": str(certificates.ca)}})

    context = admin_context(found)
    assert context is not None
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert await shake_hands(context, client_context(certificates.ca)) == "TLSv1.3"
    plain = admin_context(settings(tmp_path, admin={"tls": own}))
    assert plain is not None
    assert plain.verify_mode is ssl.CERT_NONE
    assert admin_context(settings(tmp_path)) is None


async def test_a_renewed_certificate_is_shown_from_then_on(
    tmp_path: Path, certificates: Certificates
) -> None:
    own = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    found = settings(tmp_path, admin={"tls": own})
    context = admin_context(found)
    assert context is not None

    renewed = Certificates(tmp_path, "ours")  # into the same files
    with pytest.raises(ssl.SSLError):
        await shake_hands(context, client_context(renewed.ca))
    renew_admin_context(context, found)
    await shake_hands(context, client_context(renewed.ca))
    renew_admin_context(None, settings(tmp_path))


def test_upstream_may_have_several_addresses_and_be_a_socket(tmp_path: Path) -> None:
    urls = {"url": "unix:/run/gateway.sock", "more_urls": ["http://127.0.0.2:8009/"]}
    upstream = settings(tmp_path, upstream={**urls, "keep_alive": 5}).upstream
    assert upstream is not None
    policy = upstream_policy(upstream)

    assert policy.url == "unix:/run/gateway.sock"
    assert policy.more == ("http://127.0.0.2:8009",)
    assert policy.keep_alive == 5
