"""Spans of the real process at a real collector, and requests that go on without one."""

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Site
from tests.e2e.processes import Sidecar, running_sidecar
from tests.e2e.test_main_job import DEMO_WS, bearer
from tests.e2e.test_reloading import reload
from tests.e2e.test_workers import metric
from tests.fakes.collector import Collector, Span, running_collector
from tests.fakes.waiting import until, until_async

pytestmark = pytest.mark.e2e

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# None of these may have any effect.
VARIABLES = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_HEADERS": "a=of-the-environment"}


async def spans_of(collector: Collector, trace_id: str, number: int) -> dict[str, Span]:
    await until(lambda: len(collector.of(trace_id)) == number, 20)
    return collector.of(trace_id)


async def get(
    http: aiohttp.ClientSession, sidecar: Sidecar, token: str, trace_id: str, flags: str = "01"
) -> int:
    told = {"traceparent": f"00-{trace_id}-{SPAN}-{flags}", "tracestate": "a=1"}
    address = sidecar.url + "/api/userinfo?secret=1"
    async with http.get(address, headers=bearer(token, **told)) as response:
        await response.read()
        return response.status


async def check_a_granted_request(site: Site, sidecar: Sidecar, collector: Collector) -> None:
    assert await get(site.http, sidecar, site.token(), TRACE) == 200
    received = site.gateway.requests[-1]
    spans = await spans_of(collector, TRACE, 3)

    server, upstream = spans["server"], spans["client"]
    assert server.parent == SPAN
    assert upstream.parent == spans["internal"].parent == server.span_id
    assert received.values("traceparent") == [f"00-{TRACE}-{upstream.span_id}-01"]
    assert received.values("tracestate") == ["a=1"]
    assert server.start <= upstream.start <= upstream.end <= server.end
    assert "first_byte" in upstream.events
    assert server.attributes["http.response.status_code"] == 200
    assert server.resource["service.name"] == "gate"
    assert "of-the-environment" not in str(collector.headers)
    told = str(collector.spans)
    assert "secret" not in told
    assert site.token() not in told
    await until(lambda: sidecar.decisions != [])
    assert sidecar.decisions[-1]["trace_id"] == TRACE


async def check_a_refused_request(site: Site, sidecar: Sidecar, collector: Collector) -> None:
    trace_id = "1" * 32
    assert await get(site.http, sidecar, site.token(exp=1), trace_id) == 401
    spans = await spans_of(collector, trace_id, 2)

    assert spans["server"].attributes["sidecar.decision.reason"] == "token_expired"
    assert not spans["server"].is_error


async def check_one_that_is_not_sampled(site: Site, sidecar: Sidecar) -> None:
    trace_id = "2" * 32
    assert await get(site.http, sidecar, site.token(), trace_id, "00") == 200

    assert site.gateway.requests[-1].values("traceparent") == [f"00-{trace_id}-{SPAN}-00"]


async def check_a_tunnel(site: Site, sidecar: Sidecar, collector: Collector) -> None:
    """Its span ends with it."""
    trace_id = "3" * 32
    told = bearer(site.token(), traceparent=f"00-{trace_id}-{SPAN}-01")
    async with site.http.ws_connect(sidecar.url + "/api/demo/ws", headers=told) as socket:
        await socket.send_str("hello")
        await socket.receive(10)
        assert collector.of(trace_id) == {}
        await site.disable()
        async with asyncio.timeout(10):
            while not socket.closed:
                await socket.receive()
    spans = await spans_of(collector, trace_id, 3)

    assert spans["server"].attributes["http.response.status_code"] == 101
    assert spans["server"].events == ["cut"]
    await site.enable()


async def check_that_requests_go_on_without_a_collector(
    site: Site, sidecar: Sidecar, settings: dict[str, Any]
) -> None:
    gone = {**settings["tracing"], "endpoint": "http://127.0.0.1:1/v1/traces", "timeout": 0.2}
    await reload(sidecar, site.directory, {**settings, "tracing": gone})
    # A new session: on a connection from before the old settings may answer once more.
    async with aiohttp.ClientSession() as http:
        for number in range(10):
            assert await get(http, sidecar, site.token(), f"{number + 16:032x}") == 200

    async def are_lost() -> bool:
        lost = await metric(site, sidecar, 'sidecar_spans_dropped_total{reason="export"}')
        return lost >= 30

    await until_async(are_lost, 20)
    assert any("spans could not be exported" in line for line in sidecar.output)


async def test_requests_have_spans_and_do_not_need_a_collector(site: Site) -> None:
    await site.enable()
    async with running_collector() as collector:
        tracing = {"endpoint": collector.url, "follow": "all", "ratio": 0, "service_name": "gate"}
        settings = site.settings(tracing=tracing, routes=[DEMO_WS])
        async with running_sidecar(settings, site.directory, VARIABLES) as sidecar:
            await check_a_granted_request(site, sidecar, collector)
            await check_a_refused_request(site, sidecar, collector)
            await check_one_that_is_not_sampled(site, sidecar)
            await check_a_tunnel(site, sidecar, collector)
            await check_that_requests_go_on_without_a_collector(site, sidecar, settings)
            assert await sidecar.terminate() == 0

        assert collector.of("2" * 32) == {}
