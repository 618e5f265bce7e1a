"""Limits of callers at the gRPC door: the code, the pushback, and the place of an open call."""

from fractions import Fraction

import grpc

from sidecar.admission import Limiter, LimitRules
from sidecar.core.rate_limit import Limit
from sidecar.rules import Admission
from tests.fakes.grpc_front import ROUTES, end_of, grpc_upstream, hang, running_grpc_front
from tests.fakes.waiting import until
from tests.fakes.world import World


def limited(limit: Limit) -> World:
    admission = Admission(limiter=Limiter(LimitRules(limit)))
    return World(routes=ROUTES, admission=admission)


async def test_a_used_up_budget_is_resource_exhausted_and_says_when_to_come_back() -> None:
    world = limited(Limit("account", Fraction(1, 4), 1))
    async with (
        grpc_upstream() as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        first, second = await front.ask(b"a"), await front.ask(b"a")

    assert first.code is grpc.StatusCode.OK
    assert second.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert second.details == "too many requests"
    assert second.trailer("grpc-retry-pushback-ms") == "4000"
    assert len(upstream.conversations) == 1


async def test_an_open_call_holds_its_place_until_it_ends_however_it_does() -> None:
    world = limited(Limit("account", concurrent=1))
    async with (
        grpc_upstream(hang) as upstream,
        running_grpc_front(upstream.target, world=world) as front,
    ):
        for end in ("cancelled by the client", "cut"):
            call = front.begin()
            assert await call.read() == b"hello"
            assert (await front.ask()).code is grpc.StatusCode.RESOURCE_EXHAUSTED, end
            if end == "cut":
                front.cut()
                assert (await end_of(call)).code is grpc.StatusCode.UNAUTHENTICATED
            else:
                call.cancel()
            await until(lambda: front.streams.in_flight == 0)
        last = front.begin()
        assert await last.read() == b"hello"
        last.cancel()
        await until(lambda: front.handler.calls == 0)
