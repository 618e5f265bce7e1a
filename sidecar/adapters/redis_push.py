"""One RESP3 connection to Redis on which replies, invalidations and heartbeats keep their order.

redis-py 8 offers client-side caching in its synchronous client only, but its asyncio connection
reads pushes too. Two names of it are private: ``Connection._parser`` and the keyword
``push_request``. They are used here and nowhere else, and a test watches them.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from sidecar.adapters.account_keys import DEFAULT_PREFIX
from sidecar.adapters.redis_primary import NOT_THE_PRIMARY, Following, pool_for
from sidecar.ports import StatusUnavailable

# What a push looks like on its way through redis-py's parser. The parser swallows exceptions of
# its handler, which would lose an invalidation; so the handler only wraps.
_Pushed = tuple[str, Any]

# Changed keys that are heard in one turn of the event loop: some two milliseconds.
KEYS_PER_TURN = 500


class Refused(StatusUnavailable):
    """Redis answered a question with an error; the connection is as good as before."""


class Nonsense(StatusUnavailable):
    """Redis answered something else than it was asked for."""


@dataclass(slots=True)
class _Question:
    command: tuple[str, ...]
    read: Callable[[Any], Any]
    answer: asyncio.Future[Any]


class PushConnection:
    """Asks and listens on one connection.

    ``heard`` is called for every invalidation with the changed keys, or with None when everything
    may have changed, strictly between the replies before and after it.
    """

    def __init__(
        self, connection: AbstractConnection, heard: Callable[[list[bytes] | None], None]
    ) -> None:
        self._connection = connection
        self._heard = heard
        self._to_send: list[_Question] = []
        self._sent: deque[_Question] = deque()
        self._woken = asyncio.Event()
        self._is_closed = False

    async def run(
        self, serve: Callable[[], Coroutine[Any, Any, None]], connect_timeout: float
    ) -> None:
        """Connect within ``connect_timeout`` seconds, then carry questions while ``serve`` runs.

        Raises:
            StatusUnavailable: the connection could not be made or was lost.
        """
        failure = "the connection was closed"
        try:
            async with asyncio.timeout(connect_timeout):
                await self._connection.connect()  # type: ignore[no-untyped-call]
            self._listen()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write())
                tasks.create_task(self._read())
                tasks.create_task(serve())
        except* (RedisError, OSError, StatusUnavailable) as lost:
            failure = _words(lost)
        finally:
            await self._close()
        raise StatusUnavailable(failure)

    def ask(
        self, *command: str, read: Callable[[Any], Any] = lambda reply: reply
    ) -> asyncio.Future[Any]:
        """Send a command with all others of this turn of the loop; return its answer to come.

        ``read`` is applied at the reply's place in the order, before anything that came after it.
        The answer fails with StatusUnavailable when the connection is lost, or when Redis refuses
        (``Refused``).
        """
        answer = asyncio.get_running_loop().create_future()
        if self._is_closed:
            answer.set_exception(StatusUnavailable("the connection is lost"))
            return answer
        self._to_send.append(_Question(command, read, answer))
        self._woken.set()
        return answer

    async def check_primary(self) -> None:
        """Check that the server is the primary, by its own word and by those who name it.

        Raises:
            StatusUnavailable: it is not, or nobody can say.
        """
        followed = self._connection if isinstance(self._connection, Following) else None
        try:
            role = await self.ask("ROLE", read=lambda reply: reply[0])
        except Refused:
            if followed is not None:
                raise
            # One server, and a user that may not ask: then its URL has to be trusted.
        else:
            if role != b"master":
                raise StatusUnavailable(f"the server is a {role!r} and no primary")
        if followed is not None:
            await followed.check_named()

    async def eviction_policy(self) -> str | None:
        """Return ``maxmemory-policy``; None where our user may not ask.

        Raises:
            StatusUnavailable: the connection is lost.
        """
        name = "maxmemory-policy"
        try:
            policy = await self.ask("CONFIG", "GET", name, read=lambda said: said[name.encode()])
            return str(policy.decode())
        except (Refused, Nonsense, AttributeError):
            return None

    def _listen(self) -> None:
        parser: Any = self._connection._parser  # noqa: SLF001

        async def pass_on(push: Any) -> _Pushed:
            return ("push", push)

        parser.set_invalidation_push_handler(pass_on)
        parser.set_pubsub_push_handler(pass_on)

    async def _write(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            questions, self._to_send = self._to_send, []
            self._sent.extend(questions)
            packed = self._connection.pack_commands([each.command for each in questions])
            await self._connection.send_packed_command(packed, check_health=False)

    async def _read(self) -> None:
        while True:
            try:
                reply = await self._connection.read_response(
                    disconnect_on_error=False, push_request=True
                )
            except NOT_THE_PRIMARY:
                # What this server says from now on is not what is written elsewhere.
                raise
            except ResponseError as error:
                # An error reply says nothing about any subject; it is never "not found".
                _fail(self._sent.popleft(), Refused(f"Redis refused: {_words(error)}"))
                continue
            if isinstance(reply, tuple) and reply and reply[0] == "push":
                await self._hear(reply[1])
            elif reply is not None:
                self._settle(self._sent.popleft(), reply)

    async def _hear(self, push: Any) -> None:
        if not push or push[0] not in (b"invalidate", "invalidate"):
            return
        changed = push[1]
        if changed is None:
            self._heard(None)
            return
        # One push can name a hundred thousand keys. What is read after it still comes after it,
        # the answer to a heartbeat included; but other requests have their turn in between.
        for first in range(0, len(changed), KEYS_PER_TURN):
            self._heard(changed[first : first + KEYS_PER_TURN])
            await asyncio.sleep(0)

    def _settle(self, question: _Question, reply: Any) -> None:
        try:
            value = question.read(reply)
        except (ValueError, TypeError, AttributeError, LookupError):
            _fail(question, Nonsense("Redis answered with something else than asked for"))
            return
        # Whoever asked may have gone; the reply has been read in its place all the same, so no
        # other caller can get it (redis-py CVE-2023-28858).
        if not question.answer.done():
            question.answer.set_result(value)

    async def _close(self) -> None:
        self._is_closed = True
        for question in (*self._sent, *self._to_send):
            _fail(question, StatusUnavailable("the connection to Redis is lost"))
        self._sent.clear()
        self._to_send.clear()
        await self._connection.disconnect(nowait=True)


def _fail(question: _Question, why: StatusUnavailable) -> None:
    if not question.answer.done():
        question.answer.set_exception(why)
        # Marked as retrieved: a caller that has gone leaves nobody to read it.
        question.answer.exception()


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return _words(error.exceptions[0])
    return f"{type(error).__name__}: {error}"[:200]


def connection_for(
    url: str,
    options: Mapping[str, Any],
    prefix: str = DEFAULT_PREFIX,
    witness_patience: float = 0.125,
) -> AbstractConnection:
    """Return an unconnected RESP3 connection to the primary of ``accounts.url``.

    No retries and no socket timeouts of redis-py: with its defaults a silent server is noticed
    after a minute. The lease and the deadlines of the view stand in for them.
    """
    pool = pool_for(url, options, prefix, witness_patience, socket_timeout=None)
    connection: AbstractConnection = pool.connection_class(**pool.connection_kwargs)
    return connection
