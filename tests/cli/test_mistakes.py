"""``explain`` names the usual mistakes, and the client hears of none of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.denied import Case, other_names
from sidecar.cli.mistakes import likely_mistakes
from sidecar.core.decision import Deny, DenyReason
from sidecar.core.evidence import Evidence
from sidecar.core.protection import SIDECAR
from sidecar.core.subject import SubjectKey
from sidecar.fronts.refusal import refusal_of
from tests.fakes.tokens import mldsa_key, rsa_key
from tests.fakes.world import ISSUER, ISSUERS, NOW, REALM, World
from tests.test_provider_tokens import (
    API,
    APP_OBJECT,
    AUTH0,
    AUTH0_9068,
    CLIENT,
    COGNITO,
    ENTRA_ID_TOKEN,
    ENTRA_USER,
    ENTRA_V1,
    ENTRA_V2,
    GOOGLE,
    KEYCLOAK,
    OKTA,
    OKTA_ORG,
    OTHER_TENANT,
    PING,
    TENANT,
    without,
    world_of,
)

ID_TOKEN = "looks like an ID token, which tells a client who signed in; send the `access_token`"
NOTHING = dict.fromkeys(("iss", "sub", "aud", "iat", "exp"))


async def mistakes_in(world: World, token: str) -> list[str]:
    """Return what explain says of a token, after the client has heard nothing of it."""
    decision, evidence = await world.authorizer.explain(world.request(token=token))
    assert isinstance(decision, Deny), "it was granted"
    issuers = world.authorizer._rules.issuers
    registered = [
        name
        for name in other_names(evidence)
        if (await world.accounts.read(SubjectKey(REALM, name), None)).account is not None
    ]
    case = Case(token, decision, evidence, issuers, registered, world.clock.now())
    said = list(likely_mistakes(case))
    told = refusal_of(decision, realm=SIDECAR, request_id="1")
    wire = repr(told.fields).encode() + told.body
    assert not [sentence for sentence in said if sentence.encode() in wire]
    assert token.rsplit(".", maxsplit=1)[-1] not in " ".join(said)
    return said


async def said_of(
    provider: str,
    claims: Mapping[str, Any],
    *,
    registered: str | None = None,
    **header: Any,
) -> str:
    world = world_of(provider)
    if registered is not None:
        world.enroll(registered)
    token = world.sign(header={"typ": "JWT", **header}, **{**NOTHING, **claims})
    return " / ".join(await mistakes_in(world, token))


def entra_tenant(tenant: str) -> dict[str, Any]:
    return {**ENTRA_V2, "iss": ENTRA_V2["iss"].replace(TENANT, tenant), "tid": tenant}


@pytest.mark.parametrize("registered", [CLIENT, None])
async def test_the_client_id_registered_in_place_of_the_service_principal(
    registered: str | None,
) -> None:
    claims = {**ENTRA_V2, "sub": APP_OBJECT, "oid": APP_OBJECT}

    said = await said_of("entra", claims, registered=registered)

    assert "`sub` is the object id of the service principal" in said
    assert "neither the client id nor the object id of the app registration" in said
    assert (f"the account {CLIENT} is there" in said) is (registered is not None)
    assert (f"the token's `sub` is {APP_OBJECT}; create that one" in said) is bool(registered)


@pytest.mark.parametrize(
    ("provider", "claims", "header", "remedy"),
    [
        # Entra ID
        ("entra-v2", ENTRA_V1, {}, "this is a v1.0 token of the right tenant"),
        ("entra-v2", ENTRA_V1, {}, "requestedAccessTokenVersion"),
        ("entra-v2", entra_tenant(OTHER_TENANT), {}, f"of another tenant, {OTHER_TENANT}"),
        ("entra-v2", {**ENTRA_V2, "ver": "1.0"}, {}, "the `ver` of the token and its issuer"),
        ("entra", {**ENTRA_V2, "iss": ENTRA_V2["iss"] + "/"}, {}, "only the slash at the end"),
        ("entra", {**ENTRA_V1, "iss": ENTRA_V1["iss"][:-1]}, {}, "only the slash at the end"),
        ("entra", {**ENTRA_V1, "iss": ENTRA_V1["iss"].upper()}, {}, "only capital letters differ"),
        ("entra-v2", {**ENTRA_V2, "aud": f"api://{API}"}, {}, "the same API by its other name"),
        ("entra", {**ENTRA_V2, "aud": "https://graph.microsoft.com"}, {}, "for Microsoft Graph"),
        ("entra", ENTRA_ID_TOKEN, {}, ID_TOKEN),
        ("entra", without(ENTRA_V2, "azp"), {}, ID_TOKEN),
        ("entra", ENTRA_USER, {}, "this is a person's token"),
        # Okta
        ("okta", OKTA, {"typ": "application/okta-internal-at+jwt"}, "take preset: okta-org"),
        ("okta", {**OKTA, "iss": "https://acme.okta.com/oauth2/a"}, {}, "of another tenant or"),
        ("okta-org", {**OKTA_ORG, "iss": "https://b.okta.com"}, {}, "of another tenant or server"),
        ("okta", without(OKTA, "cid", "scp"), {}, ID_TOKEN),
        # Auth0
        ("auth0", {**AUTH0, "aud": AUTH0["aud"] + "/"}, {}, "only the slash at the end differs"),
        ("auth0", {**AUTH0, "iss": AUTH0["iss"][:-1]}, {}, "only the slash at the end differs"),
        ("auth0", {**AUTH0, "iss": "https://b.auth0.com/"}, {}, "of another tenant or server"),
        ("auth0-9068", AUTH0, {}, "switch the profile on at the provider"),
        ("auth0-9068", AUTH0, {"typ": "at+jwt"}, "do not keep RFC 9068"),
        ("auth0", {**AUTH0, "sub": "abc"}, {}, "the client id with @clients behind it"),
        # Cognito, Keycloak, Google and others
        ("cognito", {**COGNITO, "token_use": "id"}, {}, ID_TOKEN),
        ("keycloak", without(KEYCLOAK, "sub"), {}, "the client scope `basic`"),
        ("keycloak", {**KEYCLOAK, "typ": "ID"}, {}, ID_TOKEN),
        ("keycloak", {**KEYCLOAK, "aud": "account"}, {}, "by an audience mapper"),
        ("keycloak", without(KEYCLOAK, "aud"), {}, "name the clients with clients: [...]"),
        (
            "keycloak",
            {**without(KEYCLOAK, "client_id"), "sub": "x", "azp": "lone"},
            {},
            "the client's service-account user, not the client id",
        ),
        ("keycloak", {**KEYCLOAK, "iss": KEYCLOAK["iss"] + "2"}, {}, "of another tenant or server"),
        ("google", {**GOOGLE, "iss": "accounts.google.com"}, {}, "has https:// in it"),
        ("oidc", without(PING, "aud"), {}, "the token has no `aud`"),
        ("oidc", {**PING, "aud": "robot", "nonce": "n"}, {}, ID_TOKEN),
        ("oidc", without(PING, "sub"), {}, "puts no `sub` into this client's tokens"),
        ("oidc", without(PING, "iss"), {}, "the token names no issuer"),
        ("oidc", PING, {"typ": "dpop+jwt"}, "this is a DPoP proof"),
        ("oidc", PING, {"typ": "x+jwt"}, "the typ x+jwt, add it to token_types"),
        # The clock
        ("oidc", {**PING, "iat": NOW + 90}, {}, "the token is from 90 s in the future"),
        ("entra", {**ENTRA_V2, "nbf": NOW + 7}, {}, "the token is from 7 s in the future"),
        ("oidc", {**PING, "iat": NOW - 400, "exp": NOW - 100}, {}, "400 s ago, for 300 s"),
    ],
)
async def test_a_usual_mistake_is_named_with_its_remedy(
    provider: str, claims: Mapping[str, Any], header: dict[str, Any], remedy: str
) -> None:
    assert remedy in await said_of(provider, claims, **header)


async def test_a_v2_token_at_the_v1_issuer_is_told_likewise() -> None:
    world = world_of("entra")
    v1 = [each for name, each in world.authorizer._rules.issuers.items() if "sts" in name]
    world.settle(v1)
    token = world.sign(header={"typ": "JWT"}, **{**NOTHING, **ENTRA_V2})

    (said,) = await mistakes_in(world, token)

    assert "this is a v2.0 token of the right tenant, and the issuer of v1.0 tokens" in said


@pytest.mark.parametrize(
    ("provider", "token", "remedy"),
    [
        ("auth0", "kPq0bBf2Y0aQ1t0m2pXrQ7Qn0a1", "add audience=<the API's identifier>"),
        ("auth0", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "add audience=<the API's identifier>"),
        ("oidc", "kPq0bBf2Y0aQ1t0m2pXrQ7Qn0a1", "the token is opaque, or no token"),
        ("oidc", "eyJhbGciOiJkaXIifQ..aXY.Y2lwaGVy.dGFn", "the token is encrypted (JWE)"),
        ("google", "ya29.c.Kp0B", "Google's access tokens are opaque; send an ID token"),
        ("oidc", "hpk_0123", "an API key of the gateway's"),
    ],
)
async def test_what_is_no_token_of_this_kind_is_told(
    provider: str, token: str, remedy: str
) -> None:
    (said,) = await mistakes_in(world_of(provider), token)

    assert remedy in said


async def test_a_token_for_microsoft_graph_is_known_by_its_header() -> None:
    forged = rsa_key("forger")
    world = world_of("entra")
    graph = world.sign(
        key=forged, header={"kid": "rsa", "typ": "JWT", "nonce": "n"}, **{**NOTHING, **ENTRA_V2}
    )
    own_key = world.sign(key=forged, header={"typ": "JWT"}, **{**NOTHING, **ENTRA_V2})

    assert "a token for Microsoft Graph, which verifies" in " ".join(
        await mistakes_in(world, graph)
    )
    assert "with ?appid=<client id>" in " ".join(await mistakes_in(world, own_key))


async def test_nothing_is_said_where_nothing_is_known() -> None:
    world = World()

    assert await mistakes_in(world, world.sign(sub="stranger")) == []
    assert await mistakes_in(world, world.sign(iss="https://unknown.example")) == []
    assert await mistakes_in(world, world.sign(exp=NOW - 1, iat=None)) == []
    assert await mistakes_in(world, world.sign(key=rsa_key("x"), header={"kid": "rsa"})) == []
    assert await mistakes_in(world, world.sign(key=mldsa_key())) == []
    world.disable("robot")
    assert await mistakes_in(world, world.sign()) == []
    assert AUTH0_9068["client_id"] not in await mistakes_in(world, world.sign(sub="x"))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["iss", "aud", "sub", "azp", "oid", "iat", "nbf", "exp", "typ", "ver", "nonce", "email"]
)


_ISSUERS = st.sampled_from(
    [KEYCLOAK["iss"], ENTRA_V1["iss"], ENTRA_V2["iss"], AUTH0["iss"], OKTA["iss"], ISSUER]
)


@given(
    _ISSUERS, st.dictionaries(_NAMES, _JSON, max_size=6), st.dictionaries(_NAMES, _JSON, max_size=3)
)
@settings(max_examples=100, deadline=None)
async def test_no_token_however_odd_breaks_it(
    issuer: str, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    world = World(issuers=[replace(ISSUERS[0], name=issuer)])
    token = world.sign(header=header, **{"iss": issuer, "sub": "nobody", **claims})

    for sentence in await mistakes_in(world, token):
        assert sentence.isprintable()
    reasons = [Deny(reason, "sub is missing") for reason in DenyReason]
    _, evidence = await world.authorizer.explain(world.request(token=token))
    for deny in reasons:
        for known in (evidence, Evidence()):
            case = Case(token, deny, known, world.authorizer._rules.issuers, (), NOW)
            assert all(sentence.isprintable() for sentence in likely_mistakes(case))
