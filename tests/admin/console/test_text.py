"""How things are written on a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.admin.console.text import (
    ago,
    duration,
    machine_moment,
    moment,
    number,
    plain,
    rate,
    stamp,
)


@given(st.text(max_size=400))
def test_whatever_somebody_is_called_it_is_one_short_line_of_what_can_be_printed(name: str) -> None:
    shown = plain(name, 50)

    assert shown.isprintable()
    assert len(shown) <= 50 * len("\\U0010ffff") + 20


def test_what_turns_text_around_or_hides_it_is_seen() -> None:
    assert plain("a\u202eb\x00\n\u200b") == "a\\u202eb\\x00\\n\\u200b"
    assert plain("x" * 10_000, 5) == "xxxxx… (9,995 more)"
    assert plain(7) == "7"


@pytest.mark.parametrize(
    ("at", "shown", "machine"),
    [
        (1_700_000_000.0, "2023-11-14 22:13:20 UTC", "2023-11-14T22:13:20Z"),
        (0.0, "never", ""),
        (-5.0, "never", ""),
        (None, "for ever", ""),
        (float("inf"), "for ever", ""),
        (1e300, "for ever", ""),
        (float("nan"), "never", ""),
    ],
)
def test_a_moment_that_is_none_is_said_in_words(at: float | None, shown: str, machine: str) -> None:
    assert (moment(at), machine_moment(at)) == (shown, machine)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0 ms"),
        (0.0123, "12 ms"),
        (12, "12 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (86400 * 1500, "1,500 days"),
        (float("inf"), "for ever"),
    ],
)
def test_a_length_of_time_has_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_what_was_this_moment_is_not_counted_in_milliseconds() -> None:
    assert [ago(each) for each in (-3, 0.9, 1, 90)] == [
        "just now",
        "just now",
        "1 s ago",
        "2 min ago",
    ]


def test_figures_have_as_many_digits_as_they_deserve() -> None:
    assert [rate(each) for each in (0, 0.04, 1.25, 1234.5)] == ["0", "<0.1", "1.2", "1,234"]
    assert number(1234567) == "1,234,567"


def test_the_moment_of_a_record_is_written_like_every_other() -> None:
    assert stamp("2026-11-26T15:01:08.397Z") == "2026-11-26 15:01:08 UTC"
    assert stamp("yesterday\n") == "yesterday\\n"
    assert stamp(None) == "None"
