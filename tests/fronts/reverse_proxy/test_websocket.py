import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Denied
from sidecar.fronts.reverse_proxy.websocket import (
    FrameEnds,
    close_frame,
    is_accepted,
    read_handshake_key,
)

# The example of RFC 6455, 1.3.
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
HANDSHAKE = [(b"Sec-WebSocket-Key", KEY), (b"sec-websocket-version", b"13")]


def test_a_handshake_has_one_key_of_sixteen_octets() -> None:
    assert read_handshake_key("GET", HANDSHAKE) == KEY


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("POST", HANDSHAKE),
        ("GET", HANDSHAKE[:1]),
        ("GET", HANDSHAKE[1:]),
        ("GET", [*HANDSHAKE, HANDSHAKE[0]]),
        ("GET", [HANDSHAKE[0], (b"Sec-WebSocket-Version", b"8")]),
        ("GET", [(b"Sec-WebSocket-Key", b"c2hvcnQ="), HANDSHAKE[1]]),
        ("GET", [(b"Sec-WebSocket-Key", b"no base64"), HANDSHAKE[1]]),
    ],
)
def test_anything_else_is_no_handshake(method: str, fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Denied):
        read_handshake_key(method, fields)


def test_a_101_is_believed_only_with_the_hash_of_this_key() -> None:
    upgrade, accept = (b"Upgrade", b"WebSocket"), (b"Sec-WebSocket-Accept", ACCEPT)
    connection = (b"Connection", b"Upgrade")
    good = [upgrade, accept, connection]

    assert is_accepted(KEY, good)
    assert not is_accepted(b"AAAAAAAAAAAAAAAAAAAAAA==", good)
    assert not is_accepted(KEY, [upgrade, connection])
    assert not is_accepted(KEY, [accept, connection])
    assert not is_accepted(KEY, [upgrade, accept])
    assert not is_accepted(KEY, [(b"Upgrade", b"h2c"), accept, connection])
    assert not is_accepted(KEY, [*good, accept])


def test_a_close_frame_has_code_and_reason() -> None:
    assert close_frame(1008, "access revoked") == b"\x88\x10\x03\xf0access revoked"
    assert len(close_frame(1008, "x" * 500)) == 2 + 125


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    length = draw(st.sampled_from([0, 1, 125, 126, 127, 300, 65535, 65536]))
    masked = draw(st.booleans())
    first = bytes((0x80 | draw(st.sampled_from([1, 2, 9, 10])),))
    flag = 0x80 if masked else 0
    if length < 126:
        size = bytes((flag | length,))
    elif length < 65536:
        size = bytes((flag | 126,)) + length.to_bytes(2, "big")
    else:
        size = bytes((flag | 127,)) + length.to_bytes(8, "big")
    return first + size + (b"mask" if masked else b"") + b"p" * length


@given(st.lists(frames(), min_size=1, max_size=4), st.lists(st.integers(0, 2000), max_size=20))
def test_the_ends_of_frames_are_found_however_the_octets_come(
    sequence: list[bytes], cuts: list[int]
) -> None:
    ends_at = set()
    total = 0
    for frame in sequence:
        total += len(frame)
        ends_at.add(total)
    octets = b"".join(sequence)
    ends = FrameEnds()
    at = 0
    for cut in sorted({min(cut, len(octets)) for cut in cuts} | {len(octets)}):
        ends.feed(octets[at:cut])
        at = cut
        assert ends.is_between is (cut in ends_at or cut == 0)
    assert not ends.closing


def test_a_close_frame_is_noticed() -> None:
    ends = FrameEnds()
    ends.feed(b"\x81\x02hi" + close_frame(1000, "bye"))

    assert ends.closing
    assert ends.is_between
