"""Finding out what a provider says of itself, within the bounds of a running sidecar."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.discovery import discovery_urls
from sidecar.adapters.jwks import KeySet, NoUsableKeys, read_key_set
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.provider_keys import Provider
from sidecar.adapters.provider_metadata import ProviderMetadata, read_metadata
from sidecar.app.tls import client_context
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from sidecar.core.token import VerificationKeys
from sidecar.settings.fields import is_loopback
from sidecar.settings.sections import Keys

_SUFFIXES = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")


class NotDetected(Exception):
    """There is nothing to go by; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Detected:
    """A provider: what it says, its keys, and the algorithms that both allow."""

    metadata: ProviderMetadata
    keys: VerificationKeys
    left_out: tuple[str, ...]
    algorithms: tuple[str, ...]


async def detect(url: str, *, insecure_http: bool = False, ca: Path | None = None) -> Detected:
    """Return what the issuer at ``url`` says of itself.

    The discovery document's own address will do as well. ``insecure_http`` allows http:// on
    loopback; ``ca`` has the authorities to trust instead of the system's.

    Raises:
        NotDetected: it says nothing that can be used, or is somebody else.
        ValueError: ``ca`` is not what it should be.
    """
    issuer = _issuer_of(url)
    bounds = Keys()
    provider = Provider(
        Issuer(issuer, algorithms=ASYMMETRIC_ALGORITHMS), insecure_http=insecure_http
    )
    tls = {} if ca is None else {issuer: client_context(ca)}
    async with ProviderClient(bounds.timeout, bounds.max_bytes, tls) as client:
        metadata = await _discover(client, provider)
        _check(metadata.issuer, issuer)
        _check_place(metadata.jwks_uri, insecure_http=insecure_http)
        try:
            document = await client.fetch(metadata.jwks_uri, provider)
            found = read_key_set(document, provider.issuer, bounds.max_keys)
        except FetchFailed as failed:
            raise NotDetected(f"its keys, {metadata.jwks_uri}: {failed.detail}") from None
        except NoUsableKeys as problem:
            raise NotDetected(f"its keys, {metadata.jwks_uri}: {problem}") from None
    keys = VerificationKeys(found.by_kid, 1)
    return Detected(metadata, keys, found.left_out, _algorithms_of(found, metadata))


def _issuer_of(url: str) -> str:
    for suffix in _SUFFIXES:
        url = url.removesuffix(suffix)
    if not urlsplit(url).hostname:
        raise NotDetected("name an issuer's URL, such as https://login.example.com/")
    return url


async def _discover(client: ProviderClient, provider: Provider) -> ProviderMetadata:
    _check_place(provider.issuer.name, insecure_http=provider.insecure_http)
    failure: FetchFailed | None = None
    for place in dict.fromkeys(discovery_urls(provider.issuer.name)):
        try:
            return read_metadata(await client.fetch(place, provider))
        except FetchFailed as failed:
            failure = failure or failed
    detail = "" if failure is None else f": {failure.outcome.value}, {failure.detail}"
    raise NotDetected(f"no discovery document at {provider.issuer.name}{detail}")


def _check_place(url: str, *, insecure_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return
    if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
        raise NotDetected(f"{url} is not https; whoever stands between could forge every token")
    if not insecure_http:
        raise NotDetected(f"{url} is not https; on this machine --insecure-http allows it")


def _check(named: str, asked: str) -> None:
    # A slash is what people leave out; anything else is somebody else's document.
    if named.rstrip("/") != asked.rstrip("/"):
        raise NotDetected(
            f"the discovery document there is of another issuer, {named}; if that is the one you"
            " mean, ask for it by that name"
        )


def _algorithms_of(found: KeySet, metadata: ProviderMetadata) -> tuple[str, ...]:
    fitting = [key.algorithms for keys in found.by_kid.values() for key in keys]
    named = metadata.algorithms or frozenset({"RS256"})
    algorithms = set[str]()
    for fits in fitting:
        # A key that names its algorithm is for that one; of the others' the document says which.
        algorithms |= fits if len(fits) == 1 else (fits & named)
    return tuple(sorted(algorithms or frozenset().union(*fitting)))
