"""Answers are read the same however they are cut, and as another parser reads them."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpResponseParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead, Field, Malformed
from sidecar.fronts.reverse_proxy.upstream.answer_reader import AnswerReader

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

# That the machine is busy is no defect of the reader.
PATIENT = settings(deadline=None)


@dataclass
class Heard:
    """A ``Listener`` that keeps all it is told."""

    heads: list[AnswerHead] = field(default_factory=list)
    body: bytes = b""

    def begun(self, head: AnswerHead) -> None:
        self.heads.append(head)

    def continued(self, data: bytes) -> None:
        assert self.heads, "a body comes after its head"
        self.body += data


@dataclass
class Reading:
    """One reader and what it has told of the last answer."""

    reader: AnswerReader = field(default_factory=lambda: AnswerReader(1000))
    heard: Heard = field(default_factory=Heard)

    def read(self, pieces: Iterable[bytes], method: str = "GET", *, upgrade: bool = False) -> Heard:
        self.heard = Heard()
        self.reader.expect(self.heard, method, upgrade=upgrade)
        for piece in pieces:
            self.reader.feed(piece)
        return self.heard


def by_octets(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """All in one, octet by octet, and cut in two at every octet."""
    yield [data]
    yield by_octets(data)
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]


@dataclass(frozen=True)
class Sample:
    """An answer, and how it was asked for."""

    method: str
    octets: bytes


TOKEN = st.text("abcXYZ019-_", min_size=1, max_size=8).map(lambda text: b"X-" + text.encode())
VALUE = st.from_regex(re.compile(rb"([!-~]([ -~]{0,10}[!-~])?)?"), fullmatch=True)
REASON = st.from_regex(re.compile(rb"[A-Za-z]([ -~]{0,10}[!-~])?"), fullmatch=True)
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=4)
INTERIM = st.lists(st.sampled_from([100, 102, 103]), max_size=3)
PIECES = st.lists(st.binary(min_size=1, max_size=20), max_size=4)


def _written(fields: list[Field]) -> bytes:
    return b"".join(b"%b: %b\r\n" % each for each in fields) + b"\r\n"


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    method = draw(st.sampled_from(["GET", "GET", "POST", "HEAD"]))
    status = draw(st.sampled_from([200, 201, 206, 302, 404, 500, 599, 204, 304]))
    pieces = draw(PIECES)
    fields = draw(FIELDS)
    has_body = method != "HEAD" and status not in (204, 304)
    framing = draw(st.sampled_from(["length", "chunked", "close"])) if has_body else "length"
    body = b"".join(pieces)
    if framing == "length":
        if status != 204:
            fields.append((b"Content-Length", b"%d" % len(body)))
    elif framing == "chunked":
        fields.append((b"Transfer-Encoding", b"chunked"))
        body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + b"0\r\n\r\n"
    before = b"".join(
        b"HTTP/1.1 %d Wait\r\n" % each + _written(draw(FIELDS)) for each in draw(INTERIM)
    )
    head = b"HTTP/1.1 %d %b\r\n" % (status, draw(REASON)) + _written(fields)
    return Sample(method, before + head + (body if has_body else b""))


@contextmanager
def event_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def read_by_aiohttp(sample: Sample) -> tuple[int, str, list[Field], bytes]:
    with event_loop() as loop:
        parser = HttpResponseParser(
            BaseProtocol(loop), loop, 2**16, response_with_body=sample.method != "HEAD",
            read_until_eof=True, auto_decompress=False,
        )  # fmt: skip
        messages, _, _ = parser.feed_data(sample.octets)
        parser.feed_eof()
        message, payload = next(each for each in messages if each[0].code >= 200)
        if payload is EMPTY_PAYLOAD:
            body = b""
        else:
            assert isinstance(payload, StreamReader)
            assert payload.is_eof()
            body = payload.read_nowait()
    return message.code, message.reason, list(message.raw_headers), body


def read_by_us(sample: Sample, pieces: list[bytes]) -> tuple[int, str, list[Field], bytes]:
    reading = Reading(AnswerReader(65536))
    heard = reading.read(pieces, sample.method)
    assert reading.reader.end()
    assert not reading.reader.is_tainted
    [head] = heard.heads
    return head.status, head.reason.decode(), head.fields, heard.body


@PATIENT
@given(samples(), st.lists(st.integers(1, 400), max_size=5))
def test_an_answer_is_read_as_aiohttp_reads_it_however_it_is_cut(
    sample: Sample, at: list[int]
) -> None:
    expected = read_by_aiohttp(sample)

    edges = sorted({0, *(each for each in at if each < len(sample.octets)), len(sample.octets)})
    pieces = [sample.octets[a:b] for a, b in pairwise(edges)]
    for cut in (pieces, [sample.octets], by_octets(sample.octets)):
        assert read_by_us(sample, cut) == expected


@PATIENT
@given(samples())
def test_one_answer_after_the_other_leaves_nothing_to_the_next(sample: Sample) -> None:
    reading = Reading(AnswerReader(65536))
    reading.read([sample.octets], sample.method)
    if not reading.reader.is_complete:
        return  # it ends with its connection

    heard = reading.read([OK])

    assert reading.reader.is_complete
    assert not reading.reader.is_tainted
    assert heard.heads[0].fields == [(b"Content-Length", b"2")]
    assert heard.body == b"ok"


@PATIENT
@given(samples(), st.data())
def test_a_truncated_answer_is_never_complete(sample: Sample, data: st.DataObject) -> None:
    whole = Reading(AnswerReader(65536))
    whole.read([sample.octets], sample.method)
    if not whole.reader.is_complete:
        return  # it ends with its connection, wherever that is
    length = data.draw(st.integers(0, len(sample.octets) - 1))

    reading = Reading(AnswerReader(65536))
    reading.read([sample.octets[:length]], sample.method)

    assert not reading.reader.end()


MALFORMED = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 100 Go\r\n\r\nHTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    SWITCH,
    b"HTTP/1.1 101 Go\r\n\r\n",
    b"HTTP/1.1 100 Go\r\n\r\n" * 11 + OK,
    b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\r\nA\x00B: 1\r\nContent-Length: 2\r\n\r\nok",
    CHUNKED + b"2 \r\nok\r\n0\r\n\r\n",
    CHUNKED + b"ffffffffffffffffff\r\nok",
    CHUNKED + b"2\r\nok0\r\n\r\n",
    CHUNKED + b"-2\r\nok\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("octets", MALFORMED)
def test_what_can_be_read_in_two_ways_is_malformed_however_it_is_cut(octets: bytes) -> None:
    for pieces in cuts(octets):
        reading = Reading()
        with pytest.raises(Malformed):
            reading.read(pieces)
        assert not reading.reader.is_complete


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 2000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 " + b"x" * 2000 + b"\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large_is_malformed_however_it_is_cut(octets: bytes) -> None:
    for pieces in ([octets], by_octets(octets), [octets[:999], octets[999:]]):
        with pytest.raises(Malformed):
            Reading().read(pieces)


def test_a_body_that_comes_with_its_head_does_not_count_as_head() -> None:
    octets = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000

    assert len(Reading().read([octets]).body) == 5000


def test_ten_interim_answers_are_borne() -> None:
    for pieces in cuts(b"HTTP/1.1 100 Go\r\n\r\n" * 10 + OK):
        assert Reading().read(pieces).body == b"ok"


@pytest.mark.parametrize(
    ("method", "octets"),
    [
        ("HEAD", OK),
        ("HEAD", CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
        ("GET", OK + b"x"),
        ("GET", OK + OK),
        ("GET", CHUNKED + b"0\r\n\r\nHTTP/1.1 200"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\nok"),
    ],
)
def test_octets_after_the_end_taint_the_connection_however_they_are_cut(
    method: str, octets: bytes
) -> None:
    for pieces in cuts(octets):
        reading = Reading()
        reading.read(pieces, method)
        assert reading.reader.is_complete
        assert reading.reader.is_tainted
        assert reading.heard.body in (b"", b"ok")


def test_trailers_are_no_fields_of_the_head() -> None:
    octets = CHUNKED + b"2\r\nok\r\n0\r\nSet-Cookie: a=1\r\nX: y\r\n\r\n"
    for pieces in cuts(octets):
        reading = Reading()
        heard = reading.read(pieces)

        assert heard.heads[0].fields == [(b"Transfer-Encoding", b"chunked")]
        assert reading.read([OK]).heads[0].fields == [(b"Content-Length", b"2")]


def test_after_a_switch_that_was_asked_for_the_rest_is_raw() -> None:
    raw = b"\x81\x05HTTP/1.1 200 OK\r\n\r\n"
    for pieces in cuts(SWITCH + raw):
        reading = Reading()
        heard = reading.read(pieces, upgrade=True)

        assert [head.status for head in heard.heads] == [101]
        assert heard.body == raw
        assert reading.reader.is_raw
        assert not reading.reader.end()


def test_a_switch_that_was_asked_for_may_be_declined() -> None:
    heard = Reading().read([OK], upgrade=True)

    assert (heard.heads[0].status, heard.body) == (200, b"ok")


def test_a_listeners_mistake_is_not_upstreams() -> None:
    class Broken(Heard):
        @override
        def continued(self, data: bytes) -> None:
            raise KeyError(data)

    reader = AnswerReader(1000)
    reader.expect(Broken(), "GET", upgrade=False)

    with pytest.raises(KeyError):
        reader.feed(OK)


def test_an_answer_has_begun_with_its_first_octet() -> None:
    reader = AnswerReader(1000)
    reader.expect(Heard(), "GET", upgrade=False)
    assert not reader.has_begun

    reader.feed(b"H")

    assert reader.has_begun


HEAD_OF_TWO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
# What may come instead of `OK`, or look like it: each was a way to take one for the other.
LIKE_OK = [
    OK,
    HEAD_OF_TWO + b"no",
    HEAD_OF_TWO + b"\r\n",
    OK + b"\r\n",
    HEAD_OF_TWO + b"\r\n\r\n",
    HEAD_OF_TWO + b"\r\nok",
    OK + OK,
    HEAD_OF_TWO + b"o",
    HEAD_OF_TWO,
    HEAD_OF_TWO.replace(b"200", b"304"),
    HEAD_OF_TWO.replace(b"200", b"304") + b"ok",
    HEAD_OF_TWO.replace(b"200", b"204") + b"ok",
    b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    OK.replace(b"1.1", b"1.0"),
    OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    OK.replace(b": 2", b": 3"),
    CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\nContent-Length: 2\r\n\r\nok",
]


def told(reading: Reading, answer: bytes, method: str) -> tuple[object, ...]:
    problem = ""
    try:
        reading.read([answer], method)
    except Malformed as malformed:
        problem = str(malformed)
    heads = [
        (each.status, each.reason, each.fields, each.end_to_end, each.length, each.keeps_alive)
        for each in reading.heard.heads
    ]
    reader = reading.reader
    return heads, reading.heard.body, reader.is_complete, reader.is_tainted, problem


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("earlier", LIKE_OK)
def test_what_was_answered_before_changes_nothing(earlier: bytes, method: str) -> None:
    """A head that is known by its octets is what the parser would have made of it."""
    for answer in LIKE_OK:
        for before in ([earlier], [OK, earlier], [earlier, OK]):
            reading = Reading(AnswerReader(10_000))
            for each in before:
                _, _, is_complete, is_tainted, problem = told(reading, each, "GET")
                heads = reading.heard.heads
                if problem or is_tainted or not is_complete or not heads[0].keeps_alive:
                    reading = Reading(AnswerReader(10_000))  # the connection is given up

            assert told(reading, answer, method) == told(
                Reading(AnswerReader(10_000)), answer, method
            )


def test_a_head_that_comes_again_is_not_read_again() -> None:
    reading = Reading()
    first = reading.read([OK]).heads[0]
    again = reading.read([HEAD_OF_TWO + b"no"])

    assert again.heads[0] is first
    assert again.body == b"no"
    assert reading.read([OK.replace(b"OK", b"KO")]).heads[0].reason == b"KO"


def test_a_head_that_comes_again_in_pieces_is_read_again() -> None:
    reading = Reading()
    first = reading.read([OK]).heads[0]

    assert reading.read([HEAD_OF_TWO, b"ok"]).heads[0] is not first
