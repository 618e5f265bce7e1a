"""The dashboard for Grafana: whole, laid out, and of metrics that exist.

Grafana itself is in no package registry that the tests can use. That each query is answered by a
real Prometheus is tested in ``tests/e2e/test_prometheus.py``; the file's shape here.
"""

import json
import re
from itertools import combinations
from typing import Any

import pytest

from tests.deploy.test_prometheus import PLACE, documented

FILE = PLACE.parent / "grafana" / "sidecar.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
WIDTH = 24
_METRIC = re.compile(r"\bsidecar_[a-z0-9_]+")
_OF_A_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def queries() -> list[tuple[str, str]]:
    """Return each query with the name of its panel."""
    return [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]] + [
        (each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]
    ]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )


@pytest.mark.parametrize(("title", "query"), queries())
def test_a_query_asks_for_metrics_that_there_are(title: str, query: str) -> None:
    asked = {_OF_A_HISTOGRAM.sub("", name) for name in _METRIC.findall(query)}

    assert asked, title
    assert asked <= documented()


@pytest.mark.parametrize(("title", "query"), queries())
def test_a_query_keeps_to_the_job_and_the_instances_that_were_chosen(
    title: str, query: str
) -> None:
    chosen = re.findall(r'sidecar_\w+\{job="\$job", instance=~"\$instance"', query)

    assert len(chosen) == len(_METRIC.findall(query)), title


def test_what_a_query_leaves_open_the_dashboard_asks_for() -> None:
    used = set(re.findall(r"\$\{?([a-z]\w*)", FILE.read_text()))

    assert used == {each["name"] for each in DASHBOARD["templating"]["list"]}


def test_each_panel_has_a_place_of_its_own() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]

    assert all(place["x"] + place["w"] <= WIDTH for place in places)
    assert not any(overlap(one, other) for one, other in combinations(places, 2))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_places_that_would_overlap_are_seen() -> None:
    assert overlap({"x": 0, "y": 0, "w": 8, "h": 8}, {"x": 7, "y": 7, "w": 8, "h": 8})
    assert not overlap({"x": 0, "y": 0, "w": 8, "h": 8}, {"x": 8, "y": 0, "w": 8, "h": 8})
