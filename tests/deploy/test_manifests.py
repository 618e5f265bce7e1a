"""The manifests for Istio and Envoy Gateway: fields that exist, and nothing open.

They are not applied anywhere: that takes a cluster.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tests.deploy.manifests import MeshValues, read_manifests
from tests.deploy.test_proxies import settings_in
from tests.settings.desk import GOOD, Desk

DEPLOY = Path(__file__).parents[2] / "deploy"
ISTIO = DEPLOY / "istio" / "gateway.yaml"
ENVOY_GATEWAY = DEPLOY / "envoy-gateway" / "gateway.yaml"
BOTH = pytest.mark.parametrize("file", [ISTIO, ENVOY_GATEWAY], ids=["istio", "envoy gateway"])
THE_GATEWAYS_OWN = {8009, 8010, 15432, 12222, 13389, 18888}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def allowed(manifests: dict[str, Any]) -> set[int]:
    """Return the ports on which anybody may reach the pod."""
    policy = manifests["NetworkPolicy"].spec
    assert policy.policy_types == ["Ingress"]
    return {each.port for rule in policy.ingress for each in rule.ports}


@BOTH
def test_the_gateways_own_ports_are_closed_to_all_but_loopback(file: Path) -> None:
    manifests = read_manifests(file)

    assert not allowed(manifests) & THE_GATEWAYS_OWN
    assert manifests["NetworkPolicy"].spec.pod_selector.match_labels == {"app": "gateway"}


@BOTH
def test_every_selector_means_the_pod(file: Path) -> None:
    manifests = read_manifests(file)
    labels = manifests["Deployment"].spec.template.metadata.labels

    selectors = [
        manifests["Deployment"].spec.selector.match_labels,
        manifests["NetworkPolicy"].spec.pod_selector.match_labels,
        manifests["Service"].spec.selector,
    ]
    if file == ISTIO:
        selectors += [
            manifests["AuthorizationPolicy"].spec.selector.match_labels,
            manifests["PeerAuthentication"].spec.selector.match_labels,
            manifests["Sidecar"].spec.workload_selector.labels,
        ]
    assert selectors == [labels] * len(selectors)


@BOTH
def test_the_sidecar_runs_with_no_more_than_it_needs(file: Path) -> None:
    pod = read_manifests(file)["Deployment"].spec.template.spec
    sidecar = next(each for each in pod.containers if each.name == "sidecar")

    assert pod.automount_service_account_token is False
    assert sidecar.security_context == {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["name"] for mount in sidecar.volume_mounts} == {each.name for each in pod.volumes}


def test_istio_asks_for_everything_and_takes_no_answer_for_a_no() -> None:
    mesh = MeshValues(**yaml.safe_load((ISTIO.parent / "mesh.yaml").read_text())).mesh_config
    [provider] = mesh.extension_providers
    manifests = read_manifests(ISTIO)
    policy, entry = manifests["AuthorizationPolicy"].spec, manifests["ServiceEntry"].spec

    assert policy.provider == {"name": provider.name}
    assert policy.rules == [{}]
    asked = provider.envoy_ext_authz_grpc
    assert (asked.fail_open, asked.status_on_error) == (False, "503")
    assert entry.hosts == [asked.service]
    assert [port.number for port in entry.ports] == [asked.port]
    assert [each.address for each in entry.endpoints] == ["127.0.0.1"]


def test_in_istio_only_envoy_listens_where_clients_come_in() -> None:
    manifests = read_manifests(ISTIO)
    [ingress] = manifests["Sidecar"].spec.ingress
    ports = {
        port.container_port
        for container in manifests["Deployment"].spec.template.spec.containers
        for port in container.ports
    }

    assert ingress.port.number in allowed(manifests)
    assert ingress.port.number not in ports
    assert [port.target_port for port in manifests["Service"].spec.ports] == [ingress.port.number]


def test_envoy_gateway_asks_the_sidecar_and_takes_no_answer_for_a_no() -> None:
    manifests = read_manifests(ENVOY_GATEWAY)
    policy, service = manifests["SecurityPolicy"].spec, manifests["Service"]
    [asked] = policy.ext_auth.grpc.backend_refs
    [[backend]] = [rule.backend_refs for rule in manifests["HTTPRoute"].spec.rules]
    [target] = policy.target_refs
    [believed] = manifests["BackendTLSPolicy"].spec.target_refs
    by_port = {port.port: port.name for port in service.spec.ports}

    assert policy.ext_auth.fail_open is False
    assert (target.kind, target.name) == ("HTTPRoute", manifests["HTTPRoute"].metadata.name)
    assert asked.name == backend.name == service.metadata.name == believed.name
    assert (by_port[asked.port], by_port[backend.port]) == ("ext-authz", "http")
    assert believed.section_name == "ext-authz"
    assert {asked.port, backend.port} < allowed(manifests)


def test_the_settings_that_the_files_ask_for_are_ones_that_load(desk: Desk) -> None:
    pem = desk.write("tls.pem", b"x")
    given = {key: value for key, value in GOOD.items() if key != "upstream"}
    istio, envoy_gateway = settings_in(ISTIO), settings_in(ENVOY_GATEWAY)
    envoy_gateway["ext_authz"]["tls"] = dict.fromkeys(envoy_gateway["ext_authz"]["tls"], pem)

    alone = desk.load({**given, **istio})
    assert alone.ext_authz is not None
    assert (alone.ext_authz.port, alone.upstream) == (9191, None)
    both = desk.load({**given, **envoy_gateway})
    assert both.ext_authz is not None
    assert both.ext_authz.tls is not None
    assert both.upstream is not None


def test_envoy_asks_by_grpc_with_nothing_left_out_and_takes_no_answer_for_a_no(desk: Desk) -> None:
    """The end-to-end tests start this file; here is what they would not miss."""
    file = DEPLOY / "envoy" / "ext-authz-grpc.yaml"
    listener = yaml.safe_load(file.read_text())["static_resources"]["listeners"][0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    asking = manager["http_filters"][0]["typed_config"]
    given = {key: value for key, value in GOOD.items() if key != "upstream"}

    assert asking["failure_mode_allow"] is False
    assert not {"allowed_headers", "disallowed_headers", "filter_enabled"} & set(asking)
    assert desk.load({**given, **settings_in(file)}).ext_authz is not None


@BOTH
def test_a_misspelled_field_is_noticed(file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(file.read_text().replace("policyTypes", "policyType"))

    with pytest.raises(ValidationError, match="policyType"):
        read_manifests(wrong)


@pytest.mark.parametrize("folder", ["istio", "envoy-gateway"])
def test_each_folder_says_that_a_gateway_in_reach_is_not_protected(folder: str) -> None:
    text = (DEPLOY / folder / "README.md").read_text()

    assert "A gateway that can be reached directly is not protected" in text
    assert "(gateway.yaml)" in text
