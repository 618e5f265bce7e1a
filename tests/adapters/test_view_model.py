"""The invariant of ``sidecar.adapters.redis_accounts``, held over a thousand histories.

The real view and the real ``PushConnection`` run against a simulated Redis in simulated time. A
history is a list of things that writers, Redis, the network, the operator and the machine do, with
pauses between; Hypothesis makes it up and, where the invariant breaks, prints the shortest one with
the way to play it again. After every step of the event loop all that the view has at hand is held
against what was really written.

The last test takes the view's protections away, one each, and demands that the model notices.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from sidecar.adapters.account_keys import AccountKeys
from sidecar.adapters.redis_accounts import RedisAccountView
from sidecar.adapters.view_policy import ViewPolicy
from sidecar.core.subject import Standing, SubjectKey
from sidecar.ports import StatusUnavailable
from tests.fakes.build import overrides
from tests.fakes.observer import RecordingObserver
from tests.fakes.simulated_redis import SimulatedConnection, SimulatedRedis
from tests.fakes.virtual_time import VirtualLoop

HISTORIES = 1000
BOUND = 0.5
SUBJECTS = [SubjectKey("default", name) for name in ("alice", "bob")]
TOKEN = "j-1"
KEYS = AccountKeys()
REVOKED, REALM = KEYS.revoked("default", TOKEN), KEYS.realm("default")

Step = tuple[Any, ...]
ON: Step = ("account", 0, True, True)
OFF: Step = ("account", 0, False, True)
NOTHING: Step = ("set the wall clock", 0.0)
MakeView = Callable[..., RedisAccountView]


class Broken(AssertionError):
    """A status was given out that had not been so for longer than the bound."""


@dataclass
class Steady:
    """The loop's time is the steady clock; the wall clock goes wherever it is set."""

    loop: VirtualLoop
    wall: float = 1.7e9

    def now(self) -> float:
        return self.wall

    def steady(self) -> float:
        return self.loop.time()


@dataclass
class Site:
    """A view, its Redis, and somebody who keeps asking."""

    loop: VirtualLoop
    redis: SimulatedRedis
    clock: Steady
    view: RedisAccountView
    versions: int = 0
    granted: int = 0
    broken: list[str] = field(default_factory=list)

    def look(self) -> None:
        for subject in SUBJECTS:
            standing = self.view.look_up(subject, TOKEN)
            if standing is not None:
                self.check(subject, standing)

    def check(self, subject: SubjectKey, standing: Standing) -> None:
        account = standing.account
        if account is None or not account.is_active:
            return
        # The world stands where the process does, but for a process that was just paused.
        truth = self.redis.truth
        told = {
            KEYS.account(subject): ("active", int(account.name)),
            REALM: int(standing.realm_not_before) or None,
            REVOKED: standing.token_revoked or None,
        }
        for key, value in told.items():
            age = truth.age(key, value)
            if age > BOUND + 1e-6:
                self.broken.append(f"{key} was {value} until {age:.3f} s ago")
        self.granted += 1

    async def ask(self, subject: SubjectKey) -> None:
        try:
            standing = await self.view.read(subject, TOKEN)
        except StatusUnavailable:
            return
        if self.view.is_live():
            self.check(subject, standing)

    async def keep_asking(self) -> None:
        """Be the traffic: what is not at hand is read."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                for subject in SUBJECTS:
                    if self.view.look_up(subject, TOKEN) is None or self.view._policy.strict:
                        tasks.create_task(self.ask(subject))
                await asyncio.sleep(0.03)

    def do(self, step: Step) -> None:
        redis = self.redis
        match step:
            case "network delay", float(seconds):
                redis.delay = seconds
            case "turn", float(seconds), bool(writers_first):
                redis.turn_length, redis.writers_first = seconds, writers_first
            case "pause", float(seconds):
                self.loop.pause(seconds)
            case "set the wall clock", float(seconds):
                self.clock.wall += seconds
            case "restart", saved:
                redis.kill()
                redis.start(saved)
            case str(name), *values if hasattr(redis, name):
                getattr(redis, name)(*values)
            case _:
                self.write(step)

    def write(self, step: Step) -> None:
        self.versions += 1
        match step:
            case "account", int(who), bool(active), bool(counted):
                value = ("active" if active else "inactive", self.versions)
                self.redis.write(KEYS.account(SUBJECTS[who]), value, counted=counted)
            case "no account", int(who):
                self.redis.write(KEYS.account(SUBJECTS[who]), None)
            case ("revoke token",):
                self.redis.write(REVOKED, value=True)
            case ("revoke realm",):
                self.redis.write(REALM, self.versions)
            case _:
                raise AssertionError(step)

    async def live(self, history: list[tuple[float, Step]]) -> None:
        """Live through it, up to where the invariant breaks."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each) for each in (self.view.run(), self.keep_asking())]
            for wait, step in [(0.5, ("save",)), *history]:
                await asyncio.sleep(wait)
                self.do(step)
                if self.broken:
                    break
            else:
                await self.get_well()
            for task in running:
                task.cancel()

    async def get_well(self) -> None:
        """Whatever happened: once everything is back and confirmed, the truth is told."""
        await asyncio.sleep(1.0)
        mends: list[Step] = [
            ("flow",), ("thaw",), ("start", None), ("network delay", 0.001),
            ("turn", 0.0, False), ("promote",), ("confirm",), ON,
        ]  # fmt: skip
        for step in mends:
            self.do(step)
            await asyncio.sleep(0.01)
        async with asyncio.timeout(10.0):
            await asyncio.sleep(0.5)
            while not self.view.is_live():  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.1)
        standing = self.view.look_up(SUBJECTS[0], None) or await self.view.read(SUBJECTS[0], None)
        assert standing.account is not None
        assert standing.account.name == str(self.versions)


def live_through(
    history: list[tuple[float, Step]],
    *,
    strict: bool = False,
    make_view: MakeView = RedisAccountView,
) -> int:
    """Let a view live through a history; return how many grants were checked."""
    loop = VirtualLoop()
    try:
        redis, clock = SimulatedRedis(loop.world), Steady(loop)
        policy = ViewPolicy(max_staleness=BOUND, heartbeat=0.1, timeout=1.0, strict=strict)

        def connect() -> Any:
            return SimulatedConnection(redis)

        view = make_view(connect, KEYS, policy, clock, RecordingObserver())
        site = Site(loop, redis, clock, view)
        redis.write(KEYS.account(SUBJECTS[0]), ("active", 0))
        redis.write(KEYS.account(SUBJECTS[1]), ("active", 0), counted=False)
        loop.look = site.look
        loop.run_until_complete(site.live(history))
        if site.broken:
            raise Broken(site.broken[0])
    finally:
        loop.look = lambda: None
        loop.close()
    return site.granted


SHORT = st.sampled_from([0.001, 0.02, 0.1, 0.3])
DUMPS = st.none() | st.integers(0, 3)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("account"), st.integers(0, 1), st.booleans(), st.booleans()),
    st.tuples(st.just("account"), st.integers(0, 1), st.booleans(), st.booleans()),
    st.tuples(st.just("no account"), st.integers(0, 1)),
    st.tuples(st.just("network delay"), SHORT),
    st.tuples(st.just("turn"), st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.booleans()),
    st.tuples(st.just("pause"), st.sampled_from([0.05, 0.3, 0.7, 3.0])),
    st.tuples(st.just("set the wall clock"), st.sampled_from([-3600.0, 3600.0])),
    st.tuples(st.just("start"), DUMPS),
    st.tuples(st.just("restart"), DUMPS),
    st.tuples(
        st.sampled_from([
            "revoke token", "revoke realm", "cut", "black_hole", "save", "kill", "flush",
            "demote", "promote", "confirm", "stall", "flow", "freeze", "thaw",
        ])
    ),
)  # fmt: skip
HISTORY = st.lists(st.tuples(st.sampled_from([0.0, 0.005, 0.05, 0.2, 0.7]), STEPS), max_size=20)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("part", [1, 2])
def test_nothing_is_given_out_that_was_not_so_within_the_bound(part: int, *, strict: bool) -> None:
    """Parts are for several processes; their histories are different."""
    granted = 0

    @settings(
        max_examples=HISTORIES // 4,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(HISTORY)
    def hold(history: list[tuple[float, Step]]) -> None:
        nonlocal granted
        granted += live_through(history, strict=strict)

    hold()
    assert granted > HISTORIES, part  # else the model would prove nothing


class WithoutLease(RedisAccountView):
    """Keeps the last known status for ever."""

    @override
    def look_up(self, subject: SubjectKey, token_id: str | None) -> Standing | None:
        return self._known.look_up(subject, token_id)


class WithLongLease(RedisAccountView):
    """Takes the lease to run from the answer to a PING."""

    @override
    def _extend_lease(self, until: float) -> None:
        super()._extend_lease(self._clock.steady() + self._policy.max_staleness)


class WithoutForgetting(RedisAccountView):
    """Goes on with what was known before the connection was lost."""

    @override
    async def _check_revision(self, connection: Any) -> None:
        await super()._check_revision(connection)
        if self._connection is None:
            self._known.forget_all = lambda: None  # type: ignore[method-assign]


class WithLateStore(RedisAccountView):
    """Stores an answer when the asker wakes up, behind an invalidation that came after it."""

    @override
    def _ask(
        self, connection: Any, command: str, key: str, read: Callable[[Any], Any]
    ) -> asyncio.Future[Any]:
        answer = asyncio.get_running_loop().create_future()

        def store(asked: asyncio.Future[Any]) -> None:
            if answer.cancelled():
                return
            if asked.exception() is not None:
                answer.set_exception(StatusUnavailable("lost"))
                answer.exception()
            else:
                answer.set_result(read(asked.result()))

        super()._ask(connection, command, key, lambda reply: reply).add_done_callback(store)
        return answer


class WithoutHearing(RedisAccountView):
    """Is deaf to invalidations."""

    @override
    def _hear(self, changed: list[bytes] | None) -> None: ...


class WithoutPrimary(RedisAccountView):
    """Takes any server for the primary, once it was."""

    @override
    async def _stay_on_primary(self, connection: Any) -> None:
        self._primary_at = float("inf")
        await asyncio.Event().wait()


class WithoutRevision(RedisAccountView):
    """Takes a store that was rolled back for good."""

    @override
    def _judge(self, reply: Any) -> None:
        self._revision_is_unsure = False


LATER = [(0.7, NOTHING), (0.7, NOTHING)]
MUTANTS = [
    (WithoutLease, [(0.2, ("stall",)), (0.0, OFF)]),
    # The PING is executed, OFF is, the answer comes, and the push does not.
    (
        WithLongLease,
        [(0.0, ("network delay", 0.2)), (0.55, NOTHING), (0.55, OFF), (0.19, ("black_hole",))],
    ),
    pytest.param(
        WithoutForgetting, [(0.2, ("black_hole",)), (0.0, OFF), (0.0, ("cut",))], marks=overrides
    ),
    # The read is in one turn with the write, before it; its answer in one packet with the push.
    (WithLateStore, [(0.0, ("turn", 0.05, False)), (0.0, ON), (0.05, NOTHING), (0.05, OFF)]),
    (WithoutHearing, [(0.2, OFF)]),
    (WithoutPrimary, [(0.2, ("demote",)), (0.0, OFF)]),
    (WithoutRevision, [(0.2, OFF), (0.2, ("kill",)), (0.0, ("start", 1))]),
]


@pytest.mark.parametrize(("mutant", "history"), MUTANTS)
def test_without_any_one_protection_it_is_not_so(
    mutant: type[RedisAccountView], history: list[tuple[float, Step]]
) -> None:
    """The model must be able to fail: a history each that the view withstands, and it does not."""
    live_through([*history, *LATER])

    with pytest.raises(Broken):
        live_through([*history, *LATER], make_view=mutant)


@pytest.mark.parametrize("turns", range(8))
def test_a_view_that_is_ended_while_its_connection_fails_ends(turns: int) -> None:
    """A task group that ends with an error just then swallows the cancellation (Python 3.11)."""
    loop = VirtualLoop()
    redis = SimulatedRedis(loop.world)

    async def end() -> None:
        connect: Any = partial(SimulatedConnection, redis)
        observer = RecordingObserver()
        view = RedisAccountView(connect, KEYS, ViewPolicy(), Steady(loop), observer)
        async with asyncio.timeout(5.0), asyncio.TaskGroup() as tasks:
            run = tasks.create_task(view.run())
            await asyncio.sleep(1.0)
            redis.kill()
            for _ in range(turns):
                await asyncio.sleep(0)
            run.cancel()

    try:
        loop.run_until_complete(end())
    finally:
        loop.close()
