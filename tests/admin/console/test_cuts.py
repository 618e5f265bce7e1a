"""How fast what was revoked was over."""

import socket
from pathlib import Path

from sidecar.admin.console.cuts import Cuts
from sidecar.admin.desk import OwnDesk
from sidecar.admin.worker_desks import WorkerDesks
from sidecar.core.subject import SubjectKey
from tests.admin.console.visitor import open_stream
from tests.admin.office import Office
from tests.fakes.clock import FakeClock

ROBOT = SubjectKey("corp", "robot")


async def test_a_revocation_is_over_when_no_stream_is_left() -> None:
    office = Office()
    with office.own_desk.entered(office.streams):
        cuts = Cuts(office.own_desk, office.world.clock)
        stream = open_stream(office)

        async def revoke() -> None:
            office.world.clock.advance(0.25)
            stream.leave()

        found = await cuts.measured("somebody", "disabled", ROBOT, revoke)

        assert (found.seconds, len(found.streams), found.at) == (0.25, 1, 1_700_000_000.0)
        assert list(cuts.latest) == [found]
        (ended,) = cuts.ended(ROBOT)
        assert (ended["ended"], ended["kind"]) == (1_700_000_000.25, "http")
        assert cuts.ended(SubjectKey("corp", "alice")) == []
        office.world.clock.advance(61)
        assert cuts.ended(ROBOT) == []


async def test_streams_that_go_on_are_not_waited_for_for_ever() -> None:
    office = Office()
    with office.own_desk.entered(office.streams), open_stream(office):
        cuts = Cuts(office.own_desk, office.world.clock, patience_seconds=0.02)

        async def revoke() -> None: ...

        found = await cuts.measured("somebody", "disabled", ROBOT, revoke)

    assert found.seconds is None
    assert cuts.ended(ROBOT) == []


async def test_a_worker_that_does_not_answer_is_not_taken_for_one_without_streams(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "9.sock"))
        silent.listen()
        desk = WorkerDesks(tmp_path, answer_seconds=0.02)
        cuts = Cuts(desk, FakeClock(), patience_seconds=0.1)

        async def revoke() -> None: ...

        assert (await cuts.measured("somebody", "disabled", ROBOT, revoke)).seconds is None


async def test_of_who_has_nothing_open_nothing_is_measured() -> None:
    office = Office()
    cuts = Cuts(OwnDesk(office.recent, 1), office.world.clock)

    async def revoke() -> None: ...

    assert (await cuts.measured("somebody", "disabled", ROBOT, revoke)).seconds == 0.0
    assert list(cuts.latest) == []
