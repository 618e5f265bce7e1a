"""The chart, rendered by Helm itself."""

import functools
from pathlib import Path
from typing import Any

import helm_python
import yaml

from tests.deploy.cluster import Cluster

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "sidecar"
NAMESPACE = "access"
RELEASE = "a"
WITH_PODS = ("minimal", "everything", "with-gateway")
ALL = (*WITH_PODS, "in-another-chart")

Values = dict[str, Any]


def values(name: str) -> Values:
    """Return one of the chart's own examples."""
    read: Values = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return read


def texts(given: Values, chart: Path = CHART) -> dict[str, str]:
    """Return what Helm renders, by the template's path."""
    with helm_python.Chart.load(chart) as loaded:
        return loaded.render(given, name=RELEASE, namespace=NAMESPACE)


def rendered(given: Values, chart: Path = CHART) -> Cluster:
    """Return the resources that Helm would apply."""
    documents = [
        document
        for path, text in texts(given, chart).items()
        if not path.endswith(".txt")
        for document in yaml.safe_load_all(text)
    ]
    return Cluster([each for each in documents if each is not None], NAMESPACE)


@functools.cache
def example(name: str) -> Cluster:
    """Return the resources of one of the chart's own examples; they are not to be changed."""
    return rendered(values(name))


def changed(name: str, **sections: Any) -> Values:
    """Return an example with other sections; a mapping is put over the one that is there."""
    given = values(name)
    for section, value in sections.items():
        before = given.get(section)
        both = isinstance(before, dict) and isinstance(value, dict)
        given[section] = {**before, **value} if both and before else value
    return given
