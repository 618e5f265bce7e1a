"""An answer's head: which fields go on, and one way to read how its body ends."""

import pytest

from sidecar.fronts.reverse_proxy.upstream.answer_head import AnswerHead, Field, Malformed


def head_of(*fields: Field, version: str = "1.1") -> AnswerHead:
    head = AnswerHead(200, b"OK", list(fields))
    head.sort(version)
    return head


def test_fields_go_on_as_they_came_and_in_their_order() -> None:
    fields = [(b"X-b", b"1"), (b"SET-cookie", b"a=1"), (b"Content-Type", b"a/b"), (b"X-b", b"2")]

    assert head_of(*fields).end_to_end == fields


@pytest.mark.parametrize(
    "name",
    [b"Connection", b"Keep-Alive", b"TE", b"TRAILER", b"upgrade", b"Proxy-Authenticate"],
)
def test_what_is_for_the_next_hop_alone_ends_here(name: bytes) -> None:
    head = head_of((name, b"close"), (b"Server", b"a"))

    assert head.end_to_end == [(b"Server", b"a")]
    assert head.fields == [(name, b"close"), (b"Server", b"a")]


def test_what_connection_names_ends_here_however_it_is_spelled() -> None:
    head = head_of((b"x-HOP", b"1"), (b"Connection", b"close, X-Hop"), (b"Connection", b"y"),
                   (b"Y", b"2"), (b"Z", b"3"))  # fmt: skip

    assert head.end_to_end == [(b"Z", b"3")]


def test_white_space_behind_a_length_is_no_part_of_it() -> None:
    head = head_of((b"Content-Length", b"7 \t"))

    assert head.length == 7
    assert head.end_to_end == [(b"Content-Length", b"7")]


def test_connection_cannot_take_the_length_away() -> None:
    head = head_of((b"Content-Length", b"7"), (b"Connection", b"content-length"))

    assert head.length == 7
    assert head.end_to_end == [(b"Content-Length", b"7")]


def test_a_body_without_length_or_chunks_ends_with_the_connection() -> None:
    head = head_of(version="1.0")

    assert (head.length, head.chunked) == (None, False)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunks_are_our_hops_affair(coding: bytes) -> None:
    head = head_of((b"Transfer-Encoding", coding))

    assert head.chunked
    assert head.end_to_end == []


@pytest.mark.parametrize(
    "fields",
    [
        [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [(b"Content-Length", b"1"), (b"content-length", b"1")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"1, 1")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"-1")],
        [(b"Content-Length", b"0x1")],
        [(b"Content-Length", b"9" * 20)],
        [(b"Content-Length", b"9223372036854775808")],
        [(b"Transfer-Encoding", b"")],
        [(b"Transfer-Encoding", b"gzip")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
        [(b"Transfer-Encoding", b"chunked, chunked")],
        [(b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"\x0bchunked")],
    ],
)
def test_a_framing_that_can_be_read_in_two_ways_is_refused(fields: list[Field]) -> None:
    with pytest.raises(Malformed):
        head_of(*fields)


def test_http_1_0_knows_no_chunks() -> None:
    with pytest.raises(Malformed):
        head_of((b"Transfer-Encoding", b"chunked"), version="1.0")


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_another_version_is_refused(version: str) -> None:
    with pytest.raises(Malformed):
        head_of(version=version)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/event-stream", True),
        (b"Text/Event-Stream ; charset=utf-8", True),
        (b"text/event-streams", False),
        (b"application/json", False),
    ],
)
def test_an_event_stream_is_known_by_its_type(value: bytes, expected: bool) -> None:  # noqa: FBT001
    assert head_of((b"content-TYPE", value)).is_event_stream is expected


def test_a_name_too_long_to_be_remembered_is_read_all_the_same() -> None:
    field = (b"X-" + b"y" * 100, b"1")

    assert head_of(field).end_to_end == [field]


def test_hop_by_hop_fields_and_those_connection_names_are_left_out() -> None:
    fields = [
        (b"Connection", b"close, X-Hop, Content-Length"),
        (b"X-Hop", b"1"),
        (b"Keep-Alive", b"5"),
        (b"Upgrade", b"h2c"),
        (b"Content-Length", b"2"),
        (b"X-Hop-Too", b"1"),
    ]

    assert head_of(*fields).end_to_end == [(b"Content-Length", b"2"), (b"X-Hop-Too", b"1")]


def test_order_and_duplicates_are_kept() -> None:
    fields = [(b"Set-Cookie", b"b"), (b"Server", b"s"), (b"Set-Cookie", b"a")]

    assert head_of(*fields).end_to_end == fields


@pytest.mark.parametrize(
    ("content_type", "is_one"),
    [
        (b"text/event-stream", True),
        (b" Text/Event-Stream ; charset=utf-8", True),
        (b"text/event-streams", False),
        (b"text/plain; a=text/event-stream", False),
    ],
)
def test_an_event_stream_is_told_by_its_type(content_type: bytes, *, is_one: bool) -> None:
    assert head_of((b"Server", b"s"), (b"content-TYPE", content_type)).is_event_stream is is_one
    assert not head_of((b"X-Content-Type", content_type)).is_event_stream


def test_one_of_several_types_is_enough_for_an_event_stream() -> None:
    event, plain = (b"Content-Type", b"text/event-stream"), (b"Content-Type", b"text/plain")

    assert head_of(event, plain).is_event_stream
    assert head_of(plain, event).is_event_stream
