"""The model of one Redis holds what must hold for any fleet; small ones, so it costs little."""

from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.adapters.view_policy import ViewPolicy
from tests.bench.fleet_growth import Costs, Growth, demand, first_above, spread
from tests.bench.fleet_model import Fleet, Simulation
from tests.bench.fleet_tables import BEGIN, END, put

COSTS = Costs(
    turn=4e-6,
    ping=6e-6,
    role=6e-6,
    revision=6e-6,
    read=14e-6,
    push=4e-6,
    accept=15e-6,
    hello=12e-6,
    tracking=10e-6,
    config=7e-6,
    write=40e-6,
)


def slower(times: float) -> Costs:
    return Costs(*(times * getattr(COSTS, name) for name in COSTS.__slots__))


def test_a_run_can_be_repeated_and_depends_on_its_seed() -> None:
    first, again, other = (
        Simulation(Fleet(50), COSTS, seed).storm(0.5, 10.0) for seed in (1, 1, 2)
    )

    assert first == again
    assert first.live != other.live


def test_a_fleet_at_rest_beats_as_often_as_the_views_do_and_keeps_its_leases() -> None:
    out = Simulation(Fleet(20), COSTS).steady(2.0)

    # 10 PINGs and 8 ROLEs in a second, less what the way there and back takes.
    assert out.commands / (20 * 2.0) == pytest.approx(18, rel=0.03)
    assert (out.lapses, out.dead_seconds, out.timeouts) == (0, 0.0, 0)


def test_the_load_is_what_the_commands_cost_and_no_more_than_a_turn_each() -> None:
    out = Simulation(Fleet(20), COSTS).steady(2.0)

    work = out.commands * COSTS.ping
    assert work < out.busy <= work + out.commands * COSTS.turn + 1e-9


def test_a_push_reaches_all_one_after_the_other() -> None:
    out = Simulation(Fleet(200, writes=2), COSTS).steady(1.2)

    assert [len(heard) for heard in out.heard] == [200] * len(out.heard)
    for heard in out.heard:
        assert heard == sorted(heard)
        assert heard[-1] >= spread(200, COSTS)


def test_leases_lapse_where_redis_is_too_slow_to_prove_them() -> None:
    """A lease holds while two beats and an answer fit into ``max_staleness``."""
    slow = slower(2000)
    hurried = Simulation(Fleet(20), slow).steady(2.0)
    patient = Simulation(Fleet(20, ViewPolicy(max_staleness=10.0, heartbeat=2.0)), slow)

    assert demand(20, slow, ViewPolicy()) > 1
    assert hurried.dead_seconds > 0
    assert patient.steady(2.0, warm_up=5.0).dead_seconds == 0


def test_all_are_live_again_after_an_outage_and_not_before_two_beats_are_answered() -> None:
    out = Simulation(Fleet(100, cold=3), COSTS).storm(3.0, 10.0)

    assert len(out.live) == 100
    # Nine ways there and back: seven to be connected, and two proofs.
    assert out.live[0] >= 8 * 2 * 0.00025
    # One pause of the longest, and then it is quick.
    assert out.live[-1] < 1.2


def test_a_backlog_that_is_full_costs_those_that_are_dropped_the_time_to_connect() -> None:
    narrow = Simulation(Fleet(200, backlog=20), slower(20)).storm(0.0, 20.0)
    wide = Simulation(Fleet(200, backlog=1000, accepts=1000), slower(20)).storm(0.0, 20.0)

    assert narrow.dropped > 0
    assert wide.dropped == 0
    assert len(narrow.live) == len(wide.live) == 200
    assert narrow.live[-1] > 1.0 > wide.live[-1]


def test_who_has_waited_too_long_tries_again_and_the_late_answer_counts_for_nobody() -> None:
    out = Simulation(Fleet(100), slower(3000)).storm(0.0, 3.0)

    assert out.timeouts > 0
    assert len(out.live) < 100


def test_a_cost_grows_as_a_power_of_the_connections_and_never_falls() -> None:
    growth = Growth(((100, COSTS), (400, replace(COSTS, ping=12e-6, role=3e-6, turn=0.0))))

    assert growth.at(200).ping == pytest.approx(6e-6 * 2**0.5)
    assert growth.at(200).role == COSTS.role
    assert growth.at(200).turn == COSTS.turn
    assert growth.further(1600).ping == pytest.approx(24e-6)


def test_outside_what_was_measured_costs_are_as_at_its_edge() -> None:
    growth = Growth(((100, COSTS), (400, replace(COSTS, ping=12e-6))))

    assert growth.at(10) == COSTS
    assert growth.at(400).ping == growth.at(1600).ping == 12e-6
    assert growth.before(400).at(1600) == growth.before(400).further(1600) == COSTS


def test_the_end_is_the_first_number_that_is_above_the_bound() -> None:
    growth, policy = Growth(((100, COSTS),)), ViewPolicy()
    end = first_above(growth, 0.5, policy)

    assert demand(end - 1, COSTS, policy) <= 0.5 < demand(end, COSTS, policy)
    far = first_above(growth, 0.05)
    assert spread(far - 1, COSTS) <= 0.05 < spread(far, COSTS)


def test_only_the_marked_block_of_a_document_is_replaced(tmp_path: Path) -> None:
    document = tmp_path / "scale.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", "utf-8")

    put(["new"], document)
    put(["newer"], document)

    assert document.read_text("utf-8") == f"before\n{BEGIN}\n\nnewer\n\n{END}\nafter\n"


def test_a_document_without_the_block_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "scale.md"
    document.write_text("text\n", "utf-8")

    with pytest.raises(SystemExit, match="no block"):
        put(["new"], document)

    assert document.read_text("utf-8") == "text\n"
