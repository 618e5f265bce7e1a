"""Random pipelines: requests of all kinds in a row, and valid answers to them in all framings."""

import hashlib
from dataclasses import dataclass
from random import Random

from tests.fakes.stages import HANDSHAKE, SWITCHED
from tests.fakes.upstream import Conversation

_SIZES = (0, 1, 2, 100, 5_000, 70_000, 300_000)
_INTERIM = (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 102 Processing\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n",
)
FRAMINGS = ("length", "chunked", "close", "old", "old kept", "none")
TUNNELLED = b"\x81\x05hello\x88\x00"


@dataclass
class Answer:
    """What upstream answers. ``framing`` says how its body ends; ``early``: before it has read."""

    status: int
    body: bytes
    framing: str
    interim: bytes = b""
    early: bool = False
    pieces: int = 1
    closes: bool = False

    @classmethod
    def of(cls, random: Random) -> "Answer":
        framing = random.choice(FRAMINGS)
        status = random.choice((200, 200, 201, 404, 500))
        body = random.randbytes(random.choice(_SIZES[:-1] if random.random() < 0.9 else _SIZES))
        if framing == "none":
            status, body = random.choice((204, 304)), b""
        return cls(
            status,
            body,
            framing,
            b"".join(random.choices(_INTERIM, k=random.choice((0, 0, 0, 1, 3)))),
            early=random.random() < 0.15,
            pieces=random.choice((1, 1, 2, 5)),
            closes=random.random() < 0.1,
        )

    def octets(self, number: int, method: str) -> bytes:
        old = self.framing.startswith("old")
        head = b"HTTP/1.%d %d Any Reason\r\nX-Number: %d\r\n" % (not old, self.status, number)
        body = b"" if method == "HEAD" else self.body
        if self.framing == "chunked":
            head += b"Transfer-Encoding: chunked\r\n"
            body = b"" if method == "HEAD" else chunked(body, make_random(number))
        elif self.framing in ("length", "old kept"):
            head += b"Content-Length: %d\r\n" % len(self.body)
        if self.framing == "old kept":
            head += b"Connection: keep-alive\r\n"
        elif self.closes or self.ends_connection:
            head += b"Connection: close\r\n"
        return self.interim + head + b"\r\n" + body

    @property
    def ends_connection(self) -> bool:
        return self.framing in ("close", "old") or (self.closes and self.framing != "old kept")


@dataclass
class Request:
    """One of a pipeline. ``refused`` is the status of what is denied; else it has an answer."""

    number: int
    method: str
    target: str
    fields: tuple[bytes, ...] = ()
    body: bytes = b""
    framed: bytes = b""  # the body as it is sent
    version: str = "1.1"
    refused: int = 0
    answer: Answer | None = None
    switches: bool = False

    @property
    def is_repeatable(self) -> bool:
        return self.method in ("GET", "HEAD") and not self.body

    def octets(self, bearer: bytes) -> bytes:
        fields = self.fields if self.refused == 401 else (bearer, *self.fields)
        lines = [f"{self.method} {self.target} HTTP/{self.version}".encode(), b"Host: a", *fields]
        return b"\r\n".join([*lines, b"", self.framed])


def make_random(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - to be the same again is its purpose


def chunked(body: bytes, random: Random) -> bytes:
    octets, at = b"", 0
    while at < len(body):
        size = random.randint(1, max(1, len(body) - at))
        octets += b"%x\r\n%b\r\n" % (size, body[at : at + size])
        at += size
    return octets + b"0\r\n\r\n"


def pipeline(random: Random) -> list[Request]:
    """Return up to ten requests, of which only the last may ask to end the connection."""
    requests = [_request(random, number) for number in range(random.randint(1, 9))]
    last = len(requests)
    if random.random() < 0.3:
        requests.append(_handshake(random, last))
    else:
        request = _request(random, last)
        if request.version == "1.0":
            request.fields = ()  # it closes unless told otherwise
        else:
            request.fields += (b"Connection: close",)
        requests.append(request)
    return requests


def _request(random: Random, number: int) -> Request:
    target = f"/admin/{number}?{random.getrandbits(32):x}"
    request = Request(number, "GET", target, answer=Answer.of(random))
    kind = random.choice(("get", "get", "get", "head", "length", "chunked", "expect", "denied"))
    if kind == "head":
        request.method = "HEAD"
    elif kind not in ("get", "denied") or random.random() < 0.1:
        _give_body(random, request, kind)
    if kind == "denied":
        request.refused, request.answer = 401, None
    elif kind == "get" and not request.fields and random.random() < 0.1:
        request.version = "1.0"
        request.fields += (b"Connection: keep-alive",)
    return request


def _give_body(random: Random, request: Request, kind: str) -> None:
    request.method = random.choice(("POST", "PUT", "PATCH", "DELETE"))
    request.body = request.framed = random.randbytes(random.choice(_SIZES))
    if kind == "chunked" or random.random() < 0.3:
        request.framed = chunked(request.body, random)
        request.fields += (b"Transfer-Encoding: chunked",)
    else:
        request.fields += (b"Content-Length: %d" % len(request.body),)
    if kind == "expect":
        request.fields += (b"Expect: 100-continue",)


def _handshake(random: Random, number: int) -> Request:
    request = Request(number, "GET", f"/watch?{number}", HANDSHAKE)
    if random.random() < 0.5:
        request.switches = True
    else:
        request.answer = Answer.of(random)
    return request


@dataclass
class Heard:
    """What upstream heard of one request. ``body`` may end early where the answer came early."""

    number: int
    line: str
    body: bytes
    is_whole: bool


class AnsweringUpstream:
    """Answers the requests of a pipeline, each with its own answer.

    ``drops`` is how likely it ends a connection that it has not said it would end.
    """

    def __init__(self, requests: list[Request], random: Random, drops: float = 0.0) -> None:
        self._requests = requests
        self._random = random
        self._drops = drops
        self.heard: list[Heard] = []

    async def talk(self, conversation: Conversation) -> None:
        target = conversation.request_line.split(" ")[1]
        request = next(each for each in self._requests if each.target == target)
        heard = Heard(request.number, conversation.request_line, b"", is_whole=False)
        self.heard.append(heard)
        answer = request.answer
        if answer is not None and answer.early:
            await self._say(conversation, request, answer)
        await self._read_body(conversation, heard)
        if request.switches:
            await conversation.say(SWITCHED + TUNNELLED)
            conversation.writer.close()
        elif answer is not None:
            if not answer.early:
                await self._say(conversation, request, answer)
            if answer.ends_connection or self._random.random() < self._drops:
                conversation.writer.close()

    async def _say(self, conversation: Conversation, request: Request, answer: Answer) -> None:
        octets = answer.octets(request.number, request.method)
        cuts = sorted(self._random.randrange(len(octets) + 1) for _ in range(answer.pieces - 1))
        for first, last in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            await conversation.say(octets[first:last])

    async def _read_body(self, conversation: Conversation, heard: Heard) -> None:
        for value in conversation.values("Content-Length"):
            while missing := int(value) - len(heard.body):
                data = await conversation.reader.read(missing)
                if not data:
                    raise ConnectionError
                heard.body += data
        if conversation.values("Transfer-Encoding"):
            while size := int(await conversation.reader.readuntil(b"\r\n"), 16):
                heard.body += (await conversation.reader.readexactly(size + 2))[:-2]
            await conversation.reader.readuntil(b"\r\n")
        heard.is_whole = True


def checksum(octets: bytes) -> str:
    """Name a body in a message that has no room for it."""
    return f"{len(octets)}:{hashlib.sha256(octets).hexdigest()[:12]}"
