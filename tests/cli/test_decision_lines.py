"""Lines of a log, out of whatever holds them."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.decision_lines import (
    LONGEST_LINE,
    Line,
    NotReadable,
    lines_of,
    opened,
    read_line,
)

DENIED = {
    "ts": "2026-01-31T08:00:00.000Z",
    "event": "decision",
    "outcome": "denied",
    "reason": "subject_unknown",
    "detail": "no account",
    "method": "GET",
    "path": "/api/userinfo",
    "peer": "192.0.2.7",
    "enforced": False,
    "route": "hoop-api",
    "realm": "corp",
    "subject": "robot",
    "issuer": "https://idp.example",
    "client_id": "client-7",
}


def line(**changed: Any) -> bytes:
    return json.dumps({**DENIED, **changed}).encode()


def test_a_line_is_read_whatever_a_container_has_put_before_it() -> None:
    found = read_line(b"2026-01-31T08:00:00Z stdout F " + line() + b"\n")

    assert found is not None
    assert (found.subject, found.reason, found.enforced) == ("robot", "subject_unknown", False)


def test_a_line_that_does_not_say_otherwise_was_enforced() -> None:
    members = {name: value for name, value in DENIED.items() if name != "enforced"}
    found = read_line(json.dumps(members).encode())

    assert found is not None
    assert found.enforced


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"Traceback (most recent call last):",
        b'{"ts": "2026-01-31T08:00:00.000Z", "level": "INFO"}',
        line(event="account"),
        line(outcome=""),
        line(outcome="maybe"),
        line(ts="yesterday"),
        line(ts="2026-01-31T08:00:00.000Z\n"),
        line(ts="\u0662\u0660\u0662\u0666-01-31T08:00:00.000Z"),
        line(subject=["robot"]),
        line(enforced="no"),
        b'{"ts": ' + b"[" * 10_000,
    ],
)
def test_what_is_no_decision_is_nothing(octets: bytes) -> None:
    assert read_line(octets) is None


@pytest.mark.parametrize("member", ["detail", "route", "realm", "issuer", "path"])
def test_a_long_value_hides_no_refusal(member: str) -> None:
    """What a denial says of groups names all that would do: a hundred are 3900 letters."""
    found = read_line(line(**{member: "x" * 5000}))

    assert found is not None


def test_a_path_that_is_no_utf_8_hides_no_refusal() -> None:
    """Whoever sends one must not be able to stay out of the report."""
    found = read_line(line(path="/\udc80"))

    assert found is not None
    assert found.path == "/\ufffd"


@given(st.binary(max_size=200))
def test_no_octets_make_it_fail(octets: bytes) -> None:
    for text in (octets, b'{"ts":' + octets, line()[: len(octets)] + octets):
        found = read_line(text)
        assert found is None or isinstance(found, Line)


def test_a_line_without_end_costs_no_more_than_its_bound() -> None:
    stream = io.BytesIO(b"a\n" + b"x" * (3 * LONGEST_LINE) + b"\nb\n" + b"y" * LONGEST_LINE)

    assert list(lines_of(stream)) == [b"a\n", b"", b"b\n"]


def test_the_last_line_needs_no_end() -> None:
    assert list(lines_of(io.BytesIO(b"a\nb"))) == [b"a\n", b"b"]


@pytest.mark.parametrize("name", ["sidecar.log.1.gz", "without-its-ending"])
def test_a_compressed_log_is_known_by_what_is_in_it(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(b"a\n") + gzip.compress(b"b\n"))

    with opened(str(file)) as stream:
        assert list(lines_of(stream)) == [b"a\n", b"b\n"]


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-9], lambda whole: whole + b"junk"])
def test_of_a_compressed_log_that_is_spoilt_the_beginning_counts(
    tmp_path: Path, spoil: Any
) -> None:
    file = tmp_path / "log.gz"
    file.write_bytes(spoil(gzip.compress(b"a\n" * 10)))
    found = []
    with opened(str(file)) as stream, pytest.raises(NotReadable):  # noqa: PT012
        for each in lines_of(stream):
            found.append(each)  # noqa: PERF402 - what came before the failure is the point

    assert found == [b"a\n"] * 10


def test_an_empty_log_has_no_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    with opened(str(file)) as stream:
        assert list(lines_of(stream)) == []
