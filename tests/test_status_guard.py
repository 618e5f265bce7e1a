"""What is open ends when the list says that its token is not valid any more."""

import asyncio

from sidecar.core.decision import Grant
from sidecar.core.status_list import StatusList
from sidecar.ports import CutReason, StreamKind
from sidecar.status_guard import StatusGuard
from sidecar.streams import Streams
from tests.fakes.status_lists import URI, statuses
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER, World
from tests.test_status_lists import listed, token


class Book:
    """Streams by the places of their tokens, and why each was cut."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.streams = Streams(world.observer)
        self.cuts: dict[object, CutReason] = {}

    async def open(self, name: object, presented: str) -> None:
        decision = await self.world.wait_for("GET", "/reports", token=presented)
        assert isinstance(decision, Grant)
        self.streams.registered(
            decision, StreamKind.HTTP, lambda reason: self.cuts.update({name: reason})
        )

    def turn(self, *values: int) -> None:
        self.world.status_lists.at_hand[ISSUER, URI] = StatusList(2, statuses(values, 2))


async def test_only_what_is_not_valid_any_more_is_cut() -> None:
    world = listed([0, 0, 0])
    book = Book(world)
    for place in range(3):
        await book.open(place, token(world, place))
    await book.open("without a status", world.sign())
    guard = StatusGuard(book.streams, world.status_lists)
    await guard.cut_fallen()
    assert book.cuts == {}

    book.turn(0, 1, 2)
    await guard.cut_fallen()

    assert book.cuts == {1: CutReason.REVOKED, 2: CutReason.REVOKED}


async def test_what_has_no_list_any_more_is_cut_too() -> None:
    """Its next request would be refused."""
    world = listed([0])
    book = Book(world)
    await book.open(0, token(world, 0))
    await book.open("without a status", world.sign())
    world.status_lists.at_hand.clear()

    await StatusGuard(book.streams, world.status_lists).cut_fallen()

    assert book.cuts == {0: CutReason.STATUS_UNAVAILABLE}


async def test_it_looks_again_and_again_until_it_is_cancelled() -> None:
    world = listed([0])
    book = Book(world)
    await book.open(0, token(world, 0))
    guard = StatusGuard(book.streams, world.status_lists, seconds=0.001)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(guard.run())
        book.turn(1)
        await until(lambda: book.cuts)
        task.cancel()
