"""The kustomizations, built by kubectl where that is installed."""

import shutil
from pathlib import Path
from subprocess import run

import pytest
import yaml

from tests.deploy.cluster import Cluster

PLACE = Path(__file__).parents[2] / "deploy" / "kustomize"
ALL = ("base", "overlays/hoop", "overlays/production")
NAMESPACE = "hoop"


def built(name: str, place: Path = PLACE) -> Cluster:
    """Return the resources that would be applied."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed: the overlays of deploy/kustomize are NOT TESTED")
    done = run(
        [kubectl, "kustomize", str(place / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Cluster([*yaml.safe_load_all(done.stdout)], NAMESPACE)
