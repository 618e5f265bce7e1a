"""What is in flight, and cutting it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sidecar.core.decision import Grant
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.routes import Requirement, Route, Unregistered
from sidecar.core.subject import Account, AccountStatus, SubjectKey
from sidecar.ports import Change, CutReason, OnExpiry, StatusUnavailable, StreamKind
from sidecar.stream_guard import StreamGuard
from sidecar.streams import CUT_PER_TURN, Stream, Streams
from tests.fakes.accounts import FakeAccountView
from tests.fakes.clock import FakeClock
from tests.fakes.observer import RecordingObserver
from tests.fakes.waiting import until

NOW = 1_700_000_000.0
ISSUER = "https://idp.example"
ALICE, BOB = SubjectKey("corp", "alice"), SubjectKey("corp", "bob")
LAB_ALICE = SubjectKey("lab", "alice")
WATCH = Route("watch", "/watch", websocket=True)
ADMIN = Route("admin", "/admin", requirement=Requirement(groups=frozenset({"admin"})))
PEOPLE = Route("people", "/people", requirement=Requirement(unregistered=Unregistered.FORWARD))
HEALTH = Route("health", "/health", requirement=Requirement(bearer=False))


def grant(
    key: SubjectKey,
    route: Route = WATCH,
    *,
    token_id: str | None = None,
    expires_at: float = NOW + 300,
    issuer: str = ISSUER,
) -> Grant:
    return Grant(
        route,
        Principal(
            key=key,
            kind=PrincipalKind.SERVICE_ACCOUNT,
            issuer=issuer,
            name=key.subject,
            groups=("admin",),
            scopes=frozenset(),
            client_id="",
            token_id=token_id,
            issued_at=NOW - 10,
            expires_at=expires_at,
        ),
    )


@dataclass
class Book:
    """Streams with a guard on fakes, and what was cut of them by label."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW))
    accounts: FakeAccountView = field(default_factory=FakeAccountView)
    observer: RecordingObserver = field(default_factory=RecordingObserver)
    cut: dict[str, list[CutReason]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.streams = Streams(self.observer)
        self.guard = StreamGuard(
            self.streams,
            self.accounts,
            self.clock,
            {ISSUER: 5.0},
            lease_seconds=0.001,
            expiry_seconds=0.001,
        )
        for key in (ALICE, BOB, LAB_ALICE):
            self.write(key)

    def write(
        self,
        key: SubjectKey,
        *,
        status: AccountStatus = AccountStatus.ACTIVE,
        groups: tuple[str, ...] = ("admin",),
    ) -> None:
        """Write an account to the store; nobody hears of it yet."""
        self.accounts.accounts[key] = Account("id", key.subject, key.subject, groups, status)

    def disable(self, key: SubjectKey) -> None:
        """Disable the account and have the change heard."""
        self.write(key, status=AccountStatus.INACTIVE)
        self.accounts.change(Change(key.realm, key.subject))

    def open(self, label: str, granted: Grant, kind: StreamKind = StreamKind.HTTP) -> Stream:
        return self.streams.registered(granted, kind, self.cut.setdefault(label, []).append)

    def was_cut(self) -> set[str]:
        return {label for label, reasons in self.cut.items() if reasons}


@pytest.fixture
async def book() -> Book:
    return Book()


@pytest.fixture
async def guarded() -> AsyncIterator[Book]:
    book = Book()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(book.guard.run())
        yield book
        running.cancel()


# The book.


async def test_a_stream_is_on_the_books_while_it_runs(book: Book) -> None:
    with book.open("a", grant(ALICE), StreamKind.WEBSOCKET):
        assert len(book.streams.of(Change())) == 1
        assert book.observer.in_flight_now == {StreamKind.WEBSOCKET: 1}

    assert book.streams.of(Change()) == []
    assert book.observer.in_flight_now == {StreamKind.WEBSOCKET: 0}


async def test_a_stream_that_fails_leaves_the_books_too(book: Book) -> None:
    with pytest.raises(ConnectionError), book.open("a", grant(ALICE)):
        raise ConnectionError

    assert book.streams.of(Change()) == []
    assert book.observer.in_flight_now[StreamKind.HTTP] == 0


async def test_a_cancelled_stream_leaves_the_books_too(book: Book) -> None:
    async def serve() -> None:
        with book.open("a", grant(ALICE)):
            await asyncio.Event().wait()

    serving = asyncio.get_running_loop().create_task(serve())
    await until(lambda: book.streams.of(Change()))
    serving.cancel()
    await until(serving.done)

    assert book.streams.of(Change()) == []
    assert book.observer.in_flight_now[StreamKind.HTTP] == 0


async def test_leaving_twice_does_no_harm_to_the_book(book: Book) -> None:
    stream, other = book.open("a", grant(ALICE)), book.open("b", grant(ALICE))
    with stream:
        pass
    with stream:
        pass

    assert book.streams.of(Change()) == [other]
    with other:
        pass
    with other:
        pass
    assert book.streams.of(Change()) == []


async def test_an_open_routes_stream_belongs_to_nobody(book: Book) -> None:
    with book.open("health", Grant(HEALTH)):
        assert book.streams.of(Change()) == []
        assert book.observer.in_flight_now[StreamKind.HTTP] == 1

    assert book.observer.in_flight_now[StreamKind.HTTP] == 0


@pytest.mark.parametrize(
    ("change", "concerned"),
    [
        (Change(), "a1 a2 b l"),
        (Change(realm="corp"), "a1 a2 b"),
        (Change(realm="lab"), "l"),
        (Change(realm="nowhere"), ""),
        (Change(realm="corp", subject="alice"), "a1 a2"),
        (Change(realm="corp", subject="nobody"), ""),
        (Change(realm="corp", token_id="t-1"), "a1"),
        (Change(token_id="t-1"), "a1 l"),
        (Change(realm="corp", subject="alice", token_id="t-2"), "a2"),
        (Change(realm="corp", subject="bob", token_id="t-1"), ""),
    ],
    ids=repr,
)
async def test_a_change_concerns_the_streams_that_it_names(
    book: Book, change: Change, concerned: str
) -> None:
    labels = {
        book.open("a1", grant(ALICE, token_id="t-1")): "a1",
        book.open("a2", grant(ALICE, token_id="t-2")): "a2",
        book.open("b", grant(BOB)): "b",
        book.open("l", grant(LAB_ALICE, token_id="t-1")): "l",
    }

    assert " ".join(labels[stream] for stream in book.streams.of(change)) == concerned


async def test_a_stream_is_cut_once(book: Book) -> None:
    stream = book.open("a", grant(ALICE))

    assert book.streams.cut([stream, stream], CutReason.REVOKED) == 1
    assert book.streams.cut([stream], CutReason.EXPIRED) == 0
    stream.cut(CutReason.EXPIRED)
    assert book.cut == {"a": [CutReason.REVOKED]}
    assert book.observer.cuts == [(CutReason.REVOKED, 1)]


async def test_a_cut_may_take_the_stream_off_the_books_at_once(book: Book) -> None:
    """The set changes under the loop when a cut runs the front's own clean-up."""
    streams: list[Stream] = []

    def leave(_: CutReason) -> None:
        with streams[0]:
            pass

    streams.append(book.streams.registered(grant(ALICE), StreamKind.HTTP, leave))
    book.open("b", grant(ALICE))

    assert book.streams.cut(book.streams.of(Change()), CutReason.REVOKED) == 2
    assert book.was_cut() == {"b"}


async def test_a_cut_that_fails_spares_no_other(
    book: Book, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: CutReason) -> None:
        raise RuntimeError("bug")

    failing = book.streams.registered(grant(ALICE), StreamKind.HTTP, fail)
    other = book.open("b", grant(ALICE))
    with caplog.at_level(logging.ERROR):
        assert book.streams.cut([failing, other], CutReason.REVOKED) == 2

    assert book.was_cut() == {"b"}
    assert "could not be cut" in caplog.text


# Judging again.


async def test_disabling_a_subject_cuts_its_streams_and_no_others(guarded: Book) -> None:
    guarded.open("alice 1", grant(ALICE, token_id="t-1"))
    guarded.open("alice 2", grant(ALICE, token_id="t-2"))
    guarded.open("bob", grant(BOB))
    guarded.open("lab alice", grant(LAB_ALICE))
    guarded.open("health", Grant(HEALTH))
    guarded.disable(ALICE)
    await until(lambda: len(guarded.was_cut()) == 2)

    assert guarded.was_cut() == {"alice 1", "alice 2"}
    assert guarded.cut["alice 1"] == [CutReason.REVOKED]


async def test_a_change_that_changes_nothing_cuts_nothing(book: Book) -> None:
    book.open("alice", grant(ALICE))
    await book.guard.recheck(Change())

    assert book.was_cut() == set()


async def test_streams_of_one_token_share_one_read(book: Book) -> None:
    for label in ("1", "2", "3"):
        book.open(label, grant(ALICE, token_id="t-1"))
    book.write(ALICE, status=AccountStatus.INACTIVE)
    await book.guard.recheck(Change("corp", "alice"))

    assert book.was_cut() == {"1", "2", "3"}
    assert book.observer.cuts == [(CutReason.REVOKED, 3)]
    assert book.accounts.reads == [(ALICE, "t-1")]


async def test_a_standing_at_hand_is_not_read(book: Book) -> None:
    book.open("alice", grant(ALICE))
    book.accounts.preload(ALICE)
    await book.guard.recheck(Change())

    assert book.accounts.reads == []


async def test_a_group_taken_away_cuts_the_streams_that_need_it(book: Book) -> None:
    book.open("admin", grant(ALICE, ADMIN))
    book.open("watch", grant(ALICE, WATCH))
    book.write(ALICE, groups=("ops",))
    await book.guard.recheck(Change("corp", "alice"))

    assert book.was_cut() == {"admin"}


async def test_a_revoked_token_cuts_its_own_streams(book: Book) -> None:
    book.open("t-1", grant(ALICE, token_id="t-1"))
    book.open("t-2", grant(ALICE, token_id="t-2"))
    book.accounts.revoked_tokens.add(("corp", "t-1"))
    await book.guard.recheck(Change("corp", token_id="t-1"))

    assert book.was_cut() == {"t-1"}


async def test_not_before_of_a_realm_cuts_the_streams_of_the_realm(book: Book) -> None:
    book.open("alice", grant(ALICE))
    book.open("lab alice", grant(LAB_ALICE))
    book.accounts.realm_not_before["corp"] = NOW
    await book.guard.recheck(Change("corp"))

    assert book.was_cut() == {"alice"}


async def test_a_deleted_account_cuts_unless_the_route_forwards(book: Book) -> None:
    book.open("watch", grant(ALICE))
    book.open("people", grant(ALICE, PEOPLE))
    del book.accounts.accounts[ALICE]
    await book.guard.recheck(Change())

    assert book.was_cut() == {"watch"}


async def test_a_forwarded_subject_that_is_disabled_is_cut(book: Book) -> None:
    book.open("people", grant(ALICE, PEOPLE))
    book.write(ALICE, status=AccountStatus.INACTIVE)
    await book.guard.recheck(Change("corp", "alice"))

    assert book.was_cut() == {"people"}


async def test_a_subject_that_cannot_be_judged_is_cut(book: Book) -> None:
    book.open("alice", grant(ALICE))
    book.accounts.failure = StatusUnavailable("LOADING")
    await book.guard.recheck(Change("corp", "alice"))

    assert book.cut["alice"] == [CutReason.STATUS_UNAVAILABLE]


async def test_a_bug_while_judging_cuts_and_the_guard_goes_on(
    guarded: Book, caplog: pytest.LogCaptureFixture
) -> None:
    guarded.open("alice", grant(ALICE))
    guarded.open("bob", grant(BOB))
    guarded.accounts.failure = RuntimeError("bug")
    with caplog.at_level(logging.ERROR):
        guarded.accounts.change(Change("corp", "alice"))
        await until(guarded.was_cut)
    assert guarded.cut["alice"] == [CutReason.STATUS_UNAVAILABLE]
    assert "judged again" in caplog.text
    guarded.accounts.failure = None
    guarded.disable(BOB)
    await until(lambda: guarded.cut["bob"])

    assert guarded.cut["bob"] == [CutReason.REVOKED]


async def test_a_stream_that_ended_while_it_was_judged_is_not_cut(guarded: Book) -> None:
    """Its connection is kept alive, and the next request on it may be anybody's."""
    ended = guarded.open("ended", grant(ALICE))
    guarded.open("open", grant(ALICE))
    guarded.accounts.held = answer = asyncio.Event()
    with ended:
        guarded.disable(ALICE)
        await until(lambda: guarded.accounts.reads)
    answer.set()
    await until(guarded.was_cut)

    assert guarded.was_cut() == {"open"}
    assert guarded.observer.cuts == [(CutReason.REVOKED, 1)]


async def test_one_slow_answer_does_not_delay_the_cuts_of_others(guarded: Book) -> None:
    guarded.open("alice", grant(ALICE))
    guarded.open("bob", grant(BOB))
    guarded.accounts.held = slow = asyncio.Event()
    guarded.disable(ALICE)
    await until(lambda: len(guarded.accounts.reads) == 1)
    guarded.accounts.held = None
    guarded.disable(BOB)
    await until(lambda: guarded.cut["bob"])
    assert not guarded.cut["alice"]
    slow.set()
    await until(lambda: guarded.cut["alice"])

    assert guarded.cut == {"alice": [CutReason.REVOKED], "bob": [CutReason.REVOKED]}


async def test_a_change_of_nobody_in_flight_wakes_nobody(guarded: Book) -> None:
    guarded.open("bob", grant(BOB))
    guarded.disable(ALICE)
    guarded.disable(BOB)
    await until(lambda: guarded.cut["bob"])

    assert guarded.accounts.reads == [(BOB, None)]


async def test_a_change_back_and_forth_ends_with_the_last_word(guarded: Book) -> None:
    """The account changes again while its answer is on the way: it is judged again."""
    guarded.open("alice", grant(ALICE))
    guarded.accounts.held = first = asyncio.Event()
    guarded.accounts.change(Change("corp", "alice"))
    await until(lambda: len(guarded.accounts.reads) == 1)
    guarded.accounts.held = None
    guarded.disable(ALICE)
    first.set()
    await until(lambda: guarded.cut["alice"])

    assert guarded.cut["alice"] == [CutReason.REVOKED]


# The lease and expiry.


async def test_a_lapsed_lease_cuts_all_but_open_routes(guarded: Book) -> None:
    guarded.open("alice", grant(ALICE))
    guarded.open("lab alice", grant(LAB_ALICE))
    guarded.open("health", Grant(HEALTH))
    guarded.accounts.live = False
    await until(guarded.was_cut)

    assert guarded.was_cut() == {"alice", "lab alice"}
    assert guarded.cut["alice"] == [CutReason.STATUS_UNAVAILABLE]
    assert guarded.observer.cuts == [(CutReason.STATUS_UNAVAILABLE, 2)]


async def test_a_live_lease_cuts_nothing(book: Book) -> None:
    book.open("alice", grant(ALICE))
    await book.guard.cut_unproven()

    assert book.was_cut() == set()


@pytest.mark.parametrize(
    ("issuer", "after", "cut"),
    [
        (ISSUER, 0.0, False),
        (ISSUER, 4.9, False),
        (ISSUER, 5.0, True),
        ("https://other.example", -0.1, False),
        ("https://other.example", 0.0, True),
    ],
)
async def test_a_stream_ends_when_its_token_does_leeway_included(
    *, book: Book, issuer: str, after: float, cut: bool
) -> None:
    """The same second in which a new request with the token would be refused."""
    book.open("alice", grant(ALICE, expires_at=NOW + 60, issuer=issuer))
    book.clock.advance(60 + after)
    await book.guard.cut_expired()

    assert book.was_cut() == ({"alice"} if cut else set())
    assert book.observer.cuts == ([(CutReason.EXPIRED, 1)] if cut else [])


async def test_what_has_an_end_may_finish_when_its_token_expires(book: Book) -> None:
    guard = StreamGuard(book.streams, book.accounts, book.clock, {}, on_expiry=OnExpiry.FINISH)
    book.open("download", grant(ALICE))
    book.open("events", grant(ALICE)).is_endless = True
    book.open("websocket", grant(ALICE), StreamKind.WEBSOCKET)
    book.clock.advance(301)
    await guard.cut_expired()
    assert book.was_cut() == {"events", "websocket"}

    book.write(ALICE, status=AccountStatus.INACTIVE)
    await guard.recheck(Change("corp", "alice"))

    assert book.cut["download"] == [CutReason.REVOKED]


async def test_the_guard_looks_at_the_clock_by_itself(guarded: Book) -> None:
    guarded.open("soon", grant(ALICE, expires_at=NOW + 1))
    guarded.open("later", grant(ALICE, expires_at=NOW + 100))
    guarded.open("health", Grant(HEALTH))
    guarded.clock.advance(10)
    await until(guarded.was_cut)

    assert guarded.was_cut() == {"soon"}


async def test_the_guard_ends_clean_when_cancelled(book: Book) -> None:
    book.open("alice", grant(ALICE))
    book.accounts.held = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(book.guard.run())
        await asyncio.sleep(0)
        book.accounts.change(Change("corp", "alice"))
        await until(lambda: book.accounts.reads)
        running.cancel()

    assert running.cancelled()
    assert len(asyncio.all_tasks()) == 1
    assert book.was_cut() == set()


# Many at once.

MANY = 10_000
FEWER = 2_000  # where each is judged by itself; under coverage that takes its time


class Turns:
    """Counts the loop's turns while it runs, and times the longest."""

    def __init__(self) -> None:
        self.number = 0
        self.longest = 0.0

    async def run(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest = max(self.longest, now - before)
            self.number += 1
            before = now


@dataclass
class Crowd:
    """Thousands of tasks, each with a stream of its own that ends when it is cut."""

    book: Book
    turns_at_cut: list[int] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)

    async def serve(self, granted: Grant) -> None:
        cut = asyncio.Event()

        def hear(_: CutReason) -> None:
            self.turns_at_cut.append(self.turns.number)
            cut.set()

        with self.book.streams.registered(granted, StreamKind.HTTP, hear):
            await cut.wait()

    @property
    def most_in_a_turn(self) -> int:
        return max(Counter(self.turns_at_cut).values())


def subjects(streams: int) -> list[SubjectKey]:
    return [SubjectKey("corp", f"robot-{number}") for number in range(streams)]


async def disable_all(crowd: Crowd) -> None:
    for key in list(crowd.book.accounts.accounts):
        crowd.book.disable(key)


async def disable_one(crowd: Crowd) -> None:
    crowd.book.disable(ALICE)


async def reconnect(crowd: Crowd) -> None:
    crowd.book.accounts.accounts.clear()
    crowd.book.accounts.change(Change())


async def lose_the_lease(crowd: Crowd) -> None:
    crowd.book.accounts.live = False


async def expire(crowd: Crowd) -> None:
    crowd.book.clock.advance(1000)


@pytest.mark.parametrize(
    ("strike", "keys"),
    [
        (disable_all, subjects(FEWER)),
        (disable_one, [ALICE] * MANY),
        (reconnect, subjects(FEWER)),
        (lose_the_lease, subjects(MANY)),
        (expire, subjects(MANY)),
    ],
    ids=["disable all", "disable one", "reconnect", "lease", "expiry"],
)
async def test_a_cut_of_thousands_leaves_the_loop_its_turns(
    strike: Callable[[Crowd], Awaitable[None]], keys: list[SubjectKey], guarded: Book
) -> None:
    crowd = Crowd(guarded)
    async with asyncio.TaskGroup() as tasks:
        for key in keys:
            guarded.write(key)
            tasks.create_task(crowd.serve(grant(key)))
        await until(lambda: len(guarded.streams.of(Change())) == len(keys))
        counting = tasks.create_task(crowd.turns.run())
        await strike(crowd)
        await until(lambda: len(crowd.turns_at_cut) == len(keys), seconds=50)
        counting.cancel()

    print(f"longest turn {crowd.turns.longest * 1000:.1f} ms of {crowd.turns.number}")  # noqa: T201
    # By number and not by time: on a machine where other things run every turn may be long.
    assert crowd.most_in_a_turn <= CUT_PER_TURN


async def test_a_revocation_does_not_queue_behind_a_lapsed_lease(guarded: Book) -> None:
    others: list[CutReason] = []
    for _ in range(MANY):
        guarded.streams.registered(grant(BOB), StreamKind.HTTP, others.append)
    guarded.open("alice", grant(ALICE, token_id="late"))  # after the crowd in every walk
    guarded.accounts.live = False
    await until(lambda: others)
    guarded.disable(ALICE)
    await until(guarded.was_cut)

    assert guarded.cut["alice"] == [CutReason.REVOKED]
    assert len(others) < MANY / 2


SHADOW = Route("shadow", "/shadow", websocket=True, shadow=True)


async def test_on_a_route_in_shadow_nothing_is_cut_and_each_is_told_once(book: Book) -> None:
    book.open("shadow", grant(ALICE, SHADOW, expires_at=NOW - 60))
    book.open("enforced", grant(ALICE))
    book.disable(ALICE)
    await book.guard.recheck(Change("corp", "alice"))
    await book.guard.cut_expired()
    await book.guard.recheck(Change("corp", "alice"))

    assert book.was_cut() == {"enforced"}
    assert book.observer.cuts == [(CutReason.REVOKED, 1)]
    [(reason, told)] = book.observer.spared_streams
    assert reason is CutReason.REVOKED
    assert told.principal is not None
    assert told.principal.key == ALICE


async def test_a_lapsed_lease_spares_what_is_in_shadow(book: Book) -> None:
    book.open("shadow", grant(ALICE, SHADOW))
    book.open("enforced", grant(ALICE))
    book.accounts.live = False
    await book.guard.cut_unproven()
    await book.guard.cut_unproven()

    assert book.was_cut() == {"enforced"}
    assert [reason for reason, _ in book.observer.spared_streams] == [CutReason.STATUS_UNAVAILABLE]


async def test_an_operators_own_cut_is_no_decision_and_ends_it(book: Book) -> None:
    stream = book.open("shadow", grant(ALICE, SHADOW))

    assert book.streams.cut([stream], CutReason.REVOKED) == 1
    assert book.was_cut() == {"shadow"}
