"""How many connections the descriptors suffice for."""

import resource
from collections.abc import Iterator

import pytest

from sidecar.app.descriptors import connections_within, raise_limit


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("descriptors", "wanted", "to_upstream", "possible"),
    [
        (1024, 100, 100, 100),
        (256, 10_000, 1000, 104),
        (256, 10_000, 8, 200),
        (256, 10_000, 0, 208),
        (40, 10_000, 1000, 1),
    ],
)
def test_some_are_kept_for_what_must_not_fail_and_half_of_the_rest_for_upstream(
    limits: tuple[int, int], descriptors: int, wanted: int, to_upstream: int, possible: int
) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, limits[1]))

    assert connections_within(wanted, to_upstream) == possible


def test_the_limit_is_raised_to_what_may_be_had(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))

    raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (limits[1], limits[1])


def test_a_limit_that_cannot_be_raised_stays(limits: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))

    raise_limit()

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == limits[1]
