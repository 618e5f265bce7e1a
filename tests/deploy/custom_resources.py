"""The parts of the Prometheus operator's resources that ``deploy/`` uses, written out.

Its schemas are not to be had as a Python package. What is here refuses a field that is misspelled
or in the wrong place, and a value of the wrong kind; it knows no field beyond.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

Labels = dict[str, str]
Duration = Annotated[str, Field(pattern=r"^([0-9]+(ms|[smhdwy]))+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(_Part):
    name: str
    namespace: str | None = None
    labels: Labels = {}


class Selector(_Part):
    match_labels: Labels


class TlsConfig(_Part):
    insecure_skip_verify: bool = False
    server_name: str | None = None
    ca: dict[Literal["secret", "configMap"], dict[Literal["name", "key"], str]] | None = None


class Endpoint(_Part):
    port: str
    path: str
    interval: Duration
    scheme: Literal["http", "https"]
    tls_config: TlsConfig | None = None


class ServiceMonitorSpec(_Part):
    job_label: str
    selector: Selector
    endpoints: list[Endpoint]


class ServiceMonitor(_Part):
    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: ServiceMonitorSpec


class Rule(_Part):
    expr: str
    record: str | None = None
    alert: str | None = None
    for_: Duration | None = Field(default=None, alias="for")
    labels: Labels = {}
    annotations: Labels = {}


class RuleGroup(_Part):
    name: str
    rules: list[Rule]


class PrometheusRuleSpec(_Part):
    groups: list[RuleGroup]


class PrometheusRule(_Part):
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
