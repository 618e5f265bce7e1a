"""The chart: Helm finds it right, refuses wrong values, and renders what they mean.

What it has in common with the kustomizations is in ``test_kubernetes.py``.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from sidecar import __version__
from sidecar.app.checking import problems_of
from sidecar.settings import SettingsProblems
from tests.deploy.chart import (
    ALL,
    CHART,
    NAMESPACE,
    changed,
    example,
    rendered,
    texts,
    values,
)
from tests.deploy.cluster import check
from tests.deploy.network import Pod
from tests.deploy.test_prometheus import PLACE as RULES

GATEWAY = Pod(NAMESPACE, {"app": "hoopgateway"})


@pytest.mark.parametrize("name", ALL)
def test_helm_finds_nothing_wrong_with_it(name: str) -> None:
    report = helm_python.lint(str(CHART), values(name), strict=True)

    assert report["errors"] == []
    assert {each["error"] for each in report["messages"]} <= {"icon is recommended"}


def test_helm_would_find_a_broken_template(tmp_path: Path) -> None:
    copy = shutil.copytree(CHART, tmp_path / "sidecar")
    (copy / "templates" / "pdb.yaml").write_text("kind: {{ .Values.nobody.knows }}\n")

    report = helm_python.lint(str(copy), values("minimal"), strict=True)

    assert any("pdb.yaml" in error for error in report["errors"])


def test_an_api_server_would_take_what_there_is_without_pods_of_its_own() -> None:
    for resource in example("in-another-chart").resources:
        check(resource)


def test_without_settings_there_is_nothing_to_install() -> None:
    with pytest.raises(helm_python.HelmError, match="issuers"):
        texts({})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"replica": 3}, "replica"),
        ({"mode": "daemonset"}, "mode"),
        ({"replicas": "two"}, "replicas"),
        ({"image": {"digest": "sha256:short"}}, "digest"),
        ({"networkPolicy": {"enable": True}}, "enable"),
        ({"settings": {"issuers": []}}, "issuers"),
        ({"settings": {"accounts": {"url": "redis://h/0", "password": "x"}}}, "password"),
        ({"settings": {"accounts": {"url": "redis://user:secret@h/0"}}}, "url"),
        ({"settings": {"admin": {"revocation_clients": [{"secret": "x" * 16}]}}}, "secret"),
        ({"secrets": [{"name": "redis", "value": "x"}]}, "value"),
        # Each of these two would close nobody's pods, and say nothing.
        ({"gateway": {"podLabels": {"app": ""}}}, "podLabels"),
        ({"mode": "container", "gateway": {"namespace": "hoop"}}, "gateway.namespace"),
    ],
    ids=lambda given: json.dumps(given) if isinstance(given, dict) else "",
)
def test_wrong_values_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(helm_python.HelmError, match=named):
        texts(changed("minimal", **wrong))


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"admin": {"port": 9090, "host": "127.0.0.1"}}, "set it to 0.0.0.0"),
        ({"listen": {"host": "127.0.0.1"}}, "nobody could come in"),
    ],
    ids=["admin", "doors"],
)
def test_listening_on_loopback_alone_is_refused(settings: dict[str, Any], remedy: str) -> None:
    with pytest.raises(helm_python.HelmError, match=remedy):
        texts(changed("minimal", settings=settings))


def test_every_value_is_in_the_schema_and_has_a_default_there() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(known: dict[str, Any], given: dict[str, Any], where: str) -> None:
        assert set(known["properties"]) - {"global"} == set(given), where
        for name, each in known["properties"].items():
            if name not in {"settings", "global", "resources"} and each.get("properties"):
                assert each["additionalProperties"] is False
                compare(each, given[name], f"{where}.{name}")

    compare(schema, defaults, "values")
    assert schema["additionalProperties"] is False


def test_its_version_of_the_program_is_this_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["appVersion"] == __version__


def test_a_door_on_loopback_is_no_port_of_the_pod() -> None:
    asked = changed("minimal", settings={"forward_auth": {"dialect": "nginx"}})
    open_to_all = changed("minimal", settings={"forward_auth": {"dialect": "nginx", "host": "::"}})

    names = [
        {port["name"] for port in rendered(each).sidecar["ports"]} for each in (asked, open_to_all)
    ]
    assert names == [{"http", "admin"}, {"http", "admin", "forward-auth"}]


def test_new_settings_replace_the_pods_and_other_values_do_not() -> None:
    def checksum(given: dict[str, Any]) -> str:
        metadata = rendered(given).the("Deployment")["spec"]["template"]["metadata"]
        return str(metadata["annotations"]["checksum/settings"])

    before = checksum(values("minimal"))
    assert checksum(changed("minimal", replicas=5)) == before
    assert checksum(changed("minimal", settings={"workers": 2})) != before


def test_large_numbers_in_the_settings_stay_numbers(tmp_path: Path) -> None:
    """Helm reads each number as a float, and writes some of those as 1e+06, which is a text."""
    given = changed("minimal", settings={"keys": {"max_bytes": 16_777_216}, "workers": 64})

    assert rendered(given).settings(tmp_path).keys.max_bytes == 16_777_216


def test_the_gateway_ends_before_the_sidecar_and_both_have_the_time() -> None:
    given = values("with-gateway")
    pod = rendered(given).pod
    [gateway], [sidecar] = pod["containers"], pod["initContainers"]
    listen = given["settings"]["listen"]

    # A sidecar container: it is told to end when the others have.
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("sidecar", "Always")
    assert gateway["lifecycle"]["preStop"]["sleep"]["seconds"] == listen["drain_seconds"]
    takes = (
        2 * listen["drain_seconds"]
        + listen["shutdown_seconds"]
        + given["gateway"]["terminationSeconds"]
    )
    assert pod["terminationGracePeriodSeconds"] > takes


def test_another_chart_has_the_sidecar_in_its_pods(tmp_path: Path) -> None:
    """By the very lines of docs/kubernetes.md."""
    document = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    snippet = document.split("<!-- the sidecar in another chart's pod -->\n```yaml\n")[1]
    parent = tmp_path / "gateway"
    (parent / "templates").mkdir(parents=True)
    shutil.copytree(CHART, parent / "charts" / "sidecar")
    (parent / "Chart.yaml").write_text("{apiVersion: v2, name: gateway, version: 0.1.0}")
    (parent / "templates" / "deployment.yaml").write_text(snippet.split("```")[0])

    cluster = rendered({"sidecar": values("in-another-chart")}, parent)

    for resource in cluster.resources:
        check(resource)
    [container] = cluster.pod["initContainers"]
    assert (container["name"], container["restartPolicy"]) == ("sidecar", "Always")
    assert cluster.own.labels == GATEWAY.labels
    assert all(selected for _, selected in cluster.selecting())
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in cluster.pod["volumes"]}


def test_only_one_of_replicas_and_autoscaling_says_how_many() -> None:
    fixed, scaled = example("minimal"), example("everything")
    [target] = scaled.all("HorizontalPodAutoscaler")

    assert fixed.the("Deployment")["spec"]["replicas"] == 2
    assert "replicas" not in scaled.the("Deployment")["spec"]
    assert target["spec"]["scaleTargetRef"]["name"] == scaled.the("Deployment")["metadata"]["name"]
    [metric] = target["spec"]["metrics"]
    assert metric["containerResource"]["container"] == scaled.sidecar["name"]


def test_prometheus_gets_the_rules_and_the_job_that_they_ask_for() -> None:
    cluster = example("everything")
    monitor, service = cluster.the("ServiceMonitor")["spec"], cluster.service("admin")
    [endpoint] = monitor["endpoints"]

    assert cluster.the("PrometheusRule")["spec"] == yaml.safe_load(
        (RULES / "rules.yaml").read_text()
    )
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "sidecar"
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["scheme"] == "https"


def test_grafana_gets_the_dashboard() -> None:
    maps = example("everything").all("ConfigMap")
    [found] = [each for each in maps if each["metadata"]["labels"].get("grafana_dashboard") == "1"]

    given = json.loads((RULES.parent / "grafana" / "sidecar.json").read_text())
    assert json.loads(found["data"]["sidecar.json"]) == given


def test_settings_that_helm_cannot_judge_are_refused_by_the_sidecars_own_code(
    tmp_path: Path,
) -> None:
    unknown = rendered(changed("minimal", settings={"worker": 2}))
    unmounted = rendered(changed("everything", secrets=[]))

    with pytest.raises(SettingsProblems, match="did you mean workers"):
        unknown.settings(tmp_path)
    with pytest.raises(AssertionError, match="nothing is mounted at /run/secrets"):
        unmounted.settings(tmp_path)


def test_the_examples_of_the_document_are_ones_that_render(tmp_path: Path) -> None:
    document = (CHART.parents[2] / "docs" / "kubernetes.md").read_text()
    own = yaml.safe_load(document.split("```yaml\n# values.yaml\n")[1].split("```")[0])
    [with_gateway] = [
        yaml.safe_load(block.split("```")[0])
        for block in document.split("```yaml\n")[1:]
        if block.startswith("mode: container")
    ]
    issuers = {key: own["settings"][key] for key in ("preset", "issuers", "accounts")}
    with_gateway["settings"] |= issuers
    with_gateway["secrets"] = own["secrets"]

    for given in (own, with_gateway):
        cluster = rendered(given)
        for resource in cluster.resources:
            check(resource)
        assert problems_of(cluster.settings(tmp_path)) == []
    for link in re.findall(r"\]\((\.\./[^)]+)\)", document):
        assert (CHART.parents[2] / "docs" / link).exists(), link


@pytest.mark.parametrize(
    ("name", "sections", "is_warned"),
    [
        ("minimal", {}, False),
        ("minimal", {"gateway": {"podLabels": None}}, True),
        ("with-gateway", {}, False),
        ("with-gateway", {"networkPolicy": {"enabled": False}}, True),
    ],
)
def test_who_leaves_the_gateway_open_is_told_so(
    name: str, sections: dict[str, Any], *, is_warned: bool
) -> None:
    notes = texts(changed(name, **sections))["sidecar/templates/NOTES.txt"]

    assert ("can be reached directly is not protected" in " ".join(notes.split())) == is_warned
