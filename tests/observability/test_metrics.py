"""Metrics: counted right, documented, bounded, and summed over workers."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.account_sync import SyncFailure
from sidecar.core.connections import ConnectionRefusal
from sidecar.core.decision import Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.routes import Route
from sidecar.core.subject import SubjectKey
from sidecar.introspection import AnsweredFrom, IntrospectionOutcome
from sidecar.observability.change_counter import ChangeCounter
from sidecar.observability.exposition import render_all
from sidecar.observability.introspection_metrics import IntrospectionMetrics
from sidecar.observability.last_use_writer import LastUseMetrics
from sidecar.observability.loop_watch import LoopWatch
from sidecar.observability.metrics import Metrics
from sidecar.observability.sync_metrics import SyncMetrics
from sidecar.observability.trace_metrics import TraceMetrics
from sidecar.observability.upkeep import Upkeep
from sidecar.observability.upstream_metrics import UpstreamMetrics
from sidecar.ports import (
    AuditRecord,
    CutReason,
    FetchOutcome,
    StreamKind,
    UpstreamError,
    ViewEvent,
)
from sidecar.security_events import EventOutcome
from tests.fakes.clock import FakeClock

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "deploy" / "metrics.md"
REQUEST = AccessRequest("GET", "a", "/x", "", (), "127.0.0.1", "r")
GRANT = Grant(Route("r", "/x"))
REVOKED = AuditRecord(1.0, "me", "revoke_token", SubjectKey("r", ""), token_id="j")


def scrape(metrics: Metrics) -> dict[str, float]:
    text = metrics.render("")[0].decode()
    return {
        sample.name
        + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_issuer_without_keys_has_none_and_no_age() -> None:
    metrics = Metrics()
    metrics.keys_loaded("https://down", 0, 0.0)
    found = scrape(metrics)

    assert found["sidecar_jwks_keys,issuer=https://down"] == 0
    assert "sidecar_jwks_loaded_timestamp_seconds,issuer=https://down" not in found


def test_an_issuer_that_no_settings_name_any_more_is_forgotten() -> None:
    """Found on review: an alert told of keys that nobody renews, until a restart."""
    metrics = Metrics()
    with metrics.issuers(["https://stays"]):
        with metrics.issuers(["https://stays", "https://goes", "https://never-loaded"]):
            metrics.keys_loaded("https://stays", 2, 1.0)
            metrics.keys_loaded("https://goes", 2, 1.0)
        found = scrape(metrics)

    assert "sidecar_jwks_keys,issuer=https://stays" in found
    assert not [name for name in found if "https://goes" in name]


def test_everything_that_happens_is_counted_under_its_name() -> None:
    metrics = Metrics()
    metrics.decided(REQUEST, GRANT, 0.00002)
    metrics.decided(REQUEST, Deny(DenyReason.TOKEN_EXPIRED), 0.00002)
    metrics.answered(REQUEST, 200, 0.002)
    metrics.answered(REQUEST, 200, 0.002)
    metrics.answered(REQUEST, 9999, 0.002)
    metrics.upstream_failed(REQUEST, UpstreamError.RESET)
    metrics.in_flight(StreamKind.WEBSOCKET, 1)
    metrics.in_flight(StreamKind.WEBSOCKET, 1)
    metrics.in_flight(StreamKind.WEBSOCKET, -1)
    metrics.connected(1)
    metrics.connected(1)
    metrics.connected(-1)
    metrics.connection_refused(ConnectionRefusal.LIMIT)
    metrics.read_too_slowly()
    metrics.cut(CutReason.REVOKED, 3)
    metrics.keys_fetched("https://idp", FetchOutcome.TIMEOUT, 5.0)
    metrics.keys_loaded("https://idp", 2, 1700000000.0)
    metrics.view_changed(ViewEvent.LIVE)
    metrics.view_proven(0.0007)
    metrics.audited(AuditRecord(1.0, "me", "disable", SubjectKey("r", "s"), None, None))
    metrics.audited(REVOKED)
    metrics.audited(AuditRecord(1.0, "me", "dance", SubjectKey("r", "s"), None, None))
    metrics.view_state(live=True, proven_at=1700000001.0)
    metrics.lines_dropped(2)

    found = scrape(metrics)

    expected = {
        "sidecar_decisions_total,outcome=granted,reason=": 1,
        "sidecar_decisions_total,outcome=denied,reason=token_expired": 1,
        "sidecar_decision_seconds_count": 2,
        "sidecar_requests_total,code=200": 2,
        "sidecar_requests_total,code=other": 1,
        "sidecar_request_seconds_count,code_class=2xx": 2,
        "sidecar_request_seconds_count,code_class=other": 1,
        "sidecar_upstream_errors_total,error=reset": 1,
        "sidecar_in_flight,kind=websocket": 1,
        "sidecar_connections": 1,
        "sidecar_connections_refused_total,reason=limit": 1,
        "sidecar_slow_readers_total": 1,
        "sidecar_stream_cuts_total,reason=revoked": 3,
        "sidecar_jwks_fetches_total,issuer=https://idp,outcome=timeout": 1,
        "sidecar_jwks_keys,issuer=https://idp": 2,
        "sidecar_jwks_loaded_timestamp_seconds,issuer=https://idp": 1700000000.0,
        "sidecar_account_view_events_total,event=live": 1,
        "sidecar_account_view_heartbeat_seconds_bucket,le=0.001": 1,
        "sidecar_account_view_heartbeat_seconds_bucket,le=0.0005": 0,
        "sidecar_account_view_live": 1,
        "sidecar_account_view_proven_timestamp_seconds": 1700000001.0,
        "sidecar_account_changes_total,action=disable": 1,
        "sidecar_account_changes_total,action=revoke_token": 1,
        "sidecar_account_changes_total,action=other": 1,
        "sidecar_decision_log_dropped_total": 2,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert any(name.startswith("sidecar_build_info,aiohttp=3.") for name in found)
    assert any(name.startswith("process_cpu_seconds_total") for name in found)


def test_a_view_without_a_proof_keeps_its_last_one() -> None:
    metrics = Metrics()
    metrics.view_state(live=True, proven_at=5.0)
    metrics.view_state(live=False, proven_at=None)

    found = scrape(metrics)
    assert found["sidecar_account_view_live"] == 0
    assert found["sidecar_account_view_proven_timestamp_seconds"] == 5.0


def test_a_scraper_gets_the_format_it_asks_for() -> None:
    metrics = Metrics()

    assert metrics.render("application/openmetrics-text; version=1.0.0")[1].startswith(
        "application/openmetrics-text"
    )
    assert metrics.render("")[1].startswith("text/plain")


def test_nothing_that_a_client_chooses_makes_a_series() -> None:
    """O6: 100,000 subjects, paths and statuses make as many series as none."""
    metrics = Metrics()

    def ask(number: int) -> None:
        request = AccessRequest("GET", f"h{number}", f"/{number}", "", (), "::1", str(number))
        metrics.decided(request, GRANT, 0.1)
        metrics.answered(request, 100 + number % 1000, 0.1)

    for number in range(1000):
        ask(number)
    before = len(scrape(metrics))
    for number in range(100_000):
        ask(number)

    assert len(scrape(metrics)) == before


def _documented() -> Iterator[tuple[str, frozenset[str], str]]:
    for line in PAGE.read_text().splitlines():
        if found := re.match(r"\| `(sidecar_\w+)` \| \w+ \| ([^|]*) \|(.*)", line):
            yield found[1], frozenset(re.findall(r"`(\w+)`", found[2])), found[3]


def test_the_page_names_every_metric_and_label_and_no_other() -> None:
    registry: Any = Metrics().registry
    LastUseMetrics(registry)
    SyncMetrics(registry)
    LoopWatch(registry, FakeClock())
    UpstreamMetrics(registry)
    TraceMetrics(registry)
    IntrospectionMetrics(registry)
    registered = {
        (
            metric._name + ("_total" if metric._type == "counter" else ""),
            frozenset(metric._labelnames),
        )
        for metric in registry._collector_to_names
        if getattr(metric, "_name", "").startswith("sidecar_")
    }
    registered |= {
        (
            metric.name + ("_total" if metric.type == "counter" else ""),
            frozenset(getattr(metric, "_labelnames", ())),
        )
        for metric in Upkeep(1.0).collect()
    }

    assert {(name, labels) for name, labels, _ in _documented()} == registered


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sidecar_decisions_total", DenyReason),
        ("sidecar_upstream_errors_total", UpstreamError),
        ("sidecar_in_flight", StreamKind),
        ("sidecar_connections_refused_total", ConnectionRefusal),
        ("sidecar_stream_cuts_total", CutReason),
        ("sidecar_jwks_fetches_total", FetchOutcome),
        ("sidecar_account_view_events_total", ViewEvent),
        ("sidecar_sync_failures_total", SyncFailure),
        ("sidecar_introspections_total", IntrospectionOutcome),
        ("sidecar_security_events_total", EventOutcome),
        ("sidecar_status_list_fetches_total", FetchOutcome),
        ("sidecar_introspection_answers_total", AnsweredFrom),
    ],
)
def test_the_page_names_every_value_that_a_label_can_have(
    name: str, values: Iterable[StrEnum]
) -> None:
    meaning = {metric: text for metric, _, text in _documented()}[name]

    assert {value.value for value in values} <= set(re.findall(r"`(\w+)`", meaning))


WORKER = """
from sidecar.observability.metrics import Metrics
from tests.observability.test_metrics import GRANT, REQUEST, REVOKED
from sidecar.ports import StreamKind
metrics = Metrics()
for _ in range(10):
    metrics.decided(REQUEST, GRANT, 0.001)
metrics.in_flight(StreamKind.HTTP, 2)
metrics.audited(REVOKED)
metrics.view_state(live=LIVE, proven_at=PROVEN)
metrics.flush()
print(__import__("os").getpid(), flush=True)
input()
"""

PARENT = """
import sys
from sidecar.observability.exposition import forget_worker
forget_worker(int(sys.argv[1]))
"""


def test_several_workers_are_summed_and_an_ended_ones_gauges_forgotten(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def start(*, live: bool, proven: float) -> subprocess.Popen[str]:
        code = WORKER.replace("LIVE", str(live)).replace("PROVEN", str(proven))
        return subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environ, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def render() -> str:
        return render_all(tmp_path, own, "")[0].decode()

    def forget(pid: str) -> None:
        subprocess.run([sys.executable, "-c", PARENT, pid], cwd=ROOT, env=environ, check=True)

    own = ChangeCounter()
    own.audited(REVOKED)
    workers = [start(live=True, proven=7.0), start(live=False, proven=5.0)]
    pids = [worker.stdout.readline().strip() for worker in workers if worker.stdout]
    both = render()
    for worker in workers:
        worker.communicate("\n")
    forget(pids[1])
    after = render()

    assert 'sidecar_decisions_total{outcome="granted",reason=""} 20.0' in both
    assert 'sidecar_in_flight{kind="http"} 4.0' in both
    assert "sidecar_account_view_live 0.0" in both  # one worker that is not live is an alarm
    assert "sidecar_account_view_proven_timestamp_seconds 5.0" in both
    assert 'sidecar_decisions_total{outcome="granted",reason=""} 20.0' in after
    assert 'sidecar_in_flight{kind="http"} 2.0' in after
    assert "sidecar_account_view_live 1.0" in after
    # Each worker has counted one change, and their parent one: one family, one sample.
    assert 'sidecar_account_changes_total{action="revoke_token"} 3.0' in both
    assert both.count("# TYPE sidecar_account_changes_total counter") == 1


def test_what_the_parent_alone_has_counted_is_shown_too(tmp_path: Path) -> None:
    own = ChangeCounter()
    own.audited(REVOKED)

    text = render_all(tmp_path, own, "")[0].decode()

    assert 'sidecar_account_changes_total{action="revoke_token"} 1.0' in text
