"""What proves that a bound token is its sender's, made from settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.memory_proofs import MemoryProofs
from sidecar.adapters.redis_client import open_redis
from sidecar.adapters.redis_proofs import RedisProofs
from sidecar.app.parts import MEMORY, redis_options
from sidecar.binding import Proofs
from sidecar.core.confirmation import Binding
from sidecar.core.nonces import Nonces
from sidecar.fronts.shown import CertificateHeader, ShownRules
from sidecar.ports import Clock
from sidecar.settings import Settings


@asynccontextmanager
async def open_proofs(settings: Settings, clock: Clock) -> AsyncIterator[Proofs | None]:
    """Open what judges DPoP proofs, until the block ends; None where no issuer has them."""
    if not _takes_proofs(settings):
        yield None
        return
    bound, accounts = settings.bound_tokens, settings.accounts
    secret = bound.read_nonce_secret()
    nonces = None if secret is None else Nonces(secret, bound.nonce_lifetime)
    rules = bound.proof_rules()
    if accounts.url.startswith(MEMORY):
        yield Proofs(rules, MemoryProofs(clock), nonces)
        return
    async with open_redis(
        accounts.url, redis_options(settings), accounts.prefix, accounts.timeout
    ) as client:
        yield Proofs(rules, RedisProofs(client, AccountKeys(accounts.prefix)), nonces)


def shown_rules(settings: Settings) -> ShownRules:
    """Return which fields of a request show something that counts."""
    bound = settings.bound_tokens
    header = bound.client_certificate_header
    return ShownRules(
        takes_proofs=_takes_proofs(settings),
        takes_certificates=any(each.mtls is not Binding.OFF for each in settings.issuers),
        forwards_proofs=bound.forward_as == "dpop",
        header=None if header is None else CertificateHeader(header.name, header.format),
    )


def _takes_proofs(settings: Settings) -> bool:
    return any(each.dpop is not Binding.OFF for each in settings.issuers)
