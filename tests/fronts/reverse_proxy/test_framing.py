"""How responses are framed for clients of HTTP/1.1 and HTTP/1.0."""

import pytest

from sidecar.fronts.reverse_proxy.framing import Framing
from sidecar.fronts.reverse_proxy.response_head import SplitResponse
from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead

OLD, NEW = (1, 0), (1, 1)


def begin(
    framing: Framing, status: int = 200, length: int | None = None, *fields: tuple[bytes, bytes]
) -> bytes:
    sized = [] if length is None else [(b"Content-Length", b"%d" % length)]
    return framing.begin(status, b"R", [*fields, *sized], length)


def test_a_length_is_kept_and_nothing_is_added() -> None:
    framing = Framing("GET", NEW, stays=True)

    assert begin(framing, 200, 3) == b"HTTP/1.1 200 R\r\nContent-Length: 3\r\n\r\n"
    assert framing.stays
    assert framing.has_body
    assert not framing.is_chunked


def test_a_body_without_a_length_is_chunked() -> None:
    framing = Framing("GET", NEW, stays=True)

    assert begin(framing) == b"HTTP/1.1 200 R\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert framing.is_chunked


def test_an_old_client_sees_the_end_of_a_body_by_the_connections() -> None:
    framing = Framing("GET", OLD, stays=True)

    assert begin(framing) == b"HTTP/1.1 200 R\r\nConnection: close\r\n\r\n"
    assert not framing.is_chunked
    assert not framing.stays


def test_an_old_client_is_told_that_the_connection_stays() -> None:
    assert b"Connection: keep-alive\r\n" in begin(Framing("GET", OLD, stays=True), 200, 3)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
def test_what_has_no_body_is_not_framed(method: str, status: int) -> None:
    framing = Framing(method, NEW, stays=True)

    assert b"Transfer-Encoding" not in begin(framing, status)
    assert not framing.has_body
    assert framing.stays


def test_a_204_has_no_length_and_a_head_keeps_it() -> None:
    assert b"Content-Length" not in begin(Framing("GET", NEW, stays=True), 204, 3)
    assert b"Content-Length: 3" in begin(Framing("HEAD", NEW, stays=True), 200, 3)


def test_the_last_response_of_a_connection_says_so() -> None:
    assert b"Connection: close\r\n" in begin(Framing("GET", NEW, stays=False), 200, 3)


@pytest.mark.parametrize(("method", "body"), [("GET", b"abc"), ("HEAD", b"")])
def test_an_answer_of_ours_is_whole(method: str, body: bytes) -> None:
    octets = Framing(method, NEW, stays=True).whole(403, [(b"A", b"b")], b"abc")

    assert octets == b"HTTP/1.1 403 Forbidden\r\nA: b\r\nContent-Length: 3\r\n\r\n" + body


def test_an_answer_after_one_that_could_not_be_written_is_framed_anew() -> None:
    framing = Framing("GET", NEW, stays=True)
    begin(framing)

    assert b"Transfer-Encoding" not in framing.whole(502, [], b"x")
    assert not framing.is_chunked


def answered(status: int = 200, *fields: tuple[bytes, bytes], version: str = "1.1") -> AnswerHead:
    head = AnswerHead(status, b"R", [*fields])
    head.sort(version)
    return head


TWO = (b"Content-Length", b"2")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize("stays", [True, False])
@pytest.mark.parametrize(
    "head",
    [
        answered(200, TWO),
        answered(200, (b"Transfer-Encoding", b"chunked")),
        answered(200),
        answered(204, TWO),
        answered(304, TWO),
    ],
)
def test_a_head_that_several_answers_share_is_written_for_each_client_as_if_it_were_new(
    method: str,
    version: tuple[int, int],
    head: AnswerHead,
    *,
    stays: bool,
) -> None:
    for _ in range(2):
        one = Framing(method, version, stays=stays)
        other = Framing(method, version, stays=stays)

        octets = other.begin(head.status, head.reason, list(head.end_to_end), head.length)
        assert one.begin_as(head) == octets
        assert (one.stays, one.has_body, one.is_chunked) == (
            other.stays, other.has_body, other.is_chunked,
        )  # fmt: skip


def test_a_head_that_splits_is_refused_each_time() -> None:
    head = answered(200, TWO, (b"X", b"a\nb"))
    for _ in range(2):
        with pytest.raises(SplitResponse):
            Framing("GET", NEW, stays=True).begin_as(head)


def test_an_answer_like_the_one_before_has_its_own_body_length_and_framing() -> None:
    def whole(body: bytes, method: str = "GET", *, stays: bool = True) -> bytes:
        return Framing(method, NEW, stays=stays).whole(401, [(b"A", b"b")], body)

    first = whole(b"abc")

    assert whole(b"xyz") == first.replace(b"abc", b"xyz")
    assert b"Content-Length: 4\r\n\r\nlong" in whole(b"long")
    assert whole(b"abc", "HEAD") == first.removesuffix(b"abc")
    assert b"Connection: close" in whole(b"abc", stays=False)
    assert whole(b"abc") == first
