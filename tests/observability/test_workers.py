"""One entry a worker: of one process, or of the files of several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.core.decision import Deny, DenyReason
from sidecar.observability.metrics import Metrics
from sidecar.observability.workers import (
    Worker,
    all_workers,
    own_figures,
    read_workers,
    this_worker,
)
from sidecar.ports import CutReason, FetchOutcome, UpstreamError, ViewEvent
from tests.observability.test_metrics import GRANT, REQUEST, ROOT

WORKER = """
import os
from sidecar.observability.metrics import Metrics
from tests.observability.test_workers import count
metrics = Metrics()
count(metrics, cuts=CUTS)
metrics.flush()
print(os.getpid(), flush=True)
input()
"""
FORGET = """
import sys
from sidecar.observability.exposition import forget_worker
forget_worker(int(sys.argv[1]))
"""


def count(metrics: Metrics, cuts: int) -> None:
    metrics.decided(REQUEST, GRANT, 0.1)
    metrics.decided(REQUEST, Deny(DenyReason.TOKEN_EXPIRED), 0.1)
    metrics.cut(CutReason.REVOKED, cuts)
    metrics.cut(CutReason.EXPIRED, 1)
    metrics.keys_loaded("https://a.example", 1, 9.0)
    metrics.keys_loaded("https://b.example", 1, 8.0)
    metrics.view_state(live=True, proven_at=7.5)


def entry(pid: int, cuts: int) -> Worker:
    return Worker(pid, 2.0, cuts + 1.0, is_live=True, proven_at=7.5, keys_loaded_at=8.0)


def told(text: bytes) -> list[Worker]:
    return list(read_workers(text.decode()))


def test_a_process_alone_is_the_only_worker() -> None:
    metrics = Metrics()
    count(metrics, cuts=4)

    assert told(this_worker(metrics)) == [entry(os.getpid(), 4)]


def test_figures_are_those_of_the_moment() -> None:
    metrics = Metrics()
    figures = own_figures(metrics)
    count(metrics, cuts=4)
    metrics.keys_fetched("https://a.example", FetchOutcome.TIMEOUT, 0.1)
    metrics.answered(REQUEST, 502, 0.1)
    metrics.upstream_failed(REQUEST, UpstreamError.CONNECT)
    metrics.view_changed(ViewEvent.LOST)

    assert list(figures.workers()) == [entry(os.getpid(), 4)]
    reading = figures.reading()
    assert reading.fetches == {("https://a.example", "timeout"): 1.0}
    assert reading.requests == {"502": 1.0}
    assert reading.upstream_errors["connect"] == 1.0
    assert reading.view_events["lost"] == 1.0


def test_one_that_has_just_started_has_nothing_yet() -> None:
    assert told(this_worker(Metrics())) == [
        Worker(os.getpid(), 0.0, 0.0, is_live=False, proven_at=0.0, keys_loaded_at=0.0)
    ]


def test_each_of_several_workers_has_its_own_and_one_that_ended_is_gone(tmp_path: Path) -> None:
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def start(cuts: int) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORKER.replace("CUTS", str(cuts))],
            cwd=ROOT, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    workers = [start(1), start(2)]
    pids = [int(worker.stdout.readline()) for worker in workers if worker.stdout]
    expected = [entry(pids[0], 1), entry(pids[1], 2)]
    both = told(all_workers(tmp_path))
    for worker in workers:
        worker.communicate("\n")
    subprocess.run([sys.executable, "-c", FORGET, str(pids[1])], cwd=ROOT, env=environ, check=True)

    assert both == sorted(expected, key=lambda each: each.pid)
    assert told(all_workers(tmp_path)) == expected[:1]


@pytest.mark.parametrize("text", ["", "<html>", "{}", '[{"pid": 1}]', "[1]"])
def test_what_is_no_list_of_workers_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_workers(text)
