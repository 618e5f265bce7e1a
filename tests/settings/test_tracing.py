"""The settings of tracing."""

from typing import Any

import pytest

from sidecar.core.trace import Follow
from tests.settings.desk import Desk, changed

ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def tracing(**members: Any) -> dict[str, Any]:
    return changed(tracing={"endpoint": ENDPOINT, **members})


def test_without_the_section_nothing_is_traced(desk: Desk) -> None:
    assert desk.load(changed()).tracing is None


def test_an_endpoint_is_enough_and_persons_are_not_named(desk: Desk) -> None:
    section = desk.load(tracing()).tracing

    assert section is not None
    assert (section.ratio, section.follow, section.callers) == (0.01, Follow.TRUSTED, False)
    assert section.read_headers() == {}


def test_headers_are_read_from_a_file(desk: Desk) -> None:
    file = desk.write("headers", b"Authorization: Bearer s3cret\r\nX-Scope-OrgID:  a b \n")
    section = desk.load(tracing(headers_file=file)).tracing

    assert section is not None
    assert section.read_headers() == {"Authorization": "Bearer s3cret", "X-Scope-OrgID": "a b"}


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"A: b\n\nC: d", b"A B: c", b"A:", "A: \xe9".encode()]
)
def test_a_file_of_anything_else_is_refused_without_being_told(desk: Desk, content: bytes) -> None:
    section = desk.load(tracing(headers_file=desk.write("headers", content))).tracing

    assert section is not None
    with pytest.raises(ValueError, match=r"headers_file: line|expected a file") as refused:
        section.read_headers()
    assert "nonsense" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "127.0.0.1:4318",
        "grpc://127.0.0.1:4317",
        "http://127.0.0.1:4318",
        "http://127.0.0.1:4318/",
        "https://user:secret@a.example/v1/traces",
        "https://a.example/v1/traces?key=secret",
        "https:///v1/traces",
    ],
)
def test_what_is_no_endpoint_is_refused(desk: Desk, endpoint: str) -> None:
    problem = desk.the_problem(tracing(endpoint=endpoint))

    assert problem.startswith("tracing.endpoint ")
    assert "secret" not in problem


def test_secrets_are_not_sent_in_the_clear(desk: Desk) -> None:
    file = desk.write("headers", b"A: b")
    problem = desk.the_problem(
        tracing(endpoint="http://collector.example/v1/traces", headers_file=file)
    )

    assert "use https" in problem
    section = desk.load(tracing(endpoint="https://a.example/v1/traces", headers_file=file)).tracing
    assert section is not None
    assert section.read_headers() == {"A": "b"}


@pytest.mark.parametrize(
    "members",
    [{"ratio": 1.1}, {"ratio": -0.1}, {"max_per_second": 0}, {"follow": "some"}, {"queue": 63}],
)
def test_values_out_of_their_bounds_are_refused(desk: Desk, members: dict[str, Any]) -> None:
    assert desk.the_problem(tracing(**members)).startswith(f"tracing.{next(iter(members))} ")
