"""Tokens that are seen for the first time: what verifying them costs beside joserfc alone.

The caches have one cell and the tokens take turns, so that none is ever found. What a first sight
costs is what such a request costs more than one whose token is remembered.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import JWKRegistry

from sidecar.demo.signing_keys import Algorithm
from tests.bench.load import Case, Sample, load, median
from tests.bench.peers import envoy, haproxy, ours
from tests.bench.peers.peer import SUBJECT, Peer, Scene, make_scene
from tests.bench.processes import Missing
from tests.bench.report import Report
from tests.bench.site import bench_site
from tests.bench.tokens import distinct, write_tokens

_TOKENS = 2000
_ROUNDS = 3
_SECONDS = 1
_RUNNERS = (
    ours.running_ours,
    ours.running_ours_compiled,
    envoy.running_envoy,
    haproxy.running_haproxy,
)


async def measure_first_sight(algorithm: Algorithm, upstream: str, report: Report) -> None:
    """Report what a first sight of a token of this algorithm costs each peer."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        site = await stack.enter_async_context(bench_site(algorithm))
        await site.set_status(SUBJECT, "active")
        scene = await make_scene(site, upstream, directory, remembered_tokens=1)
        peers = []
        for runner in _RUNNERS:
            try:
                peers.append(await stack.enter_async_context(runner(scene)))
            except Missing as missing:
                report.skip(str(missing))
        await _measure(scene, peers, report)


async def _measure(scene: Scene, peers: Sequence[Peer], report: Report) -> None:
    tokens = list(distinct(scene.site, _TOKENS))
    new = Case("first sight", write_tokens(scene.directory / "new", tokens))
    known = Case("remembered", write_tokens(scene.directory / "known", tokens[:1]))
    samples: dict[tuple[Peer, Case], list[Sample]] = {
        (peer, case): [] for peer in peers for case in (new, known)
    }
    alone = []
    for _ in range(_ROUNDS):
        alone.append(_joserfc_alone(tokens, scene))
        for (peer, case), taken in samples.items():
            taken.append(await load(peer, case, _SECONDS))
    verify = statistics.median(alone)
    algorithm = scene.site.algorithm
    rows = [("joserfc, decode alone", "-", "-", f"{verify:.1f}", "1.00")]
    for peer in peers:
        first, again = median(samples[peer, new]).cpu, median(samples[peer, known]).cpu
        # HAProxy remembers none, so there is nothing to subtract.
        more = None if peer.name == haproxy.NAME else first - again
        rows.append(
            (
                peer.name,
                f"{first:.1f}",
                f"{again:.1f}",
                "-" if more is None else f"{more:.1f}",
                "-" if more is None else f"{more / verify:.2f}",
            )
        )
        if peer.name == ours.NAME and more is not None:
            report.bar(f"{algorithm}, first sight / joserfc's verification", more / verify, 1.3)
    report.table(
        f"{algorithm}: each token new (CPU us/request)",
        ("proxy", "token new", "token known", "difference", "/ joserfc"),
        rows,
    )


def _joserfc_alone(tokens: Sequence[str], scene: Scene) -> float:
    """Return microseconds of CPU that joserfc takes to verify and read one token."""
    key = JWKRegistry.import_key(json.loads(scene.jwks)["keys"][-1])
    began = time.process_time()
    for token in tokens:
        jwt.decode(token, key, algorithms=[scene.site.algorithm])
    return (time.process_time() - began) / len(tokens) * 1e6
