"""What judges bound tokens, as the settings ask for it."""

from pathlib import Path
from typing import Any

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.memory_proofs import MemoryProofs
from sidecar.adapters.redis_proofs import RedisProofs
from sidecar.app.proving import open_proofs, shown_rules
from sidecar.core.client_certificate import CertificateForm
from sidecar.demo.redis_server import RedisServer
from sidecar.fronts.shown import NOTHING_SHOWN, CertificateHeader, ShownRules
from sidecar.settings import Settings
from tests.app.test_parts import settings

MARK = "0" * 64


def bound(directory: Path, issuer: dict[str, Any], **members: Any) -> Settings:
    found = settings(directory)
    plain = found.issuers[0].model_dump(exclude_defaults=True)
    sections = {name: members.pop(name) for name in ("accounts", "listen") if name in members}
    return settings(
        directory,
        issuers=[{**plain, **issuer}],
        bound_tokens={"public_urls": ["https://api.example"], **members},
        **sections,
    )


async def test_where_no_issuer_binds_by_proof_none_is_taken(tmp_path: Path) -> None:
    async with open_proofs(settings(tmp_path), SystemClock()) as proofs:
        assert proofs is None
    assert shown_rules(settings(tmp_path)) == NOTHING_SHOWN


async def test_the_store_is_the_accounts_and_nonces_are_asked_for(tmp_path: Path) -> None:
    secret = tmp_path / "nonces"
    secret.write_text("0123456789abcdef0123456789abcdef")
    async with RedisServer() as redis:
        found = bound(
            tmp_path,
            {"dpop": "allowed"},
            accounts={"url": redis.url},
            nonce_secret_file=str(secret),
        )
        async with open_proofs(found, SystemClock()) as proofs:
            assert proofs is not None
            assert proofs.nonces is not None
            assert isinstance(proofs.used, RedisProofs)
            assert await proofs.used.use(MARK, 70)
            assert not await proofs.used.use(MARK, 70)
        assert await redis.command("KEYS", "*") == [f"used:sidecar:proof:{MARK}"]


async def test_in_memory_the_store_is_this_processs(tmp_path: Path) -> None:
    found = bound(tmp_path, {"dpop": "required"}, accounts={"url": "memory://"})
    async with open_proofs(found, SystemClock()) as proofs:
        assert proofs is not None
        assert isinstance(proofs.used, MemoryProofs)
        assert proofs.nonces is None


def test_doors_read_what_the_settings_name(tmp_path: Path) -> None:
    found = bound(
        tmp_path,
        {"dpop": "allowed", "mtls": "allowed"},
        listen={"port": 0, "trusted_proxies": ["10.0.0.0/8"]},
        client_certificate_header={"name": "Client-Cert", "format": "rfc9440"},
    )

    assert shown_rules(found) == ShownRules(
        takes_proofs=True,
        takes_certificates=True,
        header=CertificateHeader("client-cert", CertificateForm.RFC9440),
    )
