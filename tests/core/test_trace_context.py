"""W3C Trace Context: what is good is read, and nothing else is, whatever is sent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.trace_context import TraceParent, read_traceparent, read_tracestate

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def hexadecimal(digits: int) -> st.SearchStrategy[str]:
    return st.text("0123456789abcdef", min_size=digits, max_size=digits)


def test_a_good_one_is_read_and_told_as_it_came() -> None:
    parent = read_traceparent([GOOD])

    assert parent == TraceParent(TRACE, SPAN, is_sampled=True)
    assert parent.value == GOOD


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("ff", True)]
)
def test_of_the_flags_only_the_lowest_bit_counts(flags: str, sampled: bool) -> None:  # noqa: FBT001
    parent = read_traceparent([f"00-{TRACE}-{SPAN}-{flags}"])

    assert parent is not None
    assert parent.is_sampled is sampled
    assert parent.value.endswith("-01" if sampled else "-00")


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{GOOD}, {GOOD}",
        f"01-{TRACE}-{SPAN}-01.more",
        f"01-{TRACE}-{SPAN}-01-\xe9",
        f"01-{TRACE}-{SPAN}-01-{'x' * 300}",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
    ],
)
def test_what_is_not_a_traceparent_is_none(value: str) -> None:
    assert read_traceparent([value]) is None


@pytest.mark.parametrize(
    "value", [f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future"]
)
def test_of_a_version_to_come_the_known_parts_count(value: str) -> None:
    parent = read_traceparent([value])

    assert parent is not None
    assert parent.value == GOOD


def test_none_and_two_of_them_are_none() -> None:
    assert read_traceparent([]) is None
    assert read_traceparent([GOOD, GOOD]) is None


@given(st.text(max_size=300))
def test_what_is_read_is_always_well_formed(value: str) -> None:
    parent = read_traceparent([value])

    assert parent is None or re.fullmatch(
        r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[01]", parent.value
    )


@given(hexadecimal(2), hexadecimal(32), hexadecimal(16), hexadecimal(2), st.text(max_size=3))
def test_near_misses_are_told_in_our_version(
    version: str, trace: str, span: str, flags: str, more: str
) -> None:
    parent = read_traceparent([f"{version}-{trace}-{span}-{flags}{more}"])

    if parent is not None:
        assert parent.value[:-1] == f"00-{trace}-{span}-0"
        assert version != "ff"
        assert not more or (more.startswith("-") and version != "00")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], ""),
        ([""], ""),
        (["a=1"], "a=1"),
        (["a=1,b=2", "c=3"], "a=1,b=2,c=3"),
        (["a=1 \t,\t ,, b=2"], "a=1,b=2"),
        (["tenant@vendor=x:y;z"], "tenant@vendor=x:y;z"),
        (["1tenant@vendor=1"], "1tenant@vendor=1"),
    ],
)
def test_a_good_tracestate_goes_on_as_one(values: list[str], told: str) -> None:
    assert read_tracestate(values) == told


@pytest.mark.parametrize(
    "values",
    [
        ["a"],
        ["a="],
        ["=1"],
        ["A=1"],
        ["1a=1"],
        ["a=1,a=2"],
        ["a=1", "a=1"],
        ["a=1=2"],
        ["a=\x7f"],
        ["a=\xe9"],
        ["a=1,b=2\r\nX: y"],
        ["a@b@c=1"],
        ["a" * 257 + "=1"],
        ["a=" + "1" * 257],
        [",".join(f"k{number}=1" for number in range(33))],
        ["a=1," * 9000],
    ],
)
def test_a_tracestate_with_anything_wrong_is_dropped_whole(values: list[str]) -> None:
    assert read_tracestate(values) == ""


def test_of_a_long_one_the_long_members_go_first_and_then_the_last() -> None:
    long = "long=" + "x" * 200
    members = [f"k{number}=" + "v" * 90 for number in range(8)]

    told = read_tracestate([",".join([members[0], long, *members[1:]])])

    assert told == ",".join(members[:5])
    assert len(told) <= 512


@given(st.lists(st.text(st.characters(max_codepoint=0x17F), max_size=80), max_size=6))
def test_what_goes_on_can_always_be_sent_and_read_again(values: list[str]) -> None:
    told = read_tracestate(values)

    assert len(told) <= 512
    assert told.isascii()
    assert not set(told) & set("\r\n\0")
    assert read_tracestate([told]) == told
