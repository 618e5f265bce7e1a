"""Calls are judged: what is not granted never reaches upstream, and nobody claims an identity."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import grpc
import pytest
from typing_extensions import override

from sidecar.core.decision import Deny, DenyReason
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.principal import Principal
from sidecar.core.subject import SubjectKey
from sidecar.fronts.grpc_proxy.metadata import CallHead, MetadataRules, Metadatum
from sidecar.ports import CutReason
from sidecar.stream_guard import StreamGuard
from tests.fakes.front import IDENTITY
from tests.fakes.grpc_front import (
    CONNECT,
    ROUTES,
    GrpcFront,
    end_of,
    grpc_upstream,
    hang,
    running_grpc_front,
)
from tests.fakes.raw_grpc import raw_call
from tests.fakes.waiting import until
from tests.fakes.world import NOW, World

AGENT: tuple[Metadatum, ...] = (
    ("origin", "agent"),
    ("authorization", "Bearer grpc://prod:secret@gateway:8010?mode=standard"),
)


def reasons(front: GrpcFront) -> list[DenyReason | None]:
    return [
        decision.reason if isinstance(decision, Deny) else None
        for _, decision, _ in front.world.observer.decisions
    ]


@pytest.mark.parametrize(
    ("authorization", "code", "reason"),
    [
        ([], grpc.StatusCode.UNAUTHENTICATED, DenyReason.NO_CREDENTIALS),
        (["Basic YTpi"], grpc.StatusCode.UNAUTHENTICATED, DenyReason.NO_CREDENTIALS),
        (["Bearer nonsense"], grpc.StatusCode.UNAUTHENTICATED, DenyReason.TOKEN_UNREADABLE),
        (["Bearer a b"], grpc.StatusCode.INVALID_ARGUMENT, DenyReason.MALFORMED_CREDENTIALS),
    ],
)
async def test_a_credential_that_does_not_do_is_refused(
    authorization: list[str], code: grpc.StatusCode, reason: DenyReason
) -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask(metadata=[("authorization", each) for each in authorization])

        assert answer.code is code
        assert reasons(front) == [reason]
        assert upstream.conversations == []
        assert front.world.observer.calls[0][1] == code.name
        assert str(answer.trailer("www-authenticate")).startswith('Bearer realm="sidecar"')


async def test_two_credentials_are_refused_however_good() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask(metadata=[front.bearer(), front.bearer()])

        assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
        assert upstream.conversations == []


async def test_a_disabled_subject_is_refused_and_told_no_more_than_any_other() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        front.world.disable("robot")
        disabled = await front.ask()
        unknown = await front.ask(metadata=[front.bearer(sub="nobody")])
        expired = await front.ask(metadata=[front.bearer(exp=NOW - 1000)])

        assert disabled.code is grpc.StatusCode.UNAUTHENTICATED
        assert {each.details for each in (disabled, unknown, expired)} == {"access denied"}
        assert upstream.conversations == []


async def test_a_scope_that_is_missing_and_a_route_that_is_not_there_are_forbidden() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        scope = await front.ask(method="/test.Write/Do")
        route = await front.ask(method="/test.Elsewhere/Do")

        assert scope.code is route.code is grpc.StatusCode.PERMISSION_DENIED
        assert 'scope="write"' in str(scope.trailer("www-authenticate"))
        assert reasons(front) == [DenyReason.INSUFFICIENT_SCOPE, DenyReason.NO_ROUTE]


async def test_a_store_that_is_silent_is_unavailable() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        front.world.accounts.live = False
        answer = await front.ask()

        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.trailer("grpc-retry-pushback-ms") == "1000"


async def test_an_account_that_is_not_at_hand_is_waited_for() -> None:
    world = World(routes=ROUTES)
    world.enroll("late", at_hand=False)
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        answer = await front.ask(b"x", metadata=[front.bearer(sub="late")])

        assert answer.messages == [b"x"]
        assert world.accounts.reads == [(SubjectKey("corp", "late"), None)]


async def test_upstream_learns_who_calls_from_us_alone() -> None:
    spoofed: list[Metadatum] = [
        ("x-auth-subject", "root"),
        ("x_auth_subject", "root"),
        ("x.auth.groups", "admin"),
        ("api-key", "root"),
        ("x-request-id", "mine"),
        ("x-forwarded-for", "10.0.0.1"),
    ]
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        await front.ask(more=spoofed)
        got = upstream.last

        assert got.values("x-auth-subject") == ["robot"]
        assert got.values("api-key") == [""]
        assert got.values("x-request-id") == [front.world.observer.decisions[0][0].request_id]
        assert got.values("x-forwarded-for") == ["127.0.0.1"]
        assert not [name for name, _ in got.metadata if "_" in name or "." in name]
        assert got.values("authorization") == [front.bearer()[1]]


async def test_an_open_route_claims_no_identity() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask(
            b"x", method="/test.Open/Any", metadata=[("x-auth-subject", "root")]
        )

        assert answer.messages == [b"x"]
        assert upstream.last.values("x-auth-subject") == [""]
        assert upstream.last.values("authorization") == []


async def test_an_agent_passes_with_its_own_credential() -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        answer = await front.ask(b"x", method=CONNECT, metadata=AGENT)

        assert answer.messages == [b"x"]
        assert upstream.last.values("authorization") == [AGENT[1][1]]
        assert upstream.last.values("origin") == ["agent"]
        assert upstream.last.values("x-auth-subject") == [""]


async def test_saying_agent_opens_nothing_to_a_token() -> None:
    """The gateway would look a token up among its agents' keys; we judge it as what it is."""
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        origin = ("origin", "agent")
        front.world.disable("robot")

        for metadata in (
            [origin, front.bearer()],  # revoked
            [origin, front.bearer(iss="https://spire.example")],
            [origin],
            [origin, ("origin", "client"), AGENT[1]],
            [("origin", "client"), AGENT[1]],
            [AGENT[1]],
        ):
            answer = await front.ask(method=CONNECT, metadata=metadata)
            assert answer.code in (
                grpc.StatusCode.UNAUTHENTICATED,
                grpc.StatusCode.INVALID_ARGUMENT,
            ), metadata
        elsewhere = await front.ask(metadata=AGENT)
        assert elsewhere.code is not grpc.StatusCode.OK
        assert upstream.conversations == []


async def test_a_revoked_subjects_calls_end_and_others_go_on() -> None:
    world = World(routes=ROUTES)
    world.enroll("other")
    async with (
        grpc_upstream(hang) as upstream,
        running_grpc_front(upstream.target, world=world) as front,
        asyncio.TaskGroup() as tasks,
    ):
        guard = StreamGuard(front.streams, world.accounts, world.clock, {})
        guarding = tasks.create_task(guard.run())
        revoked = [front.begin() for _ in range(3)]
        other = front.begin(metadata=[front.bearer(sub="other")])
        for call in (*revoked, other):
            assert await call.read() == b"hello"

        world.disable("robot")
        for call in revoked:
            assert (await end_of(call)).code is grpc.StatusCode.UNAUTHENTICATED
        assert world.observer.cuts == [(CutReason.REVOKED, 3)]
        assert not other.done()
        other.cancel()
        await until(lambda: front.handler.calls == 0)
        guarding.cancel()


async def test_a_call_ends_when_its_token_expires() -> None:
    async with grpc_upstream(hang) as upstream, running_grpc_front(upstream.target) as front:
        guard = StreamGuard(front.streams, front.world.accounts, front.world.clock, {})
        call = front.begin()
        await call.read()
        front.world.clock.advance(400)
        await guard.cut_expired()
        answer = await end_of(call)

        assert (answer.code, answer.details) == (
            grpc.StatusCode.UNAUTHENTICATED,
            "token expired",
        )


@pytest.mark.parametrize(
    "more", [((b"k", b"\xff\xfe"),), ((b"k", b"a\tb"),), ((b"authorization", b"\xe4"),)]
)
async def test_octets_beyond_ascii_are_refused_and_harm_nobody(
    more: tuple[tuple[bytes, bytes], ...],
) -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        await raw_call(front.proxy.url, b"/test.Open/Any", *more)

        assert reasons(front) == [DenyReason.MALFORMED_REQUEST]
        assert upstream.conversations == []
        assert (await front.ask(b"x")).messages == [b"x"]


@pytest.mark.parametrize("path", [b"/test.Open/../test.Echo/Any", b"/test.Open/%2e", b"//", b"*"])
async def test_a_method_that_can_be_read_in_two_ways_is_refused(path: bytes) -> None:
    async with grpc_upstream() as upstream, running_grpc_front(upstream.target) as front:
        await raw_call(front.proxy.url, path)

        assert reasons(front) == [DenyReason.MALFORMED_REQUEST]
        assert upstream.conversations == []


class Broken:
    """Signs nothing."""

    def assertion(self, principal: Principal) -> str:
        raise RuntimeError(principal.name)


async def test_what_fails_before_upstream_is_called_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = MetadataRules(IdentityHeaders({"assertion": "X-Auth-Assertion"}, asserts=Broken()))
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, rules=rules) as front,
    ):
        answer = await front.ask(b"x")

        assert (answer.code, answer.details) == (
            grpc.StatusCode.INTERNAL,
            "internal server error",
        )
        assert upstream.conversations == []
        assert "a call failed" in caplog.text
        assert [code for _, code, _ in front.world.observer.calls] == ["INTERNAL"]
        assert front.handler.calls == 0


class Untold(MetadataRules):
    """Rules that fail at whatever they read."""

    @override
    def read(self, metadata: Iterable[Metadatum]) -> CallHead:
        raise RuntimeError("secret")


async def test_what_fails_before_anything_is_read_tells_nothing_either() -> None:
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, rules=Untold(IDENTITY)) as front,
    ):
        answer = await front.ask(b"x")

        assert (answer.code, answer.details) == (
            grpc.StatusCode.INTERNAL,
            "internal server error",
        )
        assert upstream.conversations == []
        assert front.handler.calls == 0


async def test_in_shadow_a_call_passes_as_nobody_with_the_credential_that_it_brought() -> None:
    world = World(routes=[replace(each, shadow=True) for each in ROUTES])
    token = world.sign()
    world.disable("robot")
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        told = [("authorization", f"bearer {token}"), ("x-auth-subject", "root")]
        answer = await front.ask(b"hello", metadata=told)

        assert answer.code is grpc.StatusCode.OK
        assert upstream.last.values("x-auth-subject") == [""]
        assert upstream.last.values("authorization") == [f"bearer {token}"]
