"""Resources for Kubernetes as they would be applied, and what they mean together."""

import functools
import importlib.resources
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from sidecar.settings import Settings, load
from tests.app.test_tls import Certificates
from tests.deploy.custom_resources import check_custom
from tests.deploy.network import Network, Pod, selects

Resource = dict[str, Any]
# The oldest that the chart names, and the newest that there are schemas of.
VERSIONS = ("1.30", "1.37")
DOCKERFILE = Path(__file__).parents[2] / "Dockerfile"
_FILES = {"certificate", "key", "client_ca", "ca", "certificate_key"}


def check(resource: Resource) -> None:
    """Refuse what no API server would take: fields that are not, values of the wrong kind."""
    if resource["apiVersion"].startswith("monitoring.coreos.com/"):
        check_custom(resource)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(resource, version, strict=True)


@dataclass(frozen=True)
class Cluster:
    """Resources; those without a namespace are in ``namespace``."""

    resources: Sequence[Resource]
    namespace: str

    def all(self, kind: str) -> list[Resource]:
        return [each for each in self.resources if each["kind"] == kind]

    def the(self, kind: str) -> Resource:
        [only] = self.all(kind)
        return only

    @property
    def network(self) -> Network:
        return Network(
            [
                {**each, "metadata": {"namespace": self.namespace, **each["metadata"]}}
                for each in self.all("NetworkPolicy")
            ]
        )

    @property
    def pod(self) -> Resource:
        """The spec of the pods with the sidecar."""
        spec: Resource = self.the("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def own(self) -> Pod:
        """One of these pods."""
        labels = self.the("Deployment")["spec"]["template"]["metadata"]["labels"]
        return Pod(self.namespace, labels)

    @property
    def sidecar(self) -> Resource:
        containers = [*self.pod.get("initContainers", ()), *self.pod["containers"]]
        [found] = [each for each in containers if each["name"] == "sidecar"]
        return dict(found)

    def service(self, port: str) -> Resource:
        """Return the one Service that has a port of this name."""
        services = self.all("Service")
        [found] = [s for s in services if port in {p["name"] for p in s["spec"]["ports"]}]
        return found

    def selecting(self) -> Iterator[tuple[str, bool]]:
        """Say of each resource that has to select the pods with the sidecar whether it does."""
        labels = self.own.labels
        for kind in ("Service", "Deployment", "PodDisruptionBudget"):
            for each in self.all(kind):
                selector = each["spec"]["selector"]
                wanted = selector if kind == "Service" else selector["matchLabels"]
                yield kind, selects({"matchLabels": wanted}, labels)

    def settings(self, directory: Path) -> Settings:
        """Return the settings that the sidecar would load there.

        The files that they name are made, in ``directory``; each has to be in a volume that is
        mounted, writable where the sidecar writes.
        """
        [name] = [
            volume["configMap"]["name"] for volume in self.pod["volumes"] if "configMap" in volume
        ]
        [found] = [each for each in self.all("ConfigMap") if each["metadata"]["name"] == name]
        values = yaml.safe_load(found["data"]["sidecar.yaml"])
        mounts = {each["mountPath"]: each for each in self.sidecar["volumeMounts"]}
        file = directory / "sidecar.yaml"
        file.write_text(yaml.safe_dump(_moved(values, mounts, directory)))
        environ = {each["name"]: each["value"] for each in self.sidecar["env"]}
        return load(file, {**environment_of_the_image(), **environ})


def _moved(value: Any, mounts: dict[str, Resource], directory: Path, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _moved(each, mounts, directory, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, mounts, directory, name) for each in value]
    is_directory = name.endswith("_dir")
    if not is_directory and not name.endswith("_file") and name not in _FILES:
        return value
    mount = mounts.get(value if is_directory else str(Path(value).parent))
    assert mount is not None, f"{name}: nothing is mounted at {value}"
    assert is_directory != bool(mount.get("readOnly"))
    place = directory / value.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if is_directory:
        place.mkdir(exist_ok=True)
    else:
        place.write_bytes(_content(name, directory))
    return str(place)


def _content(name: str, directory: Path) -> bytes:
    if name not in _FILES:
        return b"a secret of more than sixteen characters"
    made = _certificates(directory)
    return (made.key if name in {"key", "certificate_key"} else made.certificate).read_bytes()


@functools.cache
def _certificates(directory: Path) -> Certificates:
    return Certificates(directory, "pod")


def environment_of_the_image() -> dict[str, str]:
    """Return what the Dockerfile sets of the sidecar's settings."""
    return dict(re.findall(r"\b(SIDECAR_\w+)=(\S+)", DOCKERFILE.read_text()))


def has_schemas_of(version: str) -> bool:
    """Say whether the checks know this version, or take the nearest one for it."""
    place = importlib.resources.files(kubernetes_validate) / "kubernetes-json-schema"
    return (place / f"v{version}.0-local-strict").is_dir()
