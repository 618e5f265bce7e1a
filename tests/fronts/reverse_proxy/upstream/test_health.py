"""Probes of real servers on loopback: what they ask, and what follows for requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamFailed, UpstreamPolicy
from sidecar.fronts.reverse_proxy.upstream.policy import HealthPolicy
from sidecar.ports import UpstreamError
from tests.fakes.front import running_front, status_of
from tests.fakes.upstream import OK, Conversation, ScriptedUpstream, scripted_upstream
from tests.fakes.waiting import until
from tests.fronts.reverse_proxy.upstream.test_addresses import HOST, body_of, refusing

SICK = b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"
FAST: dict[str, Any] = {"interval": 0.02, "timeout": 5.0, "unhealthy_after": 2}
WITH_PATH = HealthPolicy("/health", **FAST)
CONNECTING = HealthPolicy(**FAST)


@dataclass
class Heard:
    """Implements ``HealthObserver``."""

    probes: list[tuple[str, bool]] = field(default_factory=list)
    changes: list[tuple[str, bool]] = field(default_factory=list)

    def probed(self, address: str, *, well: bool) -> None:
        self.probes.append((address, well))

    def is_healthy(self, address: str, *, healthy: bool) -> None:
        self.changes.append((address, healthy))

    @property
    def now(self) -> dict[str, bool]:
        return dict(self.changes)


class Patient:
    """Answers probes as it is told to, and everything else with 200."""

    def __init__(self) -> None:
        self.answer: bytes | None = OK
        self.probes = 0
        self.requests = 0
        self.heads: list[Conversation] = []

    async def talk(self, conversation: Conversation) -> None:
        if not conversation.request_line.startswith("GET /health"):
            self.requests += 1
            await conversation.say(OK)
            return
        self.probes += 1
        self.heads.append(conversation)
        if self.answer is None:
            await conversation.read_to_end()
        else:
            await conversation.say(self.answer)


@asynccontextmanager
async def probed(
    health: HealthPolicy, *, more: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Patient, Upstream, Heard, ScriptedUpstream]]:
    patient, heard = Patient(), Heard()
    async with scripted_upstream(patient.talk) as server:
        policy = UpstreamPolicy(server.url, more=more, health=health)
        async with Upstream(policy, heard) as upstream:
            yield patient, upstream, heard, server


async def failure_of(upstream: Upstream) -> UpstreamError:
    with pytest.raises(UpstreamFailed) as failed:
        await body_of(upstream)
    return failed.value.error


async def test_a_probe_asks_for_the_path_on_a_connection_of_its_own() -> None:
    async with probed(WITH_PATH) as (patient, upstream, heard, server):
        await until(lambda: len(heard.probes) >= 2)
        head = patient.heads[0]

        assert head.request_line == "GET /health HTTP/1.1"
        assert head.values("Host") == [server.url.removeprefix("http://")]
        assert heard.probes[0] == (server.url, True)
        assert heard.changes == [(server.url, True)]
        assert await body_of(upstream) == b"ok"


async def test_while_no_address_is_healthy_requests_are_refused_without_a_connect() -> None:
    async with probed(WITH_PATH) as (patient, upstream, heard, server):
        patient.answer = SICK
        await until(lambda: heard.now[server.url] is False)
        connections, requests = server.connections, patient.requests
        found = {await failure_of(upstream) for _ in range(50)}

        assert found <= {UpstreamError.CIRCUIT_OPEN, UpstreamError.CONNECT}
        # Probes go on, and at most a trial or two.
        assert patient.requests - requests <= 2
        assert server.connections - connections < 50


async def test_when_it_is_well_again_requests_pass_after_a_probe() -> None:
    async with probed(WITH_PATH) as (patient, upstream, heard, server):
        patient.answer = SICK
        await until(lambda: heard.now[server.url] is False)
        patient.answer = OK
        probes = len(heard.probes)
        await until(lambda: heard.now[server.url] is True)

        assert await body_of(upstream) == b"ok"
        assert len(heard.probes) - probes <= 2


async def test_an_upstream_that_accepts_and_never_answers_is_found_out() -> None:
    health = HealthPolicy("/health", interval=0.02, timeout=0.05, unhealthy_after=2)
    async with probed(health) as (patient, upstream, heard, server):
        patient.answer = None
        await until(lambda: heard.now[server.url] is False)

        assert await failure_of(upstream) is UpstreamError.CIRCUIT_OPEN


async def test_a_dead_upstream_fails_requests_at_once_and_is_found_when_it_comes_back() -> None:
    patient, heard = Patient(), Heard()
    url = refusing()
    port = int(url.rpartition(":")[2])
    async with Upstream(UpstreamPolicy(url, health=CONNECTING), heard) as upstream:
        await until(lambda: heard.now[url] is False)
        assert await failure_of(upstream) in (UpstreamError.CIRCUIT_OPEN, UpstreamError.CONNECT)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                patient.requests += 1
                writer.write(OK)
                await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            finally:
                writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", port):
            await until(lambda: heard.now[url] is True)
            assert await body_of(upstream) == b"ok"

    assert patient.requests == 1


async def test_an_address_that_is_unhealthy_is_left_out_and_another_asked() -> None:
    async with (
        scripted_upstream() as well,
        probed(WITH_PATH, more=(well.url,)) as (patient, upstream, heard, server),
    ):
        patient.answer = SICK
        await until(lambda: heard.now[server.url] is False)
        before = patient.requests
        for _ in range(20):
            assert await body_of(upstream) == b"ok"

        assert patient.requests - before <= 2  # trials
        assert heard.now[well.url] is True


@pytest.mark.parametrize("nonsense", [b"nonsense\r\n\r\n", b"HTTP/1.1 204 X\r\n\r\n"])
async def test_what_is_not_the_expected_answer_is_a_failure(nonsense: bytes) -> None:
    async with probed(WITH_PATH) as (patient, _, heard, server):
        patient.answer = nonsense
        await until(lambda: heard.now[server.url] is False)

        assert (server.url, False) in heard.probes


async def test_the_client_gets_503_without_a_connect_and_is_told_to_come_back() -> None:
    async with scripted_upstream() as server:
        # One probe, and then none for a minute: no trial comes in between.
        health = HealthPolicy("/health", interval=60.0, timeout=5.0, unhealthy_after=1,
                              expect_status=frozenset({299}))  # fmt: skip
        policy = UpstreamPolicy("", health=health)
        async with running_front(server.url, policy=policy) as front:
            breaker = front.parts.upstream._addresses[0].breaker
            await until(lambda: not breaker.is_closed)
            asked = len(server.conversations)
            answers = [await front.ask() for _ in range(20)]

    assert {status_of(answer) for answer in answers} == {503}
    assert all(b"Retry-After: 1" in answer for answer in answers)
    assert all(b"temporarily_unavailable" in answer for answer in answers)
    assert len(server.conversations) == asked
    assert front.world.observer.in_flight_now.total() == 0


async def test_a_body_is_not_waited_for_when_nobody_is_to_get_it() -> None:
    health = HealthPolicy("/health", interval=60.0, timeout=5.0, unhealthy_after=1,
                          expect_status=frozenset({299}))  # fmt: skip
    async with (
        scripted_upstream() as server,
        running_front(server.url, policy=UpstreamPolicy("", health=health)) as front,
    ):
        breaker = front.parts.upstream._addresses[0].breaker
        await until(lambda: not breaker.is_closed)
        line = "PUT /people/a HTTP/1.1"
        answer = await front.send(front.request(line, b"Content-Length: 9", body=b"half"))

    assert status_of(answer) == 503


async def test_without_health_an_upstream_that_is_down_is_asked_every_time() -> None:
    async with Upstream(UpstreamPolicy(refusing())) as upstream:
        assert [await failure_of(upstream) for _ in range(5)] == [UpstreamError.CONNECT] * 5


async def test_probes_end_with_the_pool() -> None:
    health = HealthPolicy("/health", interval=0.02, timeout=60.0)
    async with probed(health) as (patient, _, _, server):
        patient.answer = None
        await until(lambda: patient.probes)
    assert server.connections >= 1  # and nothing is left that filterwarnings could find


async def test_a_probe_of_a_name_that_is_none_fails_and_ends_nothing() -> None:
    heard = Heard()
    url = "http://name.invalid:80"
    policy = UpstreamPolicy(url, health=CONNECTING)
    async with Upstream(policy, heard) as upstream:
        await until(lambda: heard.now[url] is False)
        with pytest.raises(UpstreamFailed):
            await upstream.ask("GET", "/", HOST, None)
