"""A Redis whose replies and broadcast invalidations come in their real order, and its connections.

Redis executes what has arrived, turn by turn. A reply goes out when its command is executed; the
invalidations of all keys that a turn changed follow at the end of the turn. (FLUSHALL is told at
once.) So a reply may overtake an invalidation of its own turn, and never one of an earlier turn.

Beside the server it keeps the truth: from when on each value was no longer what is written.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis.exceptions import ConnectionError as NotConnected

from tests.fakes.virtual_time import World

PREFIX = "sidecar:"
REVISION, EPOCH = f"{PREFIX}revision", f"{PREFIX}epoch"

Reply = tuple[str, Any]


class Truth:
    """What is written, and since when what was written before is not."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._current: dict[str, Any] = {}
        self._over_since: dict[tuple[str, Any], float] = {}

    def write(self, key: str, value: Any) -> None:
        self._over_since[key, self._current.get(key)] = self._world.now
        self._current[key] = value
        self._over_since.pop((key, value), None)

    def adopt(self, values: dict[str, Any]) -> None:
        """Take what a server holds for the truth: nobody can, or nobody has to, know better."""
        for key in {*self._current, *values}:
            if self._current.get(key) != values.get(key):
                self.write(key, values.get(key))

    def age(self, key: str, value: Any) -> float:
        """Return for how many seconds the key has had another value; 0 if it has this one."""
        return self._world.now - self._over_since.get((key, value), self._world.now)

    def all(self) -> dict[str, Any]:
        return dict(self._current)


class SimulatedRedis:
    """The server, its data, and the network to it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.truth = Truth(world)
        self.values: dict[str, Any] = {}
        self.saved: list[dict[str, Any]] = [{}]
        self.connections: list[SimulatedConnection] = []
        self.delay = 0.001
        self.turn_length = 0.0
        self.writers_first = False
        self.is_up = True
        self.is_frozen = False
        self.is_primary = True
        self.is_stalled = False
        self._shown = (0, -1)  # the highest mark that the sidecar was shown
        self._is_missed = False  # whether it could know that something is missing
        self._arrived: list[tuple[SimulatedConnection | None, Any]] = []
        self._changed: list[str] = []
        self._turn_is_due = False

    # The world's side.

    def write(self, key: str, value: Any, *, counted: bool = True) -> None:
        """Somebody writes; with ``counted`` through our store, which raises the revision."""
        if not self.is_primary:
            self.truth.write(key, value)  # there is another primary, and it has the writers
        elif self.is_up:
            self._arrive(None, lambda: self._write(key, value, counted=counted))

    def flush(self) -> None:
        if self.is_up and self.is_primary:
            self._arrive(None, self._flush)

    def confirm(self) -> None:
        """An operator looks at the accounts and confirms them."""
        if self.is_up and self.is_primary:
            self._arrive(None, self._confirm)

    def cut(self) -> None:
        """Reset every connection."""
        for connection in list(self.connections):
            connection.lose()

    def black_hole(self) -> None:
        """Swallow what the present connections carry, in silence. New ones are well."""
        for connection in self.connections:
            connection.is_swallowed = True

    def save(self) -> None:
        self.saved.append(dict(self.values))

    def kill(self) -> None:
        self.is_up = False
        self._arrived.clear()
        self.cut()

    def start(self, saved: int | None) -> None:
        """Come up with one of the dumps, or with everything (None) as of the end."""
        if self.is_up:
            return
        self.is_up = True
        if saved is None or not self.is_primary:
            return
        self.values = dict(self.saved[saved % len(self.saved)])
        self._is_missed = self._mark() < self._shown
        self._adopt_unless_missed()

    def freeze(self) -> None:
        self.is_frozen = True

    def thaw(self) -> None:
        self.is_frozen = False
        if self._arrived:
            self._schedule_turn()

    def stall(self) -> None:
        """Hold all packets back, both ways."""
        self.is_stalled = True

    def flow(self) -> None:
        """Let packets through again: those that were held back come first, in order."""
        self.is_stalled = False
        for connection in self.connections:
            connection.release()

    def demote(self) -> None:
        """Another server is the primary now; this one hears nothing of it."""
        self.is_primary = False

    def promote(self) -> None:
        """Be the primary again, with all that was written meanwhile (a full resync)."""
        if not self.is_primary:
            self.is_primary = True
            own = {key: self.values.get(key) for key in (REVISION, EPOCH)}
            self.values = {**self.truth.all(), **own}
            self._tell_all(None)

    # The connections' side.

    def show(self, revision: Any, epoch: Any) -> None:
        """The sidecar reads the reply to its question after the revision."""
        mark = _mark(revision, epoch)
        if mark >= self._shown:
            self._shown = mark
        else:
            self._is_missed = True

    def take(self, connection: "SimulatedConnection", command: Sequence[Any]) -> None:
        if self.is_stalled:
            connection.held.append(lambda: self.take(connection, command))
        elif not connection.is_swallowed and connection in self.connections:
            self._arrive(connection, command)

    def _arrive(self, source: "SimulatedConnection | None", command: Any) -> None:
        self._arrived.append((source, command))
        if not self.is_frozen:
            self._schedule_turn()

    def _schedule_turn(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.world.at(self.world.now + self.turn_length, self._turn)

    def _turn(self) -> None:
        self._turn_is_due = False
        if self.is_frozen or not self.is_up:
            return
        arrived, self._arrived = self._arrived, []
        if self.writers_first:
            arrived.sort(key=lambda each: each[0] is not None)
        self._changed = []
        for source, command in arrived:
            if source is not None:
                source.deliver(("reply", self._execute(source, command)))
            elif self.is_primary:
                command()
        if self._changed:
            self._tell_all([key.encode() for key in self._changed])

    def _tell_all(self, keys: list[bytes] | None) -> None:
        for connection in self.connections:
            if connection.is_tracking:
                connection.deliver(("push", [b"invalidate", keys]))

    def _execute(self, connection: "SimulatedConnection", command: Sequence[Any]) -> Any:
        name, *words = (str(word) for word in command)
        found = [self.values.get(word) for word in words]
        answers: dict[str, Callable[[], Any]] = {
            "PING": lambda: b"PONG",
            "ROLE": lambda: [b"master" if self.is_primary else b"slave"],
            "CONFIG": lambda: {b"maxmemory-policy": b"noeviction"},
            "MGET": lambda: [None if each is None else str(each).encode() for each in found],
            "HGETALL": lambda: _fields(found[0]),
            "EXISTS": lambda: 1 if found[0] else 0,
            "CLIENT": connection.track,
        }
        return answers[name]()

    def _write(self, key: str, value: Any, *, counted: bool) -> None:
        self.values[key] = value
        self.truth.write(key, value)
        self._changed.append(key)
        if counted:
            self._count()

    def _count(self) -> None:
        self.values[REVISION] = int(self.values.get(REVISION) or 0) + 1
        self._changed.append(REVISION)
        if not self._is_missed or self._mark() >= self._shown:
            # It was written on before anybody looked.
            self._is_missed = False
            self._adopt_unless_missed()

    def _adopt_unless_missed(self) -> None:
        if not self._is_missed:
            self.truth.adopt(self._told())

    def _flush(self) -> None:
        for key in self._told():
            self.truth.write(key, None)
        self.values = {}
        self._tell_all(None)

    def _confirm(self) -> None:
        made, _ = self._mark()
        self.values[EPOCH] = f"{max(made + 1, int(self.world.now * 1000))}-x"
        self._changed.append(EPOCH)
        self._count()

    def _mark(self) -> tuple[int, int]:
        return _mark(self.values.get(REVISION), self.values.get(EPOCH))

    def _told(self) -> dict[str, Any]:
        return {key: each for key, each in self.values.items() if key not in (REVISION, EPOCH)}


def _mark(revision: Any, epoch: Any) -> tuple[int, int]:
    text = epoch.decode() if isinstance(epoch, bytes) else epoch
    return int((text or "0-").partition("-")[0]), -1 if revision is None else int(revision)


def _fields(value: Any) -> dict[bytes, bytes]:
    match value:
        case None:
            return {}
        case (status, version):
            return {b"status": str(status).encode(), b"name": str(version).encode()}
        case not_before:
            return {b"not_before": str(not_before).encode()}


class SimulatedConnection:
    """What ``PushConnection`` uses of a redis-py connection."""

    def __init__(self, redis: SimulatedRedis) -> None:
        self._redis = redis
        self._parser = self
        self._inbox: deque[Reply] = deque()
        self._came = asyncio.Event()
        self._is_open = False
        self._sent_at = self._delivered_at = 0.0
        self._asked: deque[str] = deque()
        self.held: list[Callable[[], None]] = []
        self.is_tracking = False
        self.is_swallowed = False

    def set_invalidation_push_handler(self, handler: Any) -> None: ...

    def set_pubsub_push_handler(self, handler: Any) -> None: ...

    async def connect(self) -> None:
        redis = self._redis
        await asyncio.sleep(2 * redis.delay)
        if redis.is_stalled or redis.is_frozen:
            await asyncio.sleep(3600)
        if not redis.is_up:
            raise NotConnected("refused")
        self._is_open = True
        redis.connections.append(self)

    def pack_commands(self, commands: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        return commands

    async def send_packed_command(
        self, commands: Sequence[Sequence[Any]], *, check_health: bool
    ) -> None:
        del check_health
        if not self._is_open:
            raise NotConnected("lost")
        world = self._redis.world
        self._sent_at = max(self._sent_at, world.now + self._redis.delay)
        for command in commands:
            self._asked.append(str(command[0]))
            world.at(self._sent_at, partial(self._redis.take, self, command))

    async def read_response(self, *, disconnect_on_error: bool, push_request: bool) -> Any:
        del disconnect_on_error, push_request
        while not self._inbox:
            if not self._is_open:
                raise NotConnected("lost")
            self._came.clear()
            await self._came.wait()
        kind, payload = self._inbox.popleft()
        if kind == "push":
            return (kind, payload)
        if self._asked.popleft() == "MGET":
            self._redis.show(*payload[:2])
        return payload

    async def disconnect(self, *, nowait: bool) -> None:
        del nowait
        self.lose()

    def track(self) -> bytes:
        self.is_tracking = True
        return b"OK"

    def lose(self) -> None:
        self._is_open = False
        if self in self._redis.connections:
            self._redis.connections.remove(self)
        self._came.set()

    def deliver(self, item: Reply) -> None:
        """Carry it to the sidecar, behind all that was sent before it."""
        world = self._redis.world
        self._delivered_at = max(self._delivered_at, world.now + self._redis.delay)
        world.at(self._delivered_at, lambda: self._land(item))

    def release(self) -> None:
        held, self.held = self.held, []
        for each in held:
            each()

    def _land(self, item: Reply) -> None:
        if self._redis.is_stalled or self.held:
            self.held.append(lambda: self._land(item))
        elif self._is_open and not self.is_swallowed:
            self._inbox.append(item)
            self._came.set()
