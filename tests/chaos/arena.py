"""A sidecar between clients and an upstream, its Redis behind a proxy: where faults are tried.

Two subjects ask all the time. ``STAYING`` is active throughout; ``LEAVING`` loses its account
during the fault, and has an event stream open until then.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.demo.identity_provider import Client, IdentityProvider
from sidecar.demo.redis_server import RedisServer
from tests.chaos.figures import Figures
from tests.chaos.load import GRANTED, Answer, Load, OpenStream
from tests.chaos.tcp_proxy import TcpProxy
from tests.e2e.processes import Sidecar, running_sidecar
from tests.fakes.upstream import OK, Conversation, scripted_upstream
from tests.fakes.waiting import until

STAYING, LEAVING = "staying", "leaving"
AUDIENCE = "https://chaos.example"
MAX_STALENESS = 0.5
# Loose, since other things run on the machine too; the figures in the table are the point.
RECOVERY_SECONDS = 5.0
CUT_SLACK_SECONDS = 1.0
_CALM_SECONDS = 0.25


def key(subject: str, prefix: str = "sidecar:") -> str:
    return f"{prefix}account:default:{subject}"


@dataclass
class Scene:
    """Everything in place. A fault sets ``gone_at``, and more where it applies.

    ``gone_at`` is when LEAVING had no active account any more, ``back_at`` when Redis was whole
    again, ``blind`` the time in which nothing could prove any status fresh. The loop's time.
    """

    redis: RedisServer
    load: Load
    prefix: str = "sidecar:"
    stream: OpenStream = field(default_factory=OpenStream)
    began_at: float = 0.0
    gone_at: float = 0.0
    back_at: float = 0.0
    blind: tuple[float, float] | None = None

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def enable(self, subject: str) -> None:
        await self.redis.command("HSET", key(subject, self.prefix), "status", "active")

    async def disable(self) -> None:
        """Disable LEAVING, and note the time of the write's answer."""
        await self.redis.command("HSET", key(LEAVING, self.prefix), "status", "inactive")
        self.gone_at = self.now

    async def blind_for(self, seconds: float) -> None:
        """Let time pass in which the sidecar cannot hear Redis."""
        began = self.now
        await asyncio.sleep(seconds)
        self.blind = (began, self.now)

    async def are_granted(self, *subjects: str) -> None:
        """Wait until each has been granted a request from now on."""
        since = self.now
        for subject in subjects:
            await until(
                lambda subject=subject: any(  # type: ignore[misc]
                    each.status == GRANTED for each in self.load.of(subject, since)
                ),
                RECOVERY_SECONDS + 5,
            )

    async def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Bring both subjects in, and open LEAVING's stream."""
        await self.enable(STAYING)
        await self.enable(LEAVING)
        await self.are_granted(STAYING, LEAVING)
        self.stream = OpenStream()
        tasks.create_task(self.stream.read(self.load.address, self.load.tokens[LEAVING]))
        await asyncio.wait_for(self.stream.started.wait(), RECOVERY_SECONDS)
        self.began_at, self.blind = self.now, None

    async def end(self) -> None:
        """Wait until STAYING is back in, and look on for a while."""
        await self.are_granted(STAYING)
        await until(lambda: self.stream.ended is not None)
        await asyncio.sleep(_CALM_SECONDS)

    def judge(self, name: str, *, forgets: bool) -> Figures:
        """Assert what holds for every fault; ``forgets`` says that it loses STAYING's account."""
        answers = [each for each in self.load.answers if each.sent >= self.began_at]
        wrong = [each for each in answers if not _is_right(each, self.gone_at, forgets=forgets)]
        assert not wrong, f"{len(wrong)} wrong answers, first {wrong[:3]}"
        granted = [each for each in answers if each.status == GRANTED]
        # Decided after it was sent; so what was sent later was decided on an older status.
        stale = [
            each
            for each in granted
            if each.subject == LEAVING and each.sent > self.gone_at + MAX_STALENESS
        ]
        assert not stale, f"{len(stale)} grants too late, first {stale[:3]}"
        if self.blind is not None:
            first, last = self.blind[0] + MAX_STALENESS, self.blind[1]
            unproven = [each for each in granted if each.sent > first and each.done < last]
            assert not unproven, f"{len(unproven)} grants without proof, first {unproven[:3]}"
        ended = self.stream.ended
        assert ended is not None
        assert not self.stream.looks_complete
        assert ended - self.gone_at < MAX_STALENESS + CUT_SLACK_SECONDS
        in_again = min(
            each.done for each in granted if each.subject == STAYING and each.sent >= self.back_at
        )
        assert in_again - self.back_at < RECOVERY_SECONDS
        return self._figures(name, answers, in_again)

    def _figures(self, name: str, answers: Sequence[Answer], in_again: float) -> Figures:
        assert self.stream.ended is not None
        statuses = [each.status for each in answers]
        last = max(
            (each.sent for each in answers if each.subject == LEAVING and each.status == GRANTED),
            default=self.gone_at,
        )
        return Figures(
            name,
            len(answers),
            statuses.count(GRANTED),
            statuses.count(401),
            statuses.count(503),
            max(0.0, last - self.gone_at) * 1000,
            (self.stream.ended - self.gone_at) * 1000,
            (in_again - self.back_at) * 1000,
            max(each.done - each.sent for each in answers) * 1000,
        )


@dataclass
class Arena(Scene):
    """A scene with one server behind a proxy that does what networks do."""

    proxy: TcpProxy = field(kw_only=True)


def _is_right(answer: Answer, gone_at: float, *, forgets: bool) -> bool:
    if answer.status == GRANTED:
        return True
    if answer.status == 503:
        return answer.retry_after
    may_be_unknown = forgets or (answer.subject == LEAVING and answer.done >= gone_at - 1.0)
    return answer.status == 401 and may_be_unknown


async def _upstream(conversation: Conversation) -> None:
    if "/stream" not in conversation.request_line:
        await conversation.say(OK)
        return
    await conversation.say(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"e\r\n: connected\r\n\n\r\n"
    )
    await conversation.read_to_end()


@asynccontextmanager
async def arena(directory: Path, arguments: Sequence[str]) -> AsyncIterator[Arena]:
    """Run it all, under load, until the block ends."""
    async with (
        RedisServer(directory=directory, arguments=arguments) as redis,
        TcpProxy(redis.port) as proxy,
        under_load(directory, {"url": f"redis://127.0.0.1:{proxy.port}/0"}) as load,
    ):
        yield Arena(redis, load, proxy=proxy)


@asynccontextmanager
async def under_load(
    directory: Path, accounts: Mapping[str, object], per_second: float = 200.0
) -> AsyncIterator[Load]:
    """Run a sidecar with these accounts, and ask it all the time until the block ends."""
    clients = [Client("chaos", "a secret", "chaos", ("read",))]
    async with (
        IdentityProvider(clients, audiences=(AUDIENCE,)) as provider,
        scripted_upstream(_upstream) as upstream,
    ):
        settings = {
            "listen": {"host": "127.0.0.1", "port": 0, "drain_seconds": 0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "upstream": {"url": upstream.url},
            "preset": "hoop",
            "issuers": [
                {"issuer": provider.issuer, "audiences": [AUDIENCE], "insecure_http": True}
            ],
            "accounts": {**accounts, "max_staleness": MAX_STALENESS},
            "log": {"decisions": "none"},
        }
        tokens = {
            subject: provider.issue("chaos", aud=AUDIENCE, sub=subject, lifetime=3600)
            for subject in (STAYING, LEAVING)
        }
        async with running_sidecar(settings, directory) as sidecar:
            load = Load(_address(sidecar), tokens, per_second, pid=sidecar.process.pid)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                try:
                    yield load
                finally:
                    load.is_stopped = True


def _address(sidecar: Sidecar) -> tuple[str, int]:
    host, _, port = sidecar.url.removeprefix("http://").rpartition(":")
    return host, int(port)
