"""JSON from strangers."""

import contextlib
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.strict_json import MAX_DEPTH, NotStrictJSON, read_json_object

HOSTILE = settings(max_examples=200, derandomize=True, deadline=None)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def nested(depth: int) -> bytes:
    """Return an object whose innermost value is ``depth`` deep, itself included."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"exp":1,"\\u0065xp":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":' + b"9" * 4400 + b"}",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xc0\xae"}',
        b'{"a":"\xed\xa0\x80"}',
        b"",
        b" ",
        b"[]",
        b"null",
        b'"{}"',
        b"{}{}",
        b"{} x",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b'{"a":1}//',
        b"\xc2\xa0{}",
        b"{" * 100_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        nested(40_000),
        nested(MAX_DEPTH + 1),
    ],
    ids=lambda text: repr(text[:24]),
)
def test_what_readers_disagree_on_is_refused(text: bytes) -> None:
    with pytest.raises(NotStrictJSON) as problem:
        read_json_object(text)
    assert len(str(problem.value)) < 50


@pytest.mark.parametrize("depth", [1, 2, MAX_DEPTH - 1, MAX_DEPTH])
def test_depth_up_to_the_limit_is_read(depth: int) -> None:
    assert "a" in read_json_object(nested(depth) if depth > 1 else b'{"a":1}')


@pytest.mark.parametrize(
    "inside", ["[" * 100, "{" * 100, '\\"' + "[" * 100, "\\\\", "]" * 100, '\\\\\\"' + "{" * 99]
)
def test_brackets_in_strings_are_no_depth(inside: str) -> None:
    text = f'{{"{inside}": "{inside}", "b": [{{}}]}}'

    assert read_json_object(text.encode()) == json.loads(text)


def test_many_shallow_members_are_no_depth() -> None:
    assert len(read_json_object(b'{"a":[' + b"{}," * 500 + b"[]]}")["a"]) == 501


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b'"]",[' * 40 + b"]" * 41 + b"}",
        b'{"a":[' + b'"\\"]",[' * 40 + b"]" * 41 + b"}",
        b'{"a":[' + b'"\\\\",[' * 40 + b"]" * 41 + b"}",
        b'{"a":' + b'[{"]}":' * 20 + b"1" + b"}]" * 20 + b"}",
    ],
)
def test_a_bracket_in_a_string_closes_nothing(text: bytes) -> None:
    """Else real depth could be talked away, and the decoder's stack overflows after all."""
    assert json.loads(text)
    with pytest.raises(NotStrictJSON, match="deeper"):
        read_json_object(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":[' + b"[]," * 4000 + b"[]]}",
        b'{"a":' + b"[" * 12_000,
        b'{"a":' + b"[" * 33 + b'"' + b'\\"' * 6000,
        b'{"a":' + b"[" * 33 + b'"' * 12_001,
        b'{"a":' + b"[" * 33 + b"\\" * 12_000,
    ],
    ids=lambda text: repr(text[-12:]),
)
def test_no_text_is_dear_to_read(text: bytes) -> None:
    """Beside the plain reading of as much plain text; a quadratic reader takes a thousandfold."""
    plain = json.dumps({"a": ["b"] * (len(text) // 5)}).encode()

    assert best_time(read_strictly, text) < 150 * best_time(json.loads, plain)


def read_strictly(text: bytes) -> None:
    with contextlib.suppress(NotStrictJSON):
        read_json_object(text)


def best_time(read: Callable[[bytes], object], text: bytes) -> float:
    """Return the least CPU time of ten tries: the machine is shared, the least is the reader's."""
    times = []
    for _ in range(10):
        began = time.thread_time()
        read(text)
        times.append(time.thread_time() - began)
    return min(times)


@HOSTILE
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5))
def test_every_object_is_read_as_written(members: dict[str, Any]) -> None:
    assert read_json_object(json.dumps(members).encode()) == members


@HOSTILE
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\1eNa ', max_size=60).map(str.encode))
@example(b'{"a":1e999}')
def test_any_bytes_are_an_object_or_refused(text: bytes) -> None:
    try:
        members = read_json_object(text)
    except NotStrictJSON:
        return
    assert members == json.loads(text)
