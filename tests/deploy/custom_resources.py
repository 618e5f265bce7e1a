"""The parts of the Prometheus operator's resources that ``deploy/`` uses, written out.

Its schemas are not to be had as a Python package. What is here refuses a field that is misspelled
or in the wrong place, and a value of the wrong kind; it knows no field beyond.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from tests.deploy.manifests import Labels, Metadata, Part, Selector

Duration = Annotated[str, Field(pattern=r"^([0-9]+(ms|[smhdwy]))+$")]


class TlsConfig(Part):
    insecure_skip_verify: bool = False
    server_name: str | None = None
    ca: dict[Literal["secret", "configMap"], dict[Literal["name", "key"], str]] | None = None


class Endpoint(Part):
    port: str
    path: str
    interval: Duration
    scheme: Literal["http", "https"]
    tls_config: TlsConfig | None = None


class ServiceMonitorSpec(Part):
    job_label: str
    selector: Selector
    endpoints: list[Endpoint]


class ServiceMonitor(Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: ServiceMonitorSpec


class Rule(Part):
    expr: str
    record: str | None = None
    alert: str | None = None
    for_: Duration | None = Field(default=None, alias="for")
    labels: Labels = Field(default_factory=dict)
    annotations: Labels = Field(default_factory=dict)


class RuleGroup(Part):
    name: str
    rules: list[Rule]


class PrometheusRuleSpec(Part):
    groups: list[RuleGroup]


class PrometheusRule(Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: PrometheusRuleSpec


_RESOURCE: TypeAdapter[Any] = TypeAdapter(
    Annotated[ServiceMonitor | PrometheusRule, Field(discriminator="kind")]
)


def check_custom(resource: dict[str, Any]) -> None:
    """Raise pydantic's ValidationError where it is none of these, or not made so."""
    _RESOURCE.validate_python(resource)
