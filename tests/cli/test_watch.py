"""``sidecar watch``: what is seen of a sidecar, and of one that does not answer."""

import asyncio
import io
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from rich.console import Console

from sidecar.app.tls import server_context
from sidecar.cli.watch import AdminUnreachable, Watch, fetch, keep_watching
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.demo.redis_server import free_port
from sidecar.observability.metrics import Metrics
from sidecar.observability.workers import this_worker
from sidecar.ports import CutReason, StreamKind
from tests.app.test_tls import Certificates
from tests.cli.test_main import GOOD, run
from tests.fakes.clock import FakeClock

URL = "http://127.0.0.1:9090"
ASKED = AccessRequest("GET", "sidecar.example", "/", "", (), "192.0.2.7", "request-1")


class FakeAdmin:
    """An admin listener that can go away; it counts into real metrics."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.workers = b""
        self.is_away = False

    def fetch(self, path: str) -> str:
        if self.is_away:
            raise AdminUnreachable("connection refused")
        if path == "/workers":
            return (self.workers or this_worker(self.metrics)).decode()
        return self.metrics.render("text/plain")[0].decode()

    def count(self, granted: int, inactive: int) -> None:
        for _ in range(granted):
            self.metrics.decided(ASKED, Grant(Route("health", "/health")), 0.1)
        for _ in range(inactive):
            self.metrics.decided(ASKED, Deny(DenyReason.SUBJECT_INACTIVE), 0.1)


def told(watch: Watch) -> list[list[str]]:
    """Look; return what is printed, as words by line."""
    console = Console(file=io.StringIO(), width=120)
    console.print(watch.look_or_say())
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().replace("│", " ").splitlines()
    return [line.split() for line in lines]


def test_decisions_cuts_and_freshness_are_shown_with_their_rates() -> None:
    admin, clock = FakeAdmin(), FakeClock()
    watch = Watch(URL, admin.fetch, clock)
    admin.count(10, 2)
    admin.metrics.in_flight(StreamKind.WEBSOCKET, 3)
    admin.metrics.view_state(live=True, proven_at=clock.now() - 0.2)
    admin.metrics.keys_loaded("https://idp.example", 2, clock.now() - 60)
    first = told(watch)
    assert ["granted", "10", "-"] in first
    assert ["denied", "subject_inactive", "2", "-"] in first
    assert ["in", "flight,", "websocket", "3"] in first
    assert ["account", "view", "live,", "proven", "0.2", "s", "ago"] in first
    assert ["keys", "of", "https://idp.example", "2,", "loaded", "60.0", "s", "ago"] in first
    assert not [line for line in first if "bad_signature" in line]

    admin.count(5, 0)
    admin.metrics.cut(CutReason.REVOKED, 4)
    clock.advance(2)
    second = told(watch)

    assert ["granted", "15", "2.5"] in second
    assert ["denied", "subject_inactive", "2", "0.0"] in second
    assert ["revoked", "4", "2.0"] in second


def test_one_process_is_one_row_with_the_age_of_its_view_and_of_its_oldest_keys() -> None:
    admin, clock = FakeAdmin(), FakeClock()
    watch = Watch(URL, admin.fetch, clock)
    admin.count(10, 2)
    admin.metrics.cut(CutReason.REVOKED, 4)
    admin.metrics.view_state(live=True, proven_at=clock.now() - 0.2)
    admin.metrics.keys_loaded("https://a.example", 2, clock.now() - 5)
    admin.metrics.keys_loaded("https://b.example", 2, clock.now() - 60)
    view, pid = ["live,", "proven", "0.2", "s", "ago"], str(os.getpid())

    assert [pid, "12", "-", "4", *view, "60.0", "s", "ago"] in told(watch)

    admin.count(5, 0)
    clock.advance(2)
    assert [line[:4] for line in told(watch) if line[:1] == [pid]] == [[pid, "17", "2.5", "4"]]


def worker(pid: int, decisions: int, *, is_live: bool = True) -> dict[str, object]:
    return {
        "pid": pid, "decisions": decisions, "cuts": 0, "is_live": is_live, "proven_at": 0,
        "keys_loaded_at": 0,
    }  # fmt: skip


def test_each_worker_has_a_row_and_one_that_was_replaced_no_rate() -> None:
    admin, clock = FakeAdmin(), FakeClock()
    watch = Watch(URL, admin.fetch, clock)
    admin.workers = json.dumps([worker(12, 10), worker(11, 20)]).encode()
    told(watch)
    admin.workers = json.dumps([worker(11, 24), worker(13, 3, is_live=False)]).encode()
    clock.advance(2)

    second = told(watch)

    assert [line for line in second if line and line[0] in {"11", "12", "13"}] == [
        ["11", "24", "2.0", "0", "live,", "never", "proven", "none"],
        ["13", "3", "-", "0", "not", "live,", "never", "proven", "none"],
    ]


def test_what_is_no_list_of_workers_is_said_to_be_none() -> None:
    admin = FakeAdmin()
    admin.workers = b'[{"pid": 1}]'
    watch = Watch(URL, admin.fetch, FakeClock())

    with pytest.raises(AdminUnreachable, match="decisions"):
        watch.look()


def test_a_view_that_is_not_live_is_said_to_be() -> None:
    assert ["account", "view", "not", "live,", "never", "proven"] in told(
        Watch(URL, FakeAdmin().fetch, FakeClock())
    )


def test_a_sidecar_that_was_started_anew_has_no_negative_rates() -> None:
    admin, clock = FakeAdmin(), FakeClock()
    watch = Watch(URL, admin.fetch, clock)
    admin.count(10, 0)
    told(watch)
    admin.metrics = Metrics()
    admin.count(3, 0)
    clock.advance(1)

    assert ["granted", "3", "-"] in told(watch)


def test_a_listener_that_goes_is_told_and_found_again() -> None:
    admin, clock = FakeAdmin(), FakeClock()
    watch = Watch(URL, admin.fetch, clock)
    admin.count(10, 0)
    seconds: list[float] = []
    screens = io.StringIO()

    def sleep(pause: float) -> None:
        """Away in the second of three rounds; then the user has seen enough."""
        seconds.append(pause)
        admin.is_away = len(seconds) == 1
        admin.count(1, 0)
        clock.advance(pause)
        if len(seconds) == 3:
            raise KeyboardInterrupt

    keep_watching(watch, Console(file=screens, width=120, force_terminal=True), sleep)

    assert seconds == [1.0, 1.0, 1.0]
    shown = screens.getvalue()
    assert "no answer from" in shown
    assert "connection refused; trying again" in shown
    assert "12" in shown.rpartition("trying again")[2]


def test_once_without_a_sidecar_ends_with_3_and_says_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    code, out, err = run("watch", "--once", "--admin", url)

    assert (code, out) == (3, "")
    assert f"the admin listener at {url} cannot be asked" in err
    assert "--admin URL" in err


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1"), ("::", "http://[::1]")],  # noqa: S104
)
def test_the_settings_say_where_the_listener_is(host: str, url: str) -> None:
    port = str(free_port())
    code, _, err = run(
        *("watch", "--once", "--config", GOOD), SIDECAR_ADMIN__HOST=host, SIDECAR_ADMIN__PORT=port
    )

    assert code == 3
    assert f"at {url}:{port} cannot" in err


@asynccontextmanager
async def listener(status: int, text: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    async def answer(request: web.BaseRequest) -> web.Response:
        assert request.path == "/metrics"  # of which the rest is not asked, where it is none
        return web.Response(status=status, text=text)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        where = "http://127.0.0.1" if tls is None else "https://localhost"
        yield f"{where}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_metrics_are_fetched_and_anything_else_is_not() -> None:
    text = Metrics().render("text/plain")[0].decode()
    async with listener(200, text) as url:
        assert await asyncio.to_thread(fetch, url, "/metrics") == text
    async with listener(404, "there is nothing") as url:
        with pytest.raises(AdminUnreachable, match="answered 404"):
            await asyncio.to_thread(fetch, url, "/metrics")
    async with listener(200, "<html>") as url:
        code, _, err = await asyncio.to_thread(run, "watch", "--once", "--admin", url)
        assert code == 3
        assert "cannot be asked" in err


async def test_a_listener_with_tls_is_believed_by_its_authority_alone(tmp_path: Path) -> None:
    ours, other = Certificates(tmp_path, "ours"), Certificates(tmp_path, "other")
    context = server_context(ours.certificate, ours.key, None)
    async with listener(200, "text", context) as url:
        assert await asyncio.to_thread(partial(fetch, url, "/metrics", ca=ours.ca)) == "text"
        for ca in (None, other.ca):
            with pytest.raises(AdminUnreachable, match="CERTIFICATE_VERIFY_FAILED"):
                await asyncio.to_thread(partial(fetch, url, "/metrics", ca=ca))
        # A file that holds no certificate is said to be none.
        with pytest.raises(AdminUnreachable, match=r"ours\.key cannot be used"):
            await asyncio.to_thread(partial(fetch, url, "/metrics", ca=ours.key))


def test_the_settings_say_that_it_speaks_tls(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    port = str(free_port())
    code, _, err = run(
        *("watch", "--once", "--config", GOOD),
        SIDECAR_ADMIN__PORT=port,
        SIDECAR_ADMIN__TLS__CERTIFICATE=str(ours.certificate),
        SIDECAR_ADMIN__TLS__KEY=str(ours.key),
    )

    assert code == 3
    assert f"at https://127.0.0.1:{port} cannot" in err


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "https://", "127.0.0.1:9090", "http://", "http://a:b"]
)
def test_what_is_no_url_of_an_admin_listener_is_said_to_be_none(url: str) -> None:
    with pytest.raises(AdminUnreachable, match=r"http://127|Port"):
        fetch(url, "/metrics")


def test_what_passes_in_shadow_is_told_beside_what_is_granted() -> None:
    admin = FakeAdmin()
    watch = Watch(URL, admin.fetch, FakeClock())
    route = Route("shadow", "/", shadow=True)
    admin.metrics.decided(
        ASKED, Grant(route, shadowed=Deny(DenyReason.SUBJECT_UNKNOWN, route=route)), 0.1
    )
    assert "enforced" not in " ".join(" ".join(line) for line in told(watch))
    admin.metrics.shadow.in_force(4)
    seen = told(watch)

    assert ["in", "shadow", "subject_unknown", "1", "-"] in seen
    assert ["shadow", "nothing", "is", "enforced", "on", "4", "routes"] in seen
