"""The rules for Prometheus: of metrics that exist, each alert tested and in the runbook.

``promtool`` (Debian: prometheus) runs ``rules_test.yaml`` over them, where it is installed.
"""

import re
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import yaml

from tests.e2e.proxies.programs import find_program

PLACE = Path(__file__).parents[2] / "deploy" / "prometheus"
_METRIC = re.compile(r"\bsidecar_[a-z0-9_]+")
_OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PLACE / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def documented() -> set[str]:
    return set(_METRIC.findall((PLACE.parent / "metrics.md").read_text()))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """Which the code has is tested with metrics.md (``tests/observability``)."""
    asked = {_OF_A_HISTOGRAM.sub("", name) for name in _METRIC.findall(rule["expr"])}
    recorded = {each["record"] for each in rules() if "record" in each}

    assert asked <= documented()
    assert set(re.findall(r"sidecar:\w+:\w+", rule["expr"])) <= recorded
    assert asked or "sidecar:" in rule["expr"] or rule["expr"].startswith("up{")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    runbook = (PLACE / "runbook.md").read_text()

    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["runbook"] == f"runbook.md#{alert['alert'].lower()}"
    assert f"\n## {alert['alert']}\n" in runbook


def test_every_alert_is_tested_and_the_runbook_has_no_other() -> None:
    names = {alert["alert"] for alert in alerts()}
    tests = yaml.safe_load((PLACE / "rules_test.yaml").read_text())["tests"]

    tested = dict.fromkeys(test["name"] for test in tests)  # some in more than one way
    assert list(tested) == [alert["alert"] for alert in alerts()]
    for test in tests:
        quiet, firing = test["alert_rule_test"]
        assert quiet["alertname"] == firing["alertname"] == test["name"]
        assert "exp_alerts" not in quiet
        assert firing["exp_alerts"]
    assert set(re.findall(r"^## (\w+)$", (PLACE / "runbook.md").read_text(), re.MULTILINE)) == names


@pytest.mark.parametrize(
    "arguments",
    [("test", "rules", "rules_test.yaml"), ("check", "config", "scrape.yaml")],
    ids=" ".join,
)
def test_promtool_finds_them_right(arguments: tuple[str, ...]) -> None:
    promtool = find_program("promtool", "Debian: prometheus")
    command = [promtool, *arguments]
    done = run(command, cwd=PLACE, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
