"""Who is signed in, and for how long."""

from sidecar.admin.console.sessions import Sessions
from tests.fakes.clock import FakeClock


def test_a_session_is_found_by_its_name_alone_and_its_secrets_are_not_shown() -> None:
    sessions = Sessions(FakeClock())
    name, session = sessions.begin("admin secret", ("Bearer hidden",))

    assert sessions.find(name) is session
    assert sessions.find(name + "x") is None
    assert sessions.find("") is None
    assert "hidden" not in repr(session)
    assert session.csrf not in repr(session)
    assert len(name) >= 43


def test_each_session_has_a_name_and_a_token_of_its_own() -> None:
    sessions = Sessions(FakeClock())
    (first, one), (second, two) = (sessions.begin("somebody", ()) for _ in range(2))

    assert first != second
    assert one.csrf != two.csrf


def test_it_ends_when_it_is_idle_and_using_it_puts_that_off() -> None:
    clock = FakeClock()
    sessions = Sessions(clock, idle_seconds=10, longest_seconds=100)
    name, _ = sessions.begin("somebody", ())

    clock.advance(9)
    assert sessions.find(name) is not None
    clock.advance(9)
    assert sessions.find(name, touch=False) is not None
    clock.advance(1)
    assert not sessions.is_anybody()
    assert sessions.find(name) is None


def test_it_ends_after_a_day_however_busy() -> None:
    clock = FakeClock()
    sessions = Sessions(clock, idle_seconds=10, longest_seconds=30)
    name, _ = sessions.begin("somebody", ())
    for _ in range(5):
        clock.advance(5)
        assert sessions.find(name) is not None
    clock.advance(5)
    assert sessions.find(name) is None


def test_who_signs_out_is_out() -> None:
    sessions = Sessions(FakeClock())
    name, _ = sessions.begin("somebody", ())
    sessions.end(name)
    sessions.end(name)

    assert sessions.find(name) is None
    assert not sessions.is_anybody()


def test_where_there_are_too_many_the_one_that_was_unused_for_longest_ends() -> None:
    sessions = Sessions(FakeClock(), most=2)
    (first, _), (second, _) = sessions.begin("a", ()), sessions.begin("b", ())
    sessions.find(first)
    third, _ = sessions.begin("c", ())

    assert [sessions.find(each) is not None for each in (first, second, third)] == [
        True,
        False,
        True,
    ]
