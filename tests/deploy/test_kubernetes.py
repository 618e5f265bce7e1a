"""What the chart and the kustomizations have in common: what would be applied is right and closed.

Kubernetes' own schemas say what it takes, those of two versions; what the parts mean to each other
is said here. Nothing is applied anywhere: that takes a cluster.
"""

from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from pydantic import ValidationError

from sidecar.app.checking import problems_of
from sidecar.app.doors import doors_of
from sidecar.app.process import _SPARE_SECONDS
from sidecar.settings import Settings
from tests.deploy import chart, kustomization
from tests.deploy.cluster import (
    DOCKERFILE,
    VERSIONS,
    Cluster,
    Resource,
    check,
    environment_of_the_image,
    has_schemas_of,
)
from tests.deploy.network import Outside, Pod

STRANGER = Pod("elsewhere", {"app": "stranger"})
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})


@pytest.fixture(scope="module", params=[*chart.WITH_PODS, *kustomization.ALL])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    name = request.param
    if name in kustomization.ALL:
        return kustomization.built(name)
    return chart.example(name)


@pytest.fixture
def settings(cluster: Cluster, tmp_path: Path) -> Settings:
    return cluster.settings(tmp_path)


def ports_of(settings: Settings) -> set[int]:
    doors = {door.port for door in doors_of(settings)}
    return doors | ({settings.events.port} if settings.events is not None else set())


def test_the_schemas_are_those_of_the_versions_that_are_named() -> None:
    assert all(has_schemas_of(version) for version in VERSIONS)


def test_an_api_server_would_take_it(cluster: Cluster) -> None:
    for resource in cluster.resources:
        check(resource)


def test_an_api_server_would_refuse_a_field_that_is_not(cluster: Cluster) -> None:
    wrong = deepcopy(cluster.the("PodDisruptionBudget"))
    wrong["spec"]["maxUnavailible"] = wrong["spec"].pop("maxUnavailable")

    with pytest.raises(kubernetes_validate.ValidationError, match="maxUnavailible"):
        check(wrong)


def set_in(resource: Resource, place: str, value: object) -> Resource:
    """Return a copy with another value; the place's parts are names, and numbers of entries."""
    changed = deepcopy(resource)
    part: Any = changed
    *way, last = [int(each) if each.isdigit() else each for each in place.split("/")]
    for each in way:
        part = part[each]
    part[last] = value
    return changed


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("Deployment", "spec/template/spec/containers/0/securityContext/readOnlyRoot", True),
        ("Deployment", "spec/template/spec/containers/0/ports/0/containerPort", "web"),
        ("Deployment", "spec/template/spec/containers/0/name", None),
        ("Deployment", "spec/strategy", {"maxSurge": 1}),
        ("HorizontalPodAutoscaler", "spec/metrics/0/containerResource/container", None),
        ("Pod", "spec/containers/0/volumeMounts", [{"name": "tmp"}]),
    ],
)
def test_an_api_server_would_refuse_it_deep_inside(kind: str, place: str, value: object) -> None:
    resource = chart.example("everything").the(kind)

    with pytest.raises(kubernetes_validate.ValidationError):
        check(set_in(resource, place, value))


@pytest.mark.parametrize(
    ("kind", "place", "value"),
    [
        ("ServiceMonitor", "spec/endpoints/0/intervals", "15s"),
        ("ServiceMonitor", "spec/endpoints/0/interval", 15),
        ("PrometheusRule", "spec/groups/0/rules/0/expr", None),
        ("PrometheusRule", "spec/rules", []),
    ],
)
def test_prometheus_operator_would_refuse_it(kind: str, place: str, value: object) -> None:
    resource = chart.example("everything").the(kind)

    with pytest.raises(ValidationError):
        check(set_in(resource, place, value))


def test_the_settings_are_ones_with_which_the_sidecar_starts(settings: Settings) -> None:
    assert problems_of(settings) == []


def test_what_selects_means_the_pods(cluster: Cluster) -> None:
    found = [*cluster.selecting()]

    assert [kind for kind, _ in found] == ["Service"] * 2 + ["Deployment", "PodDisruptionBudget"]
    assert all(selected for _, selected in found)


def test_every_port_of_the_settings_is_one_of_the_container_and_of_a_service(
    cluster: Cluster, settings: Settings
) -> None:
    ports = {each["name"]: each["containerPort"] for each in cluster.sidecar["ports"]}
    admin = ports.pop("admin")
    served = {
        (each["name"], each["port"], each["targetPort"])
        for each in cluster.service("http")["spec"]["ports"]
    }

    assert admin == settings.admin.port
    assert set(ports.values()) == ports_of(settings)
    assert served == {(name, port, port) for name, port in ports.items()}
    [shown] = cluster.service("admin")["spec"]["ports"]
    assert (shown["port"], shown["targetPort"]) == (admin, admin)


def test_the_kubelet_asks_where_the_sidecar_answers(cluster: Cluster, settings: Settings) -> None:
    probes = {
        name: cluster.sidecar[f"{name}Probe"] for name in ("startup", "liveness", "readiness")
    }
    scheme = "HTTP" if settings.admin.tls is None else "HTTPS"

    # Only /livez ends a container: one that waits for Redis would lose its streams for nothing.
    assert {name: probe["httpGet"]["path"] for name, probe in probes.items()} == {
        "startup": "/livez",
        "liveness": "/livez",
        "readiness": "/readyz",
    }
    for probe in probes.values():
        assert probe["httpGet"]["port"] == "admin"
        assert probe["httpGet"].get("scheme", "HTTP") == scheme
    assert settings.admin.host == "0.0.0.0"  # noqa: S104 - the pod's own address


def test_a_pod_is_given_the_time_that_it_takes_to_end(cluster: Cluster, settings: Settings) -> None:
    listen = settings.listen
    takes = listen.drain_seconds + listen.shutdown_seconds + _SPARE_SECONDS

    assert cluster.pod["terminationGracePeriodSeconds"] > takes


def test_the_sidecar_runs_with_no_more_than_it_needs(cluster: Cluster) -> None:
    user = int(DOCKERFILE.read_text().split("\nUSER ")[1].split(":")[0])

    assert cluster.sidecar["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert cluster.pod["automountServiceAccountToken"] is False
    assert cluster.the("ServiceAccount")["automountServiceAccountToken"] is False
    assert cluster.pod["serviceAccountName"] == cluster.the("ServiceAccount")["metadata"]["name"]
    assert cluster.pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(cluster.pod)


def test_it_asks_for_what_was_measured_and_has_no_limit_of_cpu(cluster: Cluster) -> None:
    resources = cluster.sidecar["resources"]

    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def test_each_mount_is_a_volume_of_the_pod_and_tmp_can_be_written(cluster: Cluster) -> None:
    mounts = {each["name"]: each for each in cluster.sidecar["volumeMounts"]}
    volumes = {each["name"]: each for each in cluster.pod["volumes"]}

    assert set(mounts) == set(volumes)
    assert [
        name
        for name, mount in mounts.items()
        if not mount.get("readOnly")
        and not {"emptyDir", "persistentVolumeClaim"} & set(volumes[name])
    ] == []
    assert [mount["mountPath"] for mount in mounts.values()].count("/tmp") == 1  # noqa: S108


def test_the_command_is_the_images_own(cluster: Cluster) -> None:
    [command] = [line for line in DOCKERFILE.read_text().splitlines() if line.startswith("CMD [")]

    assert str(cluster.sidecar["args"]).replace("'", '"') == command.removeprefix("CMD ")
    assert "command" not in cluster.sidecar
    assert {each["name"] for each in cluster.sidecar["env"]} == set(environment_of_the_image())


def test_only_prometheus_gets_to_the_admin_port(cluster: Cluster, settings: Settings) -> None:
    network, port = cluster.network, settings.admin.port

    assert network.passes(PROMETHEUS, cluster.own, port)
    assert not network.passes(STRANGER, cluster.own, port)
    assert not network.passes(Outside("203.0.113.7"), cluster.own, port)


def test_the_doors_are_in_reach_and_nothing_else_is(cluster: Cluster, settings: Settings) -> None:
    network, client = cluster.network, Pod("ingress", {"app": "ingress"})
    open_to_clients = {
        port for port in range(1, 20_000) if network.passes(client, cluster.own, port)
    }

    assert open_to_clients == ports_of(settings)


def test_names_can_be_resolved_and_providers_reached(cluster: Cluster) -> None:
    network = cluster.network

    assert network.passes(cluster.own, DNS, 53, "UDP")
    assert network.passes(cluster.own, DNS, 53)
    assert network.passes(cluster.own, Outside("203.0.113.7"), 443)
    assert network.passes(cluster.own, Outside("2001:db8::7"), 443)
