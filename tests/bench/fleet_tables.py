"""The tables of the fleet that is simulated: at rest, after an outage, and where it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidecar.adapters.view_policy import ViewPolicy
from tests.bench.fleet_growth import Costs, Growth, demand, first_above
from tests.bench.fleet_model import Fleet, Outcome, Simulation

BEGIN, END = "<!-- fleet.py begins -->", "<!-- fleet.py ends -->"
NUMBERS = (10, 100, 1000, 3000, 10_000)
TODAY = ViewPolicy()
# Four times the defaults: the push is as fast as ever, the bound for what is not heard is 2 s.
PATIENT = ViewPolicy(max_staleness=2.0, heartbeat=0.5)
_GIVE_UP = 20.0
_COLD = 20
_OUTAGE = 3.0
_LAPSE_STEPS = (3000, 4000, 5000, 6000, 7000, 8000, 10_000, 14_000, 20_000)


@dataclass(frozen=True, slots=True)
class Setup:
    """A way to run it: what of the fleet and of Redis is other than by default."""

    name: str
    policy: ViewPolicy = TODAY
    backlog: int = 511
    accepts: int = 10
    spread: float = 0.0

    def fleet(self, views: int) -> Fleet:
        return Fleet(
            views,
            self.policy,
            cold=_COLD,
            backlog=self.backlog,
            accepts=self.accepts,
            spread=self.spread,
        )


AS_IT_IS = Setup("by default")
SETUPS = (
    AS_IT_IS,
    Setup("`reconnect_spread` 5", spread=5.0),
    Setup("lease of 2 s", PATIENT),
    Setup("lease of 2 s, 1,000 accepts a turn", PATIENT, accepts=1000),
    Setup("the same, `tcp-backlog` 16384", PATIENT, 16_384, 1000),
    Setup("the same, `reconnect_spread` 5", PATIENT, 16_384, 1000, 5.0),
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown; all columns but the first are figures."""
    rule = ["---"] + ["---:" for _ in head[1:]]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def share(ordered: Sequence[float], part: float) -> float:
    """Return the value below which ``part`` of ``ordered`` is."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def simulated_load(views: int, costs: Costs) -> float:
    return Simulation(Fleet(views), costs).steady(1.0).load


def dead_share(outcome: Outcome, views: int) -> float:
    """Return in how much of the time a view had no lease, on average."""
    return outcome.dead_seconds / (views * (outcome.until - outcome.since))


def fleet_table(growth: Growth) -> list[str]:
    rows = []
    for policy, numbers in ((TODAY, NUMBERS), (PATIENT, NUMBERS[-1:])):
        for views in numbers:
            costs = growth.at(views)
            out = Simulation(Fleet(views, policy, writes=2), costs).steady(2.0)
            heard = sorted(each for one in out.heard for each in one)
            rows.append(
                [
                    f"{views:,}" + ("" if policy is TODAY else " (`max_staleness` 2)"),
                    f"{views * (1 / policy.heartbeat + 4 / policy.max_staleness):,.0f}",
                    f"{demand(views, costs, policy) * 100:.1f} %",
                    f"{out.load * 100:.1f} %",
                    *(f"{share(heard, part) * 1000:.1f}" for part in (0.5, 0.99, 1.0)),
                    f"{dead_share(out, views) * 100:.1f} %",
                ]
            )
    head = ["views", "beats/s wanted", "core they ask for", "core, with 2 writes/s"]
    heard_head = ["heard by half, ms", "by 99 %, ms", "by the last, ms"]
    return table([*head, *heard_head, "time without lease"], rows)


def live_again(live: Sequence[float], views: int, part: float) -> str:
    needed = max(1, round(views * part))
    return f"{live[needed - 1]:.2f}" if len(live) >= needed else f"not in {_GIVE_UP:g}"


def storm_table(growth: Growth) -> list[str]:
    rows = []
    for setup in SETUPS:
        for views in NUMBERS if setup is AS_IT_IS else NUMBERS[2:]:
            costs = growth.at(views)
            for outage in (0.0, _OUTAGE):
                out = Simulation(setup.fleet(views), costs).storm(outage, _GIVE_UP)
                rows.append(
                    [
                        setup.name,
                        f"{views:,}",
                        "cut" if not outage else f"{outage:g} s",
                        *(live_again(out.live, views, part) for part in (0.5, 0.99, 1.0)),
                        f"{out.dropped:,}",
                        f"{out.timeouts:,}",
                    ]
                )
    head = ["how", "views", "away for", "50 % live, s", "99 %, s", "all, s"]
    return table([*head, "SYNs dropped", "time limits passed"], rows)


def named(number: int) -> str:
    return "over 20,000" if number >= 20_000 else f"{number:,}"


def first_lapse(growth: Growth, policy: ViewPolicy) -> str:
    """Return the first of some numbers of views at which the lease is lost to the load alone."""
    for views in _LAPSE_STEPS:
        out = Simulation(Fleet(views, policy), growth.at(views)).steady(1.0)
        if out.dead_seconds > 0:
            return f"{views:,}"
    return "over 20,000"


def ends_table(growth: Growth) -> list[str]:
    ways = (("by default", TODAY), ("`max_staleness` 2, `heartbeat` 0.5", PATIENT))
    rows = [
        [
            name,
            named(first_above(growth, 0.5, policy)),
            named(first_above(growth, 0.8, policy)),
            named(first_above(growth, 0.05)),
            first_lapse(growth, policy),
        ]
        for name, policy in ways
    ]
    head = ["views, with", "beats are 50 % of a core", "80 %", "a push takes 50 ms to the last"]
    return table([*head, "leases lapse by load (of steps tried)"], rows)


def put(lines: Sequence[str], document: Path) -> None:
    """Replace what is between the marks of a document."""
    before, _, rest = document.read_text("utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{document} has no block of this program")
    block = "\n".join(lines)
    document.write_text(f"{before}{BEGIN}\n\n{block}\n\n{mark}{after}", "utf-8")
