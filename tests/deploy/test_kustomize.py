"""The kustomizations; what they have in common with the chart is in ``test_kubernetes.py``.

``kubectl`` builds them where it is installed; the base's resources are looked at in any case.
"""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy.cluster import check
from tests.deploy.kustomization import ALL, NAMESPACE, PLACE, built
from tests.deploy.network import Outside, Pod

GATEWAY = Pod(NAMESPACE, {"app": "hoopgateway"})
STRANGER = Pod(NAMESPACE, {"app": "stranger"})
HOOP = ("overlays/hoop", "overlays/production")


@pytest.mark.parametrize("name", ALL)
def test_what_it_names_is_there_and_what_it_adds_is_taken_by_an_api_server(name: str) -> None:
    place = PLACE / name
    kustomization = yaml.safe_load((place / "kustomization.yaml").read_text())
    patches = [each["path"] for each in kustomization.get("patches", ()) if "path" in each]

    for resource in kustomization["resources"]:
        if (place / resource).is_dir():
            assert (place / resource / "kustomization.yaml").exists()
            continue
        for each in yaml.safe_load_all((place / resource).read_text()):
            check(each)
    generated = [file for each in kustomization["configMapGenerator"] for file in each["files"]]
    named = {*patches, *generated, *kustomization["resources"], "kustomization.yaml"}
    assert {file.name for file in place.iterdir()} == {
        each for each in named if not (place / each).is_dir()
    }


@pytest.mark.parametrize("name", HOOP)
def test_the_gateway_is_closed_to_all_but_the_sidecar(name: str) -> None:
    cluster = built(name)

    for port in (8009, 8010):
        assert cluster.network.passes(cluster.own, GATEWAY, port)
        assert not cluster.network.passes(STRANGER, GATEWAY, port)
        assert not cluster.network.passes(Outside("203.0.113.7"), GATEWAY, port)


def test_in_production_the_sidecar_goes_nowhere_but_where_it_has_to() -> None:
    cluster = built("overlays/production")
    passes = cluster.network.passes

    assert passes(cluster.own, Pod(NAMESPACE, {"app.kubernetes.io/name": "valkey"}), 6379)
    assert not passes(cluster.own, STRANGER, 6379)
    assert not passes(cluster.own, Outside("169.254.169.254"), 443)


def test_in_production_autoscaling_says_how_many_and_prometheus_finds_the_job() -> None:
    cluster = built("overlays/production")
    monitor, service = cluster.the("ServiceMonitor")["spec"], cluster.service("admin")

    assert "replicas" not in cluster.the("Deployment")["spec"]
    assert cluster.the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == "sidecar"
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "sidecar"


def test_new_settings_replace_the_pods(tmp_path: Path) -> None:
    copy = shutil.copytree(PLACE, tmp_path / "kustomize")
    before = built("overlays/hoop", copy).pod["volumes"]
    settings = copy / "overlays" / "hoop" / "sidecar.yaml"
    settings.write_text(settings.read_text() + "workers: 2\n")

    assert built("overlays/hoop", copy).pod["volumes"] != before
