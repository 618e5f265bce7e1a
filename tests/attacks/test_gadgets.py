"""Every gadget, both ways: upstream gets the requests that were granted, and not an octet else."""

from collections.abc import Iterator

import pytest

from sidecar.core.decision import Grant
from tests.attacks.gadgets import GADGETS, HIDDEN, pair_of
from tests.attacks.test_framing import admin
from tests.fakes.front import Front, running_front, status_of
from tests.fakes.recording_upstream import RecordingUpstream, recording_upstream

TARGET = "/admin/seen"


def problems_of(octets: bytes, answer: bytes, upstream: RecordingUpstream) -> Iterator[str]:
    """Say what upstream got that was not granted, or in another way than it was."""
    yield from upstream.problems
    body = octets.partition(b"\r\n\r\n")[2]
    for request in upstream.requests:
        if (request.method, request.target) != ("POST", TARGET):
            yield f"{request.method} {request.target} was carried out"
        if not body.startswith(request.body) or request.values("transfer-encoding"):
            yield f"read as chunks: {request.body!r}"
    if answer and status_of(answer) not in (200, 400):
        yield f"answered {status_of(answer)}"


async def tried(front: Front, upstream: RecordingUpstream) -> tuple[int, int, list[str]]:
    """Send them all; return how many were granted and refused, and what is wrong."""
    head = front.request(f"POST {TARGET} HTTP/1.1").removesuffix(b"\r\n")
    decisions = front.world.observer.decisions
    granted, refused, wrong = 0, 0, []
    for gadget in GADGETS:
        for octets in pair_of(gadget, head):
            upstream.forget()
            decisions.clear()
            answer = await front.say(octets)
            grants = sum(isinstance(made, Grant) for _, made, *_ in decisions)
            found = list(problems_of(octets, answer, upstream))
            if grants != len(upstream.requests) or grants > 1:
                found.append(f"{grants} granted, {len(upstream.requests)} heard")
            wrong += [f"{gadget!r}: {each}" for each in found]
            granted += grants
            refused += not grants
    return granted, refused, wrong


async def test_upstream_hears_of_no_gadget_what_was_not_granted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with (
        recording_upstream() as upstream,
        running_front(upstream.url, world=admin()) as front,
    ):
        granted, refused, wrong = await tried(front, upstream)

    with capsys.disabled():
        print(f"\ngadgets: {granted} granted and heard as such, {refused} refused")  # noqa: T201
    assert not wrong, "\n".join(wrong)
    assert granted + refused == 2 * len(GADGETS)
    # Spellings that are no coding to anybody are headers like others: refusing all is no merit.
    assert 0 < granted < refused


def test_there_are_as_many_as_the_suite_has_and_each_hides_a_request() -> None:
    assert len(GADGETS) == 1703
    for octets in pair_of(GADGETS[0], b""):
        assert octets.count(HIDDEN) == 1
