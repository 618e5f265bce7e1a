"""``docs/metrics.md``: each metric by subject, with the alerts that watch it.

Names, labels and values are those of ``deploy/metrics.md``, which a test holds equal to the code.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.docs.pages.template import NONE, fill_in

ROOT = Path(__file__).parent.parent.parent.parent
TABLE = ROOT / "deploy" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"

_ROW = re.compile(r"\| `(sidecar_\w+)` \| (\w+) \| ([^|]*) \| (.*) \| (.*) \|")
_METRIC = re.compile(r"\bsidecar_[a-z0-9_]+")
_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|count|sum)$")
_RECORDED = re.compile(r"\bsidecar:[a-z0-9_:]+")

# A metric belongs to the first subject with the beginning of its name.
SUBJECTS = (
    ("Upstream", ("sidecar_upstream_",)),
    ("Decisions and requests", ("sidecar_decision", "sidecar_request", "sidecar_shadow_")),
    ("Clients and streams", ("sidecar_in_", "sidecar_conn", "sidecar_stream", "sidecar_grpc_")),
    ("Keys and tokens", ("sidecar_jwks_", "sidecar_introspection", "sidecar_status_list_")),
    (
        "Accounts",
        ("sidecar_account_", "sidecar_last_use_", "sidecar_sync_", "sidecar_security_events_"),
    ),
    ("Operators", ("sidecar_admin_", "sidecar_audit_")),
    ("The process, and what else there is", ("sidecar_",)),
)


class Metric(NamedTuple):
    """A row of the table, and the alerts of the rules that ask for it."""

    name: str
    kind: str
    labels: str
    meaning: str
    alert_on: str
    alerts: tuple[str, ...]


def metrics_page() -> str:
    """Return the page."""
    intro, _, rest = TABLE.read_text("utf-8").partition("| metric |")
    outro = "\n".join(line for line in rest.splitlines()[1:] if not line.startswith("|"))
    sections = []
    found = list(metrics())
    for subject, beginnings in SUBJECTS:
        mine = [each for each in found if each.name.startswith(beginnings)]
        found = [each for each in found if each not in mine]
        sections += [f"## {subject}", *map(_entry, mine)]
    made = "\n\n".join(sections)
    return fill_in("metrics", intro=intro.partition("\n\n")[2], sections=made, outro=outro)


def metrics() -> Iterator[Metric]:
    """Return each metric of the table, in its order."""
    watching = _alerts()
    for line in TABLE.read_text("utf-8").splitlines():
        if row := _ROW.fullmatch(line):
            name, kind, labels, meaning, alert_on = row.groups()
            alerts = tuple(alert for alert, asked in watching.items() if name in asked)
            yield Metric(name, kind, labels, meaning, alert_on, alerts)


def _entry(metric: Metric) -> str:
    labels = "" if metric.labels == NONE else f", by {metric.labels}"
    parts = [f"### {metric.name}", f"A {metric.kind}{labels}. {metric.meaning}"]
    if metric.alert_on != NONE:
        parts.append(f"To alert on: {metric.alert_on}")
    if metric.alerts:
        place = "../deploy/prometheus/runbook.md"
        links = ", ".join(f"[{each}]({place}#{each.lower()})" for each in metric.alerts)
        parts.append(f"In the rules: {links}.")
    return "\n\n".join(parts)


def _alerts() -> dict[str, frozenset[str]]:
    """Return the metrics that each alert asks for, by way of recorded ones too."""
    rules = [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]
    recorded = {rule["record"]: _asked(rule["expr"]) for rule in rules if "record" in rule}
    return {
        rule["alert"]: _asked(rule["expr"]).union(
            *(recorded[name] for name in _RECORDED.findall(rule["expr"]))
        )
        for rule in rules
        if "alert" in rule
    }


def _asked(expression: str) -> frozenset[str]:
    return frozenset(_OF_A_HISTOGRAM.sub("", name) for name in _METRIC.findall(expression))
