"""Turns of verification: fair, bounded, and nothing of them is left behind."""

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest
from sidecar.core.trace import Record, Trace
from sidecar.turns import TOO_LATE, TOO_MANY, Bounds, Overloaded, Turn, Turns
from tests.core.test_trace import ARRIVAL
from tests.fakes.clock import FakeClock
from tests.fakes.keys import FakeKeySource
from tests.fakes.tokens import ec_key, key_set, rsa_key
from tests.fakes.turning import HeldLoop, busy, world_with
from tests.fakes.waiting import until
from tests.fakes.world import ISSUER, World

BOUNDS = Bounds(seconds=1.0, number=2, most=8, patience=5.0)
FLOOD, OTHER, THIRD = "192.0.2.1", "192.0.2.2", "192.0.2.3"


def asking(peer: str) -> AccessRequest:
    return AccessRequest("GET", "", "/", "", (), peer, "request-1")


class Day:
    """Turns in a loop under the test's hand, and who came when."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self.loop = HeldLoop()
        self.clock = FakeClock()
        self.turns = busy(self.loop, self.clock, bounds)
        self.came: list[str] = []
        self.takes = 0.0

    def join(self, peer: str, name: str = "") -> Turn | None:
        return self.turns.join(asking(peer), partial(self._come, name or peer))

    def _come(self, name: str) -> None:
        self.came.append(name)
        self.clock.advance(self.takes)


@pytest.fixture
def day() -> Day:
    return Day()


def test_without_load_nobody_waits_and_no_turn_of_the_loop_is_asked_for() -> None:
    loop = HeldLoop()
    turns = Turns(FakeClock(), loop.soon, BOUNDS)

    assert turns.take()
    assert loop.ready == []


def test_in_one_turn_of_the_loop_so_many_are_verified_and_then_again_so_many() -> None:
    loop = HeldLoop()
    turns = Turns(FakeClock(), loop.soon, BOUNDS)

    for _ in range(3):
        assert [turns.take() for _ in range(4)] == [True, True, False, False]
        loop.turn()
    assert turns.take()


def test_those_of_one_peer_come_in_the_order_of_their_coming(day: Day) -> None:
    for name in "abc":
        day.join(FLOOD, name)
    day.loop.turn()
    assert day.came == ["a", "b"]
    day.loop.turn()

    assert day.came == ["a", "b", "c"]


def test_who_comes_new_does_not_pass_those_who_wait(day: Day) -> None:
    day.join(FLOOD)
    assert not day.turns.take()
    day.loop.turn()
    assert not day.turns.take(), "this turn of the loop has had its slice"
    day.loop.turn()

    assert day.turns.take()


def test_peers_have_their_turns_in_turn(day: Day) -> None:
    for name in ("f1", "f2", "f3"):
        day.join(FLOOD, name)
    day.join(OTHER, "o1")
    day.join(OTHER, "o2")
    day.join(THIRD, "t1")
    day.loop.run_out()

    assert day.came == ["f1", "o1", "t1", "f2", "o2", "f3"]


def test_a_flood_does_not_delay_the_first_request_of_another_peer() -> None:
    """However many of it wait: one slice, and no more than one each of the other peers before."""
    day = Day(replace(BOUNDS, most=10_000))
    for _ in range(4000):
        day.join(FLOOD)
    day.loop.turn(10)
    day.came.clear()
    day.join(OTHER)
    day.loop.turn()

    assert OTHER in day.came


def test_addresses_of_one_subscriber_are_one_peer(day: Day) -> None:
    for number in range(3):
        day.join(f"2001:db8::{number + 1}", "flood")
    day.join("2001:db8:1::1", "other")
    day.loop.turn()

    assert day.came == ["flood", "other"]


def test_one_peer_leaves_room_for_others(day: Day) -> None:
    """Of eight places one peer gets four, and there is room for as many as come then."""
    got = sum(day.join(FLOOD) is not None for _ in range(100))

    assert got == 4
    assert all(day.join(f"192.0.2.{number}") is not None for number in range(10, 14))
    assert len(day.turns) == 8


def test_who_has_many_networks_keeps_nobody_else_out(day: Day) -> None:
    """A provider gives a home 256 of them, and a company 65,536."""
    flood = [
        turn
        for _ in range(10)
        for network in range(4)
        if (turn := day.join(f"2001:db8:0:{network}::1", "flood"))
    ]
    assert day.join(THIRD, "third") is not None
    assert len(day.turns) == BOUNDS.most

    other = day.join(OTHER, "other")
    assert other is not None
    assert len(day.turns) == BOUNDS.most
    day.loop.run_out()
    assert (other.has_come, other.problem) == (True, "")
    assert all(each.has_come for each in flood)
    assert Counter(each.problem for each in flood)[TOO_MANY] == 1


def test_nobody_is_sent_away_for_one_of_whom_as_many_wait(day: Day) -> None:
    turns = [day.join(f"192.0.2.{number}") for number in range(BOUNDS.most)]

    assert day.join("192.0.2.99") is None
    assert day.join("192.0.2.1") is None
    day.loop.run_out()
    assert [turn and turn.problem for turn in turns] == [""] * BOUNDS.most


def test_who_is_sent_away_is_told_later_and_not_once_it_has_left(day: Day) -> None:
    turns = [day.join(FLOOD, str(number)) for number in range(4)]
    others = [day.join(f"192.0.2.{number}", "other") for number in range(10, 16)]
    assert None not in (*turns, *others)
    sent = [turn for turn in turns if turn is not None and turn.problem]
    assert [turn.has_come for turn in sent] == [False, False]
    day.turns.leave(sent[0])
    day.loop.run_out()

    assert [turn.has_come for turn in sent] == [False, True]
    assert sorted(day.came) == ["0", "1", "3", *["other"] * 6]


def test_what_takes_long_ends_the_slice(day: Day) -> None:
    day.takes = BOUNDS.seconds
    day.join(FLOOD)
    day.join(FLOOD)
    day.loop.turn()

    assert len(day.came) == 1


def test_who_has_left_does_not_come_and_leaves_nothing_behind(day: Day) -> None:
    turns = [day.join(FLOOD, name) for name in "abc"]
    for turn in (turns[1], turns[0], turns[0]):
        assert turn is not None
        day.turns.leave(turn)
    day.loop.run_out()

    assert day.came == ["c"]
    assert len(day.turns) == 0


def test_to_leave_after_ones_turn_takes_nobody_elses(day: Day) -> None:
    turn = day.join(FLOOD, "a")
    day.join(FLOOD, "b")
    day.join(FLOOD, "c")
    day.loop.turn()
    assert turn is not None
    day.turns.leave(turn)

    assert len(day.turns) == 1


def test_a_turn_that_comes_too_late_says_so(day: Day) -> None:
    early, late = day.join(FLOOD), day.join(OTHER)
    assert early is not None
    assert late is not None
    early.since += 1
    day.clock.advance(BOUNDS.patience + 0.5)
    day.loop.turn()

    assert (early.has_come, early.problem) == (True, "")
    assert (late.has_come, late.problem) == (True, TOO_LATE)


def test_one_that_fails_does_not_keep_the_others_from_their_turns(day: Day) -> None:
    day.turns.join(asking(FLOOD), fail)
    day.join(FLOOD, "b")
    with pytest.raises(RuntimeError):
        day.loop.turn()
    day.loop.run_out()

    assert day.came == ["b"]


def fail() -> None:
    raise RuntimeError


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 4)),
        st.tuples(st.just("leave"), st.integers(0, 40)),
        st.tuples(st.just("turn"), st.just(1)),
        st.tuples(st.just("take"), st.just(1)),
    ),
    max_size=60,
)


def is_sent_away(turn: Turn) -> bool:
    return turn.problem == TOO_MANY and not turn.has_come


@given(steps=STEPS)
def test_whatever_happens_each_comes_once_or_has_left_and_room_is_kept(
    steps: list[tuple[str, int]],
) -> None:
    day, joined, left = Day(), list[Turn](), set[Turn]()
    for step, number in steps:
        if step == "join":
            turn = day.join(f"192.0.2.{number}", str(len(joined)))
            joined.extend([] if turn is None else [turn])
        elif step == "leave" and number < len(joined):
            if not joined[number].has_come:
                left.add(joined[number])
            day.turns.leave(joined[number])
        elif step == "turn":
            before, sent = len(day.came), sum(map(is_sent_away, joined))
            day.loop.turn()
            assert len(day.came) - before <= BOUNDS.number + sent
        elif step == "take":
            assert not (day.turns.take() and len(day.turns))
        waiting = [
            each for each in joined if not (each.has_come or each in left or is_sent_away(each))
        ]
        assert len(day.turns) == len(waiting) <= BOUNDS.most
    day.loop.run_out()

    assert Counter(day.came) == Counter(
        str(number) for number, turn in enumerate(joined) if turn not in left
    )
    assert len(day.turns) == 0
    assert day.turns.take()


def flooded(loop: HeldLoop, bounds: Bounds = BOUNDS) -> World:
    """Return a world in which what this turn of the loop may verify is used up."""
    return world_with(lambda world: busy(loop, world.clock, bounds))


def turns_of(world: World) -> Turns:
    turns = world.rules["admission"].turns
    assert isinstance(turns, Turns)
    return turns


def verified(world: World) -> int:
    return len(world.remembered)


def forged(world: World) -> str:
    signed, _, signature = world.sign().rpartition(".")
    return f"{signed}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


async def test_a_token_that_is_not_remembered_waits_and_is_then_judged() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    request = world.request(token=world.sign())
    assert world.authorizer.authorize_now(request) is None

    waiting = asyncio.get_running_loop().create_task(world.authorizer.authorize(request))
    await until(lambda: len(turns_of(world)))
    assert verified(world) == 0
    loop.turn()

    assert isinstance(await waiting, Grant)
    assert len(turns_of(world)) == 0


def test_a_token_that_is_remembered_does_not_wait_however_many_do() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    token, flood = world.sign(), world.sign(jti="unknown")
    loop.turn()
    assert isinstance(world.ask("GET", "/reports", token=token), Grant)
    while turns_of(world).take():
        pass
    assert isinstance(world.authorizer.await_turn(world.request(token=flood), fail), Turn)

    assert isinstance(world.ask("GET", "/reports", token=token), Grant)


@pytest.mark.parametrize("token", ["garbage", "a.b", "a.b.c.d"])
def test_what_has_not_the_shape_of_a_token_does_not_wait(token: str) -> None:
    decision = flooded(HeldLoop()).ask("GET", "/reports", token=token)

    assert isinstance(decision, Deny)
    assert decision.reason is DenyReason.TOKEN_UNREADABLE


def test_the_same_bad_token_again_does_not_wait_until_the_keys_change() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    world.keys.resting.add(ISSUER)
    loop.turn()
    request = world.request(token=forged(world))
    first = world.authorizer.authorize_now(request)
    while turns_of(world).take():
        pass

    assert isinstance(first, Deny)
    assert first.reason is DenyReason.BAD_SIGNATURE
    assert world.authorizer.authorize_now(request) == first
    world.keys.publish(ISSUER, key_set([rsa_key(), ec_key()]))
    assert world.authorizer.authorize_now(request) is None


def test_what_finds_no_room_is_refused_and_the_refusal_is_observed() -> None:
    world = flooded(HeldLoop(), replace(BOUNDS, most=0))
    request = world.request(token=world.sign())
    deny = world.authorizer.await_turn(request, fail)

    assert isinstance(deny, Deny)
    assert (deny.reason, deny.detail) == (DenyReason.OVERLOADED, TOO_MANY)
    assert (deny.reason.http_status, deny.retry_after) == (503, 1)
    assert world.observer.decisions == [(request, deny, 0.0)]


async def test_who_is_sent_away_is_refused_as_who_finds_no_room() -> None:
    loop = HeldLoop()
    world = flooded(loop, replace(BOUNDS, most=4))
    asked = [world.request(token=world.sign(jti=str(number))) for number in range(2)]
    turns = [world.authorizer.await_turn(each, lambda: None) for each in asked]
    for peer in (OTHER, THIRD, "192.0.2.4"):
        assert turns_of(world).join(asking(peer), lambda: None) is not None
    loop.turn()

    assert isinstance(turns[1], Turn)
    assert turns[1].has_come
    decision = world.authorizer.decide_in_turn(turns[1])
    assert isinstance(decision, Deny)
    assert (decision.reason, decision.detail) == (DenyReason.OVERLOADED, TOO_MANY)


async def test_what_finds_no_room_is_refused_at_the_doors_that_wait_too() -> None:
    world = flooded(HeldLoop(), replace(BOUNDS, most=0))
    decision = await world.wait_for("GET", "/reports", token=world.sign())

    assert isinstance(decision, Deny)
    assert (decision.reason, decision.detail) == (DenyReason.OVERLOADED, TOO_MANY)


async def test_who_waits_too_long_is_refused_and_nothing_is_verified() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    request = world.request(token=world.sign())
    turn = world.authorizer.await_turn(request, lambda: None)
    waiting = asyncio.get_running_loop().create_task(world.authorizer.authorize(request))
    await until(lambda: len(turns_of(world)) == 2)
    world.clock.advance(BOUNDS.patience + 1)
    loop.turn()
    assert isinstance(turn, Turn)
    decisions = [world.authorizer.decide_in_turn(turn), await waiting]

    for decision in decisions:
        assert isinstance(decision, Deny)
        assert (decision.reason, decision.detail) == (DenyReason.OVERLOADED, TOO_LATE)
    assert verified(world) == 0
    assert [seconds for _, _, seconds in world.observer.decisions] == [6.0, 6.0]


def test_a_decision_in_its_turn_says_how_long_it_took_with_the_wait() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    request = world.request(token=world.sign())
    turn = world.authorizer.await_turn(request, lambda: None)
    world.clock.advance(2)
    loop.turn()
    assert isinstance(turn, Turn)

    assert isinstance(world.authorizer.decide_in_turn(turn), Grant)
    assert world.observer.decisions[-1][2] == 2.0


def begun(world: World, token: str) -> asyncio.Task[Decision]:
    request = world.request(token=token)
    return asyncio.get_running_loop().create_task(world.authorizer.authorize(request))


async def test_who_gives_up_while_it_waits_leaves_nothing_behind() -> None:
    world = flooded(HeldLoop())
    waiting = begun(world, world.sign())
    await until(lambda: len(turns_of(world)))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert len(turns_of(world)) == 0
    assert verified(world) == 0


async def test_a_turn_counts_for_one_verification() -> None:
    """Else all who waited for one fetch of keys would be verified in one turn of the loop."""
    loop = HeldLoop()
    world = flooded(loop)
    world.keys.on_refresh = partial(rotate, world.keys)
    waiting = begun(world, forged(world))
    await until(lambda: len(turns_of(world)))
    loop.turn()
    await until(lambda: len(turns_of(world)))
    assert world.keys.refreshes
    loop.turn()

    decision = await waiting
    assert isinstance(decision, Deny)
    assert decision.reason is DenyReason.BAD_SIGNATURE


def rotate(keys: FakeKeySource, issuer: str) -> None:
    keys.publish(issuer, key_set([rsa_key(), ec_key()]))


async def test_waiting_raises_what_a_decision_takes_for_an_overload() -> None:
    loop = HeldLoop()
    turns = busy(loop, FakeClock(), replace(BOUNDS, most=0))
    with pytest.raises(Overloaded, match=TOO_MANY):
        await turns.wait(asking(FLOOD))

    assert Overloaded.reason is DenyReason.OVERLOADED


def test_without_turns_nobody_waits_and_too_many_is_the_answer_to_who_would() -> None:
    world = World()
    request: AccessRequest = world.request(token=world.sign())

    assert isinstance(world.authorizer.authorize_now(request), Grant)
    assert isinstance(world.authorizer.await_turn(request, fail), Deny)


async def test_a_traced_request_tells_that_it_waited_its_turn_at_every_door() -> None:
    loop = HeldLoop()
    world = flooded(loop)
    at_once, awaited = world.request(token=world.sign()), world.request(token=world.sign())
    notes = []
    for request in (at_once, awaited):
        noted = Record(ARRIVAL, world.clock.steady, ("1" * 32, "3" * 16, ""), "", None, None)
        request.trace = Trace("", record=noted)
        notes.append(noted)
    turn = world.authorizer.await_turn(at_once, lambda: None)
    waiting = asyncio.create_task(world.authorizer.authorize(awaited))  # noqa: TID251
    await until(lambda: len(turns_of(world)) == 2)
    loop.run_out()
    assert isinstance(turn, Turn)
    world.authorizer.decide_in_turn(turn)
    await waiting

    for noted in notes:
        [event] = [event for event in noted.events if event.name == "wait"][:1]
        assert dict(event.attributes)["for"] == "turn"
