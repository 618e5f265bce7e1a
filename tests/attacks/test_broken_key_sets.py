"""What providers have served in place of a key set, over a socket: none of it takes keys away (K5).

The real client and the real source of keys; the server sends octets.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from sidecar.adapters.clock import SystemClock
from sidecar.adapters.key_source import JwksKeySource, KeyPolicy, Provider
from sidecar.adapters.provider_client import ProviderClient
from sidecar.core.issuer import Issuer
from sidecar.core.mldsa import MLDSAKey
from sidecar.ports import FetchOutcome
from tests.fakes.observer import RecordingObserver
from tests.fakes.tokens import SigningKey, ec_key, rsa_key
from tests.fakes.waiting import until

ISSUER = Issuer("https://idp.example", algorithms=frozenset({"RS256", "ES256"}))
MAX_BYTES = 524_288


def document(*keys: SigningKey, **said: object) -> bytes:
    members = [{**key.public.as_dict(private=False), "kid": key.kid, **said} for key in keys]
    return json.dumps({"keys": members}).encode()


def http(body: bytes, *lines: str, status: str = "200 OK", length: int | None = None) -> bytes:
    length = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *lines]
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + b"%x\r\n%b\r\n" % (len(body), body) + end


GOOD = document(rsa_key())
PRIVATE = json.dumps({"keys": [{"kty": "oct", "kid": "rsa", "alg": "HS256", "k": "c2VjcmV0"}]})
NO_KEY, SIZE = FetchOutcome.NO_USABLE_KEY, FetchOutcome.TOO_LARGE
BROKEN, STATUS = FetchOutcome.MALFORMED, FetchOutcome.STATUS

MODES: Mapping[str, tuple[FetchOutcome, Callable[[], bytes]]] = {
    "no octet": (FetchOutcome.UNREACHABLE, lambda: b""),
    "an empty body": (NO_KEY, lambda: http(b"")),
    "an empty object": (NO_KEY, lambda: http(b"{}")),
    "no key": (NO_KEY, lambda: http(b'{"keys":[]}')),
    "keys that are null": (NO_KEY, lambda: http(b'{"keys":null}')),
    "a list": (NO_KEY, lambda: http(b"[" + GOOD + b"]")),
    "two sets": (NO_KEY, lambda: http(GOOD + GOOD)),
    "keys twice": (NO_KEY, lambda: http(GOOD[:-1] + b',"keys":[]}')),
    "half of it": (NO_KEY, lambda: http(GOOD[: len(GOOD) // 2])),
    "a byte-order mark": (NO_KEY, lambda: http(b"\xef\xbb\xbf" + GOOD)),
    "UTF-16": (NO_KEY, lambda: http(GOOD.decode().encode("utf-16"))),
    "NaN": (NO_KEY, lambda: http(GOOD[:-1] + b',"x":NaN}')),
    "HTML": (NO_KEY, lambda: http(b"<h1>Sign in</h1>", "Content-Type: text/html")),
    "HTML that says it is JSON": (NO_KEY, lambda: http(b"<p>", "Content-Type: application/json")),
    "shared secrets": (NO_KEY, lambda: http(PRIVATE.encode())),
    "small keys": (NO_KEY, lambda: http(GOOD.replace(b'"n": "', b'"n": "AQAB", "q": "'))),
    "keys for encryption": (NO_KEY, lambda: http(document(rsa_key(), use="enc"))),
    "keys for signing only": (NO_KEY, lambda: http(document(rsa_key(), key_ops=["sign"]))),
    "keys of another algorithm": (NO_KEY, lambda: http(document(rsa_key(), alg="PS512"))),
    "ten thousand keys": (
        NO_KEY,
        lambda: http(b'{"keys":[%b]}' % b",".join([b'{"kty":"RSA"}'] * 10_000)),
    ),
    "deep JSON": (NO_KEY, lambda: http(b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "deep objects": (NO_KEY, lambda: http(b'{"keys":' * 20_000 + b"1" + b"}" * 20_000)),
    "a number of digits": (NO_KEY, lambda: http(b'{"keys":' + b"9" * 100_000 + b"}")),
    "an octet too many": (SIZE, lambda: http(GOOD + b" " * (MAX_BYTES + 1 - len(GOOD)))),
    "5 MB": (SIZE, lambda: http(GOOD + b" " * 5_000_000)),
    "5 MB in chunks": (SIZE, lambda: chunked(GOOD + b" " * 5_000_000)),
    "a gzip bomb": (
        SIZE,
        lambda: http(gzip.compress(GOOD + b" " * 50_000_000, 1), "Content-Encoding: gzip"),
    ),
    "a deflate bomb": (
        SIZE,
        lambda: http(zlib.compress(GOOD + b" " * 50_000_000, 1), "Content-Encoding: deflate"),
    ),
    "gzip that is none": (BROKEN, lambda: http(GOOD, "Content-Encoding: gzip")),
    "a body cut short": (BROKEN, lambda: http(GOOD, length=len(GOOD) + 1)),
    "chunks cut short": (BROKEN, lambda: chunked(GOOD, b"")),
    "a chunk of no size": (BROKEN, lambda: chunked(GOOD, b"zz\r\n")),
    "204": (STATUS, lambda: http(b"", status="204 No Content")),
    "206": (STATUS, lambda: http(GOOD, status="206 Partial Content")),
    "203": (STATUS, lambda: http(GOOD, status="203 Non-Authoritative Information")),
    "301": (STATUS, lambda: http(GOOD, "Location: /keys", status="301 Moved")),
    "302 to a metadata service": (
        STATUS,
        lambda: http(b"", "Location: http://169.254.169.254/", status="302 Found"),
    ),
    "307 to a file": (STATUS, lambda: http(b"", "Location: file:///etc/passwd", status="307 R")),
    "401": (STATUS, lambda: http(GOOD, status="401 Unauthorized")),
    "404": (STATUS, lambda: http(b"not found", status="404 Not Found")),
    "429": (STATUS, lambda: http(b"", "Retry-After: 0", status="429 Too Many")),
    "500": (STATUS, lambda: http(GOOD, status="500 Oops")),
    "503": (STATUS, lambda: http(b"", status="503 Away")),
    "no HTTP": (BROKEN, lambda: b"SSH-2.0-x\r\n\r\n"),
    "two lengths": (BROKEN, lambda: http(GOOD, "Content-Length: 1")),
    "a header without end": (BROKEN, lambda: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
}
TRICKLES = {
    "a body": http(GOOD),
    "a header": b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 10_000,
    "chunks": chunked(GOOD),
}


@dataclass
class Server:
    """Answers every request with ``octets``, one by one where it ``trickles``."""

    octets: bytes = http(GOOD)
    trickles: bool = False
    port: int = 0
    asked: int = 0
    open: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            if not self.trickles:
                writer.write(self.octets)
                await writer.drain()
            for octet in self.octets if self.trickles else b"":
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1


@asynccontextmanager
async def keys_from(
    server: Server, seconds: float = 5.0
) -> AsyncIterator[tuple[JwksKeySource, RecordingObserver]]:
    """Have a source that got its good keys from the server."""
    observer = RecordingObserver()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/keys"
    async with listening, ProviderClient(seconds, MAX_BYTES) as client:
        source = JwksKeySource(
            [Provider(ISSUER, url, insecure_http=True)],
            KeyPolicy(cool_down=0.0),
            client.fetch,
            SystemClock(),
            observer,
        )
        async with asyncio.TaskGroup() as tasks:
            run = tasks.create_task(source.run())
            await until(source.is_ready)
            yield source, observer
            run.cancel()
        await until(lambda: not server.open)


async def test_whatever_a_provider_serves_the_good_keys_stay() -> None:
    server, outcomes = Server(), {}
    async with keys_from(server) as (source, observer):
        good = source.keys(ISSUER.name)
        for name, (_, octets) in MODES.items():
            server.octets = octets()
            await source.refresh(ISSUER.name, "new")
            outcomes[name] = observer.fetches[-1][1]
            assert source.keys(ISSUER.name) is good, name
        # aiohttp asks once more where a connection ends without an octet.
        assert server.asked == 2 + len(MODES)

        server.octets = http(document(rsa_key(), ec_key("new")))
        await source.refresh(ISSUER.name, "new")
        healed = source.keys(ISSUER.name)

    assert outcomes == {name: outcome for name, (outcome, _) in MODES.items()}
    assert healed is not None
    assert set(healed.by_kid) == {"rsa", "new"}


@pytest.mark.parametrize("part", TRICKLES)
async def test_a_provider_that_trickles_is_down(part: str) -> None:
    """K6: the time is for the whole answer; meanwhile the keys at hand serve."""
    server = Server()
    async with keys_from(server, seconds=0.3) as (source, observer):
        good = source.keys(ISSUER.name)
        server.octets, server.trickles = TRICKLES[part], True
        waiting = asyncio.get_running_loop().create_task(source.refresh(ISSUER.name, "new"))
        await until(lambda: server.asked == 2)
        assert source.keys(ISSUER.name) is good
        await waiting

        assert observer.fetches[-1][1] is FetchOutcome.TIMEOUT
        assert source.keys(ISSUER.name) is good


async def test_the_good_among_bad_keys_are_used() -> None:
    """RFC 7517, 5; duplicates, private halves and strange members spoil nothing."""
    private = {**ec_key("private").private.as_dict(private=True), "kid": "private"}
    keys = json.loads(document(rsa_key(), rsa_key(), ec_key()))["keys"]
    mixed = [{"kty": "oct", "k": "AA"}, 7, None, private, *keys, {"kty": "RSA", "n": "AQAB"}, {}]
    server = Server(http(json.dumps({"keys": mixed}).encode()))
    async with keys_from(server) as (source, _):
        found = source.keys(ISSUER.name)

    assert found is not None
    assert set(found.by_kid) == {"private", "rsa", "ec"}
    assert not any(
        not isinstance(key.key, MLDSAKey) and key.key.is_private
        for same in found.by_kid.values()
        for key in same
    )
