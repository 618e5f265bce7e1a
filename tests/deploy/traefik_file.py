"""The part of the schema of Traefik's file provider that ``deploy/traefik`` uses, written out.

As in ``manifests``: it refuses a field that is misspelled or in the wrong place.
"""

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Router(_Part):
    rule: str
    middlewares: list[str]
    service: str


class Headers(_Part):
    custom_request_headers: dict[str, str]


class ForwardAuth(_Part):
    address: str
    trust_forward_header: bool
    auth_response_headers: list[str]


class Middleware(_Part):
    headers: Headers | None = None
    forward_auth: ForwardAuth | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Middleware":
        if len(self.model_fields_set) != 1:
            raise ValueError("a middleware is of one kind")
        return self


class Server(_Part):
    url: str


class LoadBalancer(_Part):
    pass_host_header: bool
    servers: list[Server]


class Service(_Part):
    load_balancer: LoadBalancer


class Http(_Part):
    routers: dict[str, Router]
    middlewares: dict[str, Middleware]
    services: dict[str, Service]


class TraefikFile(_Part):
    http: Http
