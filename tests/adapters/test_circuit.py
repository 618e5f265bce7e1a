"""A server that keeps failing is left alone, and found again by one question."""

from sidecar.adapters.circuit import Circuit


def broken(at: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(5):
        assert circuit.admits(at)
        circuit.failed(at)
    return circuit


def test_one_failure_is_nobodys_fault() -> None:
    circuit = Circuit()
    for _ in range(20):
        for _ in range(4):
            circuit.failed(0.0)
        assert circuit.admits(0.0)
        circuit.answered()


def test_five_in_a_row_are_the_servers_and_it_rests() -> None:
    circuit = broken()

    assert not circuit.admits(0.0)
    assert not circuit.admits(0.99)
    assert circuit.admits(1.0)


def test_one_question_at_a_time_finds_out_whether_it_is_back() -> None:
    circuit = broken()

    assert circuit.admits(1.0)
    assert not circuit.admits(1.0)
    circuit.answered()
    assert circuit.admits(1.0)


def test_each_rest_is_longer_up_to_ten_seconds() -> None:
    circuit, now = broken(), 0.0
    rests = []
    for _ in range(6):
        began = now
        while not circuit.admits(now):
            now += 0.5
        rests.append(now - began)
        circuit.failed(now)

    assert rests == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_whoever_asked_and_went_away_leaves_the_question_to_another() -> None:
    circuit = broken()
    assert circuit.admits(1.0)

    circuit.abandoned()

    assert circuit.admits(1.0)


def test_those_that_were_on_their_way_when_it_broke_do_not_lengthen_the_rest() -> None:
    circuit = broken()
    for _ in range(64):
        circuit.failed(0.5)

    assert circuit.admits(1.5)
