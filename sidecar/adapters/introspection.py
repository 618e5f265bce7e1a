"""Asking the issuers about tokens (RFC 7662): one question per token at a time, and not for long.

A question is bounded in time and size, and no redirect is followed: the token would go along. Of
one endpoint so many are asked at once and no more, and one that keeps failing is left alone for a
moment (``circuit``): then those whose tokens are not remembered are refused at once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar.adapters.answer_memory import AnswerMemory
from sidecar.adapters.bounded_fetch import FetchFailed
from sidecar.adapters.circuit import Circuit
from sidecar.adapters.client_authentication import NoCredential
from sidecar.adapters.outage_log import OutageLog
from sidecar.core.bearer import BearerToken
from sidecar.core.introspection import NoAnswer, read_answer
from sidecar.introspection import (
    AnsweredFrom,
    IntrospectionObserver,
    IntrospectionOutcome,
    IntrospectionUnavailable,
)
from sidecar.ports import Clock, FetchOutcome

# These are the server's; the others may be this one token's.
_FAILURES_OF_SERVER = frozenset(
    {
        IntrospectionOutcome.UNREACHABLE,
        IntrospectionOutcome.TIMEOUT,
        IntrospectionOutcome.STATUS,
        IntrospectionOutcome.ISSUER_MISMATCH,
        IntrospectionOutcome.CREDENTIAL,
    }
)
# What some answer about a token that they cannot read, though RFC 7662, 2.2 has them say inactive.
_STATUSES_OF_TOKEN = frozenset({400, 404, 413, 414, 415, 422})
# Beyond a day the number need not be looked at closely, however many digits it has.
_LONGEST = 86400.0


class Endpoint(Protocol):
    """One issuer's introspection endpoint."""

    async def ask(self, bearer: BearerToken) -> bytes:
        """Return what it answers about the token.

        Raises:
            FetchFailed: in whatever way it failed.
            NoCredential: we cannot show it who asks.
        """
        ...


@dataclass(frozen=True, slots=True)
class AnswerPolicy:
    """For how long answers count, in seconds, how many are kept, how many questions at once.

    ``active`` is never past the token's ``exp``: that is judged on every request.
    """

    active: float = 30.0
    inactive: float = 5.0
    max_answers: int = 10_000
    max_in_flight: int = 64


class Introspections:
    """Implements ``introspection.Introspector`` over the issuers' endpoints."""

    def __init__(self, issuers: Mapping[str, "IssuerIntrospection"]) -> None:
        self._issuers = issuers

    async def introspect(self, issuer: str, bearer: BearerToken) -> Mapping[str, Any] | None:
        found = self._issuers.get(issuer)
        if found is None:
            raise IntrospectionUnavailable("the issuer has no endpoint")
        return await found.introspect(bearer)


class IssuerIntrospection:
    """One issuer's answers: those remembered, those on their way, and the endpoint."""

    def __init__(
        self,
        issuer: str,
        endpoint: Endpoint,
        policy: AnswerPolicy,
        clock: Clock,
        observer: IntrospectionObserver,
    ) -> None:
        self._issuer = issuer
        self._endpoint = endpoint
        self._policy = policy
        self._clock = clock
        self._observer = observer
        self._memory = AnswerMemory(policy.max_answers)
        self._flights: dict[str, asyncio.Future[Mapping[str, Any] | None]] = {}
        self._slots = asyncio.Semaphore(policy.max_in_flight)
        self._circuit = Circuit()
        self._outages = OutageLog(
            f"the introspection endpoint of {issuer}", "requests that need it get 503"
        )

    async def introspect(self, bearer: BearerToken) -> Mapping[str, Any] | None:
        """As ``Introspector.introspect``."""
        digest = self._memory.digest(bearer)
        while True:
            remembered = await self._memory.recall(digest, self._clock.steady())
            if remembered is not None:
                self._observer.introspection_answered(self._issuer, AnsweredFrom.MEMORY)
                return remembered.members
            flight = self._flights.get(digest)
            if flight is None:
                return await self._lead(digest, bearer)
            try:
                # Shielded: whoever gives up waiting must not take the answer from the others.
                members = await asyncio.shield(flight)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not flight.cancelled() or (task is not None and task.cancelling()):
                    raise
                # It is who asked that gave up. Somebody else has to ask.
                continue
            self._observer.introspection_answered(self._issuer, AnsweredFrom.FLIGHT)
            return members

    async def _lead(self, digest: str, bearer: BearerToken) -> Mapping[str, Any] | None:
        flight: asyncio.Future[Mapping[str, Any] | None]
        flight = self._flights[digest] = asyncio.get_running_loop().create_future()
        try:
            members = await self._ask_in_turn(bearer)
            lifetime = self._policy.inactive if members is None else self._lifetime(members)
            await self._memory.remember(digest, members, lifetime, self._clock.steady())
        except IntrospectionUnavailable as unavailable:
            flight.set_exception(unavailable)
            flight.exception()  # seen, though nobody else may wait
            raise
        else:
            flight.set_result(members)
        finally:
            del self._flights[digest]
            flight.cancel()
        self._observer.introspection_answered(self._issuer, AnsweredFrom.ENDPOINT)
        return members

    async def _ask_in_turn(self, bearer: BearerToken) -> Mapping[str, Any] | None:
        async with self._slots:
            if not self._circuit.admits(self._clock.steady()):
                self._observer.introspected(self._issuer, IntrospectionOutcome.RESTING, 0.0)
                raise IntrospectionUnavailable("the endpoint failed again and again; it rests")
            try:
                return await self._ask(bearer)
            except asyncio.CancelledError:
                self._circuit.abandoned()
                raise

    async def _ask(self, bearer: BearerToken) -> Mapping[str, Any] | None:
        began, is_servers = self._clock.steady(), True
        try:
            members = read_answer(await self._endpoint.ask(bearer))
        except FetchFailed as failed:
            outcome, detail = _outcome_of(failed.outcome), failed.detail
            is_servers = failed.status not in _STATUSES_OF_TOKEN
        except NoAnswer as problem:
            outcome, detail = IntrospectionOutcome.MALFORMED, str(problem)
        except NoCredential as problem:
            outcome, detail = IntrospectionOutcome.CREDENTIAL, str(problem)
        else:
            outcome = (
                IntrospectionOutcome.INACTIVE if members is None else IntrospectionOutcome.ACTIVE
            )
            self._ended(outcome, began, is_servers=False)
            self._outages.over(self._clock.steady())
            return members
        self._ended(outcome, began, is_servers=is_servers and outcome in _FAILURES_OF_SERVER)
        self._outages.failed(detail[:200], self._clock.steady())
        raise IntrospectionUnavailable(f"introspection: {outcome.value}: {detail[:200]}")

    def _ended(self, outcome: IntrospectionOutcome, began: float, *, is_servers: bool) -> None:
        now = self._clock.steady()
        if is_servers:
            self._circuit.failed(now)
        else:
            self._circuit.answered()
        self._observer.introspected(self._issuer, outcome, now - began)

    def _lifetime(self, members: Mapping[str, Any]) -> float:
        expires_at = members.get("exp")
        if not isinstance(expires_at, int | float) or expires_at >= self._clock.now() + _LONGEST:
            return self._policy.active
        return max(0.0, min(self._policy.active, expires_at - self._clock.now()))


def _outcome_of(outcome: FetchOutcome) -> IntrospectionOutcome:
    return IntrospectionOutcome(outcome.value)
