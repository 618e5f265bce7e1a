"""The chart: Helm finds it right, refuses wrong values, and renders what they mean.

What it has in common with the kustomizations is in ``test_kubernetes.py``.
"""

import json
import logging
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import helm_python
import pytest
import yaml
from typing_extensions import override

from sidecar import __version__
from tests.deploy.chart import (
    ALL,
    CHART,
    NAMESPACE,
    RELEASE,
    changed,
    rendered,
    texts,
    values,
)
from tests.deploy.cluster import Cluster, check
from tests.deploy.network import Outside, Pod
from tests.deploy.test_prometheus import PLACE as RULES

GATEWAY = Pod(NAMESPACE, {"app": "hoop-gateway"})
STRANGER = Pod(NAMESPACE, {"app": "stranger"})
KEYS_OF_THE_GATEWAY = (8009, 8010)


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


@pytest.mark.parametrize("name", ALL)
def test_an_api_server_would_take_it(name: str) -> None:
    resources = rendered(values(name)).resources

    assert resources
    for resource in resources:
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


@pytest.mark.parametrize("name", ["minimal", "everything"])
def test_the_gateway_is_closed_to_all_but_the_sidecar(name: str) -> None:
    cluster = rendered(values(name))
    network = cluster.network
    gateway = Pod("hoop" if name == "everything" else NAMESPACE, GATEWAY.labels)

    for port in KEYS_OF_THE_GATEWAY:
        assert network.passes(cluster.own, gateway, port)
        assert not network.passes(STRANGER, gateway, port)
        assert not network.passes(Pod("elsewhere", cluster.own.labels), gateway, port)
        assert not network.passes(Outside("203.0.113.7"), gateway, port)


def test_who_is_let_past_the_sidecar_is_named() -> None:
    network = rendered(values("everything")).network
    gateway, agent = Pod("hoop", GATEWAY.labels), Pod("hoop-agents", {})

    assert network.passes(agent, gateway, 8010)
    assert not network.passes(agent, gateway, 8009)


@pytest.mark.parametrize("name", ["with-gateway", "in-another-chart"])
def test_in_one_pod_the_gateways_ports_are_closed_and_its_ways_out_are_not(name: str) -> None:
    cluster = rendered(values(name))
    pod = cluster.own if name == "with-gateway" else GATEWAY

    for port in KEYS_OF_THE_GATEWAY:
        assert not cluster.network.passes(STRANGER, pod, port)
    assert cluster.network.passes(STRANGER, pod, 8080)
    assert cluster.network.passes(pod, Outside("203.0.113.7"), 5432)


def test_the_sidecar_goes_nowhere_but_where_it_has_to() -> None:
    cluster = rendered(values("everything"))
    sidecar, valkey = cluster.own, Pod("valkey", {"app": "valkey"})
    passes = cluster.network.passes

    assert passes(sidecar, valkey, 6379)
    assert passes(sidecar, valkey, 26379)
    assert passes(sidecar, Pod("tracing", {}), 4318)
    assert not passes(sidecar, valkey, 22)
    assert not passes(sidecar, STRANGER, 6379)
    assert not passes(sidecar, STRANGER, 443)
    # The cloud's own metadata, which hands out credentials.
    assert not passes(sidecar, Outside("169.254.169.254"), 443)
    assert not passes(sidecar, Outside("169.254.169.254"), 80)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ({"upstream": {"url": "http://api.example.com:8443"}}, 8443),
        ({"upstream": {"url": "https://api.example.com"}}, 443),
        ({"upstream": {"url": "http://a", "more_urls": ["http://b:81"]}}, 81),
        ({"upstream": None, "grpc": {"upstream": {"url": "grpc://h:8010"}}}, 8010),
        ({"accounts": {"url": "redis://valkey.example.com:6380/3"}}, 6380),
        ({"accounts": {"url": "redis+sentinel://a:1111,b:2222,c:3333/s/0"}}, 3333),
    ],
    ids=["a port", "https", "more", "gRPC", "Redis", "Sentinel"],
)
def test_the_ways_out_follow_the_settings(settings: dict[str, Any], port: int) -> None:
    cluster = rendered(changed("minimal", settings=settings, gateway={"podLabels": None}))

    assert cluster.network.passes(cluster.own, STRANGER, port)
    assert not cluster.network.passes(cluster.own, STRANGER, port + 1)


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
    fixed, scaled = rendered(values("minimal")), rendered(values("everything"))
    [target] = scaled.all("HorizontalPodAutoscaler")

    assert fixed.the("Deployment")["spec"]["replicas"] == 2
    assert "replicas" not in scaled.the("Deployment")["spec"]
    assert target["spec"]["scaleTargetRef"]["name"] == scaled.the("Deployment")["metadata"]["name"]
    [metric] = target["spec"]["metrics"]
    assert metric["containerResource"]["container"] == scaled.sidecar["name"]


def test_prometheus_gets_the_rules_and_the_job_that_they_ask_for() -> None:
    cluster = rendered(values("everything"))
    monitor, service = cluster.the("ServiceMonitor")["spec"], cluster.service("admin")
    [endpoint] = monitor["endpoints"]

    assert cluster.the("PrometheusRule")["spec"] == yaml.safe_load(
        (RULES / "rules.yaml").read_text()
    )
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "sidecar"
    assert endpoint["port"] == service["spec"]["ports"][0]["name"]
    assert endpoint["scheme"] == "https"


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


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        logging.getLogger(__name__).debug(format, *args)


@contextmanager
def listening() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def run_test(*arguments: str) -> tuple[int, str]:
    """Run what `helm test` runs."""
    pod = rendered(values("minimal")).the("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    [container] = pod["spec"]["containers"]
    _, *command = container["command"]
    assert len(container["args"]) == 3
    done = subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_helm_test_asks_the_sidecar_and_tries_the_gateway() -> None:
    cluster = rendered(values("minimal"))
    url, status, gateway = cluster.the("Pod")["spec"]["containers"][0]["args"]
    service = cluster.service("http")["metadata"]["name"]

    assert url == f"http://{service}.{NAMESPACE}:8080/api/userinfo"
    assert (status, gateway) == ("401", "http://hoop-gateway:8009")
    assert service == f"{RELEASE}-sidecar"


def test_helm_test_fails_where_the_gateway_can_be_reached_or_somebody_gets_in() -> None:
    with listening() as sidecar, socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()

        assert run_test(sidecar, "401", nobody)[0] == 0
        assert run_test(sidecar, "200", nobody)[0] == 1
        code, said = run_test(sidecar, "401", sidecar)
        assert code == 1
        assert "can be reached past the sidecar" in said
        assert run_test(nobody, "401")[0] != 0


def test_a_pod_of_the_test_is_none_of_the_sidecar() -> None:
    cluster: Cluster = rendered(values("minimal"))
    tester = Pod(NAMESPACE, cluster.the("Pod")["metadata"]["labels"])

    assert not cluster.network.passes(tester, GATEWAY, 8009)
    assert rendered(values("everything")).network.passes(
        tester, rendered(values("everything")).own, 8080
    )
