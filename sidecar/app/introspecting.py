"""Asking the issuers about tokens, joined from its parts where the settings name endpoints."""

import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from sidecar.adapters.client_authentication import (
    AssertionRules,
    Prove,
    by_assertion,
    by_basic,
    by_certificate,
    by_post,
    read_private_key,
)
from sidecar.adapters.clock import SystemClock
from sidecar.adapters.introspection import AnswerPolicy, Introspections, IssuerIntrospection
from sidecar.adapters.introspection_endpoint import EndpointPolicy, IntrospectionEndpoint
from sidecar.adapters.provider_client import ProviderClient
from sidecar.adapters.provider_keys import Provider
from sidecar.app.parts import provider_contexts
from sidecar.app.tls import client_context
from sidecar.core.bearer import BearerToken
from sidecar.introspection import (
    IntrospectionObserver,
    IntrospectionUnavailable,
    Introspector,
    NoIntrospection,
)
from sidecar.observability.introspection_metrics import UnheardIntrospection
from sidecar.ports import Clock
from sidecar.settings import Problem, Settings
from sidecar.settings.fields import read_secret
from sidecar.settings.introspection import Introspection
from sidecar.settings.issuers import Issuer


@asynccontextmanager
async def open_introspector(
    settings: Settings, clock: Clock, observer: IntrospectionObserver
) -> AsyncIterator[Introspector]:
    """Open what asks, until the block ends; it connects when there is a question.

    Raises:
        OSError, ValueError: a certificate's file is no longer what it was.
    """
    asked = [(each, each.introspection) for each in settings.issuers if each.introspection]
    if not asked:
        yield NoIntrospection()
        return
    async with AsyncExitStack() as stack:
        metadata = await stack.enter_async_context(
            ProviderClient(
                settings.keys.timeout, settings.keys.max_bytes, provider_contexts(settings)
            )
        )
        found: dict[str, IssuerIntrospection] = {}
        for issuer, how in asked:
            endpoint = await stack.enter_async_context(_endpoint(issuer, how, metadata, clock))
            policy = AnswerPolicy(
                how.cache,
                how.inactive_cache,
                settings.limits.remembered_tokens,
                how.max_in_flight,
            )
            found[issuer.issuer] = IssuerIntrospection(
                issuer.issuer, endpoint, policy, clock, observer
            )
        yield Introspections(found)


async def introspection_warnings(settings: Settings) -> list[Problem]:
    """Ask each endpoint about a token that was never issued; return what is wrong with that."""
    problems: list[Problem] = []
    async with open_introspector(settings, SystemClock(), UnheardIntrospection()) as introspector:
        for number, issuer in enumerate(settings.issuers):
            if issuer.introspection is None:
                continue
            made_up = BearerToken(issuer.introspection.prefix + secrets.token_urlsafe(32))
            try:
                answer = await introspector.introspect(issuer.issuer, made_up)
            except IntrospectionUnavailable as unavailable:
                text = f"{unavailable}: its opaque tokens would get 503"
            else:
                if answer is None:
                    continue
                text = "the endpoint says that a token is active which was never issued"
            problems.append(Problem(f"issuers[{number}].introspection", text))
    return problems


def introspection_files(settings: Settings) -> None:
    """Look whether keys and certificates can be used. Raises ValueError where one cannot."""
    for issuer in settings.issuers:
        how = issuer.introspection
        if how is None:
            continue
        _tls(issuer, how)
        if how.key_file is not None:
            try:
                read_private_key(how.key_file.read_text("ascii"), how.algorithm)
            except ValueError as problem:
                raise ValueError(f"{how.key_file}: {problem}") from None


def _endpoint(
    issuer: Issuer, how: Introspection, metadata: ProviderClient, clock: Clock
) -> IntrospectionEndpoint:
    policy = EndpointPolicy(
        issuer=issuer.issuer,
        url=how.url,
        insecure_http=issuer.insecure_http,
        mutual_tls=how.authentication == "tls_client_auth",
        timeout=how.timeout,
        max_bytes=how.max_bytes,
        max_connections=how.max_in_flight,
    )
    provider = Provider(issuer.rules(), insecure_http=issuer.insecure_http)
    return IntrospectionEndpoint(
        policy,
        _prove(issuer, how, clock),
        lambda url: metadata.fetch(url, provider),
        clock,
        _tls(issuer, how),
    )


def _prove(issuer: Issuer, how: Introspection, clock: Clock) -> Prove:
    if how.secret_file is not None:
        by_secret: Callable[..., Prove] = (
            by_basic if how.authentication == "client_secret_basic" else by_post
        )
        return by_secret(how.client_id, partial(read_secret, how.secret_file))
    if how.key_file is not None:
        rules = AssertionRules(
            how.client_id, how.assertion_audience or issuer.issuer, how.algorithm, how.key_id
        )
        return by_assertion(rules, partial(how.key_file.read_text, "ascii"), clock)
    return by_certificate(how.client_id)


def _tls(issuer: Issuer, how: Introspection) -> ssl.SSLContext | None:
    if issuer.ca is None and how.certificate is None:
        return None
    return client_context(issuer.ca, how.certificate, how.certificate_key)
