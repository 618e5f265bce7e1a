"""The parts of the schemas that the manifests of ``deploy/`` use, written out.

The schemas themselves are not to be had as Python packages. What is here refuses a field that is
misspelled or in the wrong place, and a value of the wrong kind; it knows no field beyond.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

Labels = dict[str, str]
Port = Annotated[int, Field(ge=1, le=65535)]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Part):
    name: str
    namespace: str | None = None
    labels: Labels = {}


class Selector(Part):
    match_labels: Labels


class Namespace(Part):
    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: Metadata


class ServicePort(Part):
    name: str
    port: Port
    target_port: Port | str


class ServiceSpec(Part):
    selector: Labels
    ports: list[ServicePort]


class Service(Part):
    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


class ContainerPort(Part):
    name: str
    container_port: Port


class HttpGet(Part):
    path: str
    port: str


class Probe(Part):
    http_get: HttpGet
    period_seconds: int


class Container(Part):
    name: str
    image: str
    args: list[str] = []
    env: list[dict[Literal["name", "value"], str]] = []
    ports: list[ContainerPort] = []
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None
    resources: dict[Literal["requests", "limits"], dict[str, str]] = {}
    security_context: dict[str, Any] = {}
    volume_mounts: list[dict[Literal["name", "mountPath", "readOnly"], str | bool]] = []


class Volume(Part):
    name: str
    secret: dict[Literal["secretName"], str] | None = None
    empty_dir: dict[Literal["medium", "sizeLimit"], str] | None = None


class PodSpec(Part):
    automount_service_account_token: bool
    containers: list[Container]
    volumes: list[Volume]


class PodMetadata(Part):
    labels: Labels
    annotations: Labels = {}


class Pod(Part):
    metadata: PodMetadata
    spec: PodSpec


class DeploymentSpec(Part):
    replicas: int
    selector: Selector
    template: Pod


class Deployment(Part):
    api_version: Literal["apps/v1"]
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec


class PolicyPort(Part):
    protocol: Literal["TCP"]
    port: Port


class PolicyPeer(Part):
    namespace_selector: Selector


class IngressRule(Part):
    ports: list[PolicyPort]
    from_: list[PolicyPeer] = Field(default=[], alias="from")


class NetworkPolicySpec(Part):
    pod_selector: Selector
    policy_types: list[Literal["Ingress"]]
    ingress: list[IngressRule]


class NetworkPolicy(Part):
    api_version: Literal["networking.k8s.io/v1"]
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: NetworkPolicySpec


class IstioPort(Part):
    number: Port
    protocol: Literal["HTTP", "GRPC"]
    name: str


class SidecarIngress(Part):
    port: IstioPort
    default_endpoint: Annotated[str, Field(pattern=r"^127\.0\.0\.1:[0-9]+$")]


class WorkloadSelector(Part):
    labels: Labels


class SidecarSpec(Part):
    workload_selector: WorkloadSelector
    ingress: list[SidecarIngress]


class Sidecar(Part):
    api_version: Literal["networking.istio.io/v1"]
    kind: Literal["Sidecar"]
    metadata: Metadata
    spec: SidecarSpec


class Endpoint(Part):
    address: str


class ServiceEntrySpec(Part):
    hosts: list[str]
    ports: list[IstioPort]
    resolution: Literal["STATIC"]
    endpoints: list[Endpoint]


class ServiceEntry(Part):
    api_version: Literal["networking.istio.io/v1"]
    kind: Literal["ServiceEntry"]
    metadata: Metadata
    spec: ServiceEntrySpec


class AuthorizationPolicySpec(Part):
    selector: Selector
    action: Literal["CUSTOM"]
    provider: dict[Literal["name"], str]
    rules: list[dict[Literal["to", "from", "when"], Any]]


class AuthorizationPolicy(Part):
    api_version: Literal["security.istio.io/v1"]
    kind: Literal["AuthorizationPolicy"]
    metadata: Metadata
    spec: AuthorizationPolicySpec


class PeerAuthenticationSpec(Part):
    selector: Selector
    mtls: dict[Literal["mode"], Literal["STRICT"]]


class PeerAuthentication(Part):
    api_version: Literal["security.istio.io/v1"]
    kind: Literal["PeerAuthentication"]
    metadata: Metadata
    spec: PeerAuthenticationSpec


class ExtAuthzGrpc(Part):
    service: str
    port: Port
    timeout: str
    fail_open: bool
    status_on_error: str


class Provider(Part):
    name: str
    envoy_ext_authz_grpc: ExtAuthzGrpc


class PathNormalization(Part):
    normalization: Literal["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]


class MeshConfig(Part):
    extension_providers: list[Provider]
    path_normalization: PathNormalization


class MeshValues(Part):
    mesh_config: MeshConfig


class Reference(Part):
    group: str
    kind: str
    name: str
    section_name: str | None = None


class BackendRef(Part):
    name: str
    port: Port


class RouteRule(Part):
    backend_refs: list[BackendRef]
    timeouts: dict[Literal["request", "backendRequest"], str]


class HttpRouteSpec(Part):
    parent_refs: list[dict[Literal["name", "namespace"], str]]
    hostnames: list[str]
    rules: list[RouteRule]


class HttpRoute(Part):
    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    metadata: Metadata
    spec: HttpRouteSpec


class GrpcService(Part):
    backend_refs: list[BackendRef]


class ExtAuth(Part):
    fail_open: bool
    timeout: str
    grpc: GrpcService


class SecurityPolicySpec(Part):
    target_refs: list[Reference]
    ext_auth: ExtAuth


class SecurityPolicy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["SecurityPolicy"]
    metadata: Metadata
    spec: SecurityPolicySpec


class Validation(Part):
    hostname: str
    ca_certificate_refs: list[Reference]


class BackendTlsPolicySpec(Part):
    target_refs: list[Reference]
    validation: Validation


class BackendTlsPolicy(Part):
    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["BackendTLSPolicy"]
    metadata: Metadata
    spec: BackendTlsPolicySpec


class BackendTls(Part):
    client_certificate_ref: dict[Literal["kind", "name"], str]


class EnvoyProxySpec(Part):
    backend_tls: BackendTls = Field(alias="backendTLS")


class EnvoyProxy(Part):
    api_version: Literal["gateway.envoyproxy.io/v1alpha1"]
    kind: Literal["EnvoyProxy"]
    metadata: Metadata
    spec: EnvoyProxySpec


Manifest = Annotated[
    Namespace | Service | Deployment | NetworkPolicy | Sidecar | ServiceEntry
    | AuthorizationPolicy | PeerAuthentication | HttpRoute | SecurityPolicy | BackendTlsPolicy
    | EnvoyProxy,
    Field(discriminator="kind"),
]  # fmt: skip
_MANIFEST: TypeAdapter[Any] = TypeAdapter(Manifest)


def read_manifests(file: Path) -> dict[str, Any]:
    """Return the file's manifests by kind; it may have one of each."""
    read = [_MANIFEST.validate_python(each) for each in yaml.safe_load_all(file.read_text())]
    found = {each.kind: each for each in read}
    assert len(found) == len(read)
    return found
