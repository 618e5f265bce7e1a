"""A provider asked what it is, over sockets: within bounds, and believed in nothing else."""

from pathlib import Path

import pytest
from aiohttp import web

from sidecar.app.detecting import Detected, NotDetected, detect
from sidecar.app.tls import server_context
from tests.app.test_tls import Certificates
from tests.fakes.provider import OAUTH, OPENID, Provider, running_provider
from tests.fakes.tokens import SigningKey, ec_key, ed25519_key, mldsa_key, rsa_key


def jwk(key: SigningKey, **more: str) -> dict[str, object]:
    return {**key.public.as_dict(private=False), "kid": key.kid, **more}


async def detected(provider: Provider, url: str | None = None) -> Detected:
    return await detect(url or provider.issuer, insecure_http=True)


async def refusal(provider: Provider, url: str | None = None) -> str:
    with pytest.raises(NotDetected) as refused:
        await detected(provider, url)
    return str(refused.value)


async def test_what_a_provider_says_of_itself_is_found() -> None:
    async with running_provider() as provider:
        provider.tell(introspection_endpoint="https://idp.example/introspect")
        provider.publish(jwk(rsa_key()), {"kty": "oct", "k": "AAAA"})

        found = await detected(provider)

    assert found.metadata.issuer == provider.issuer
    assert found.metadata.introspection_endpoint == "https://idp.example/introspect"
    assert list(found.keys.by_kid) == ["rsa"]
    assert len(found.left_out) == 1
    assert found.algorithms == ("RS256",)
    assert provider.asked == [OPENID, "/keys"]


@pytest.mark.parametrize("suffix", ["", "/", OPENID, OAUTH])
async def test_the_documents_own_address_will_do(suffix: str) -> None:
    async with running_provider() as provider:
        provider.tell()
        provider.publish(jwk(rsa_key()))

        assert (await detected(provider, provider.issuer + suffix)).algorithms == ("RS256",)


async def test_a_slash_that_was_left_out_is_the_documents_to_say() -> None:
    async with running_provider() as provider:
        provider.tell(issuer=provider.issuer + "/")
        provider.publish(jwk(rsa_key()))

        assert (await detected(provider)).metadata.issuer == provider.issuer + "/"


async def test_both_places_are_looked_at() -> None:
    """RFC 8414, 3.1 inserts before the issuer's path."""
    async with running_provider() as provider:
        provider.tell(OAUTH + "/tenant", path="/tenant")
        provider.publish(jwk(rsa_key()))

        assert (await detected(provider, provider.issuer + "/tenant")).algorithms == ("RS256",)

    assert provider.asked == ["/tenant" + OPENID, OAUTH + "/tenant", "/keys"]


async def test_the_algorithms_are_those_of_keys_and_document() -> None:
    async with running_provider() as provider:
        provider.tell(id_token_signing_alg_values_supported=["HS256", "RS256", "PS256", "ES512"])
        provider.publish(
            jwk(rsa_key()), jwk(ec_key()), jwk(ed25519_key(), alg="EdDSA"), mldsa_key().jwk()
        )
        both = await detected(provider)
        provider.tell(id_token_signing_alg_values_supported=["HS256"])
        provider.publish(jwk(ed25519_key()))
        keys_alone = await detected(provider)
        provider.publish(jwk(rsa_key(), alg="PS384"))
        named = await detected(provider)

    assert both.algorithms == ("ES256", "ML-DSA-44", "PS256", "RS256")
    assert keys_alone.algorithms == ("Ed25519", "EdDSA")
    assert named.algorithms == ("PS384",)


async def test_another_issuers_document_is_refused_by_name() -> None:
    async with running_provider() as provider:
        provider.tell(issuer="https://sts.example/tenant/")
        provider.publish(jwk(rsa_key()))

        assert "of another issuer, https://sts.example/tenant/" in await refusal(provider)
        assert "/keys" not in provider.asked


async def test_a_provider_that_says_nothing_of_use_is_told_why() -> None:
    async with running_provider() as provider:
        assert "no discovery document" in await refusal(provider)
        assert "status 404" in await refusal(provider)
        provider.documents[OPENID] = b"<html>"
        assert "not JSON" in await refusal(provider)
        provider.documents[OPENID] = b" " * 600_000
        assert "more than 524288 bytes" in await refusal(provider)
        provider.tell(jwks_uri=None)
        assert "names no jwks_uri" in await refusal(provider)
        provider.tell()
        assert "its keys" in await refusal(provider)
        provider.publish({"kty": "oct", "k": "AAAA"})
        assert "unknown type" in await refusal(provider)


async def test_redirects_are_not_followed() -> None:
    async with running_provider() as provider:
        provider.documents[OPENID] = web.HTTPFound("/elsewhere")
        provider.tell("/elsewhere")

        assert "status 302" in await refusal(provider)
        provider.tell()
        provider.documents["/keys"] = web.HTTPFound("/more")
        assert "status 302" in await refusal(provider)

    assert not {"/elsewhere", "/more"} & set(provider.asked)


@pytest.mark.parametrize(
    ("url", "insecure_http", "says"),
    [
        ("http://idp.example", True, "is not https; whoever stands between"),
        ("http://127.0.0.1:9", False, "on this machine --insecure-http allows it"),
        ("ftp://127.0.0.1", True, "is not https"),
        ("idp.example", True, "name an issuer's URL"),
        ("", True, "name an issuer's URL"),
        ("http://127.0.0.1:9", True, "unreachable"),
    ],
)
async def test_only_https_is_asked_but_for_this_machine(
    url: str, *, insecure_http: bool, says: str
) -> None:
    with pytest.raises(NotDetected) as refused:
        await detect(url, insecure_http=insecure_http)

    assert says in str(refused.value)


async def test_a_provider_of_an_authority_of_ones_own_is_verified_by_it(tmp_path: Path) -> None:
    ours, other = Certificates(tmp_path, "ours"), Certificates(tmp_path, "other")
    async with running_provider(server_context(ours.certificate, ours.key, None)) as provider:
        provider.tell()
        provider.publish(jwk(rsa_key()))

        assert (await detect(provider.issuer, ca=ours.ca)).algorithms == ("RS256",)
        for ca in (None, other.ca):
            with pytest.raises(NotDetected, match="unreachable"):
                await detect(provider.issuer, ca=ca)
    with pytest.raises(ValueError, match=r"ours\.key"):
        await detect(provider.issuer, ca=ours.key)


async def test_keys_elsewhere_without_tls_are_not_fetched() -> None:
    async with running_provider() as provider:
        provider.tell(jwks_uri="http://idp.example/keys")

        assert "http://idp.example/keys is not https" in await refusal(provider)
