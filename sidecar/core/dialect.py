"""The dialects of proxies that ask by HTTP."""

from enum import StrEnum, unique


@unique
class Dialect(StrEnum):
    """How a proxy that asks the forward-auth door says what was asked; the value is a setting."""

    TRAEFIK = "traefik"
    CADDY = "caddy"
    NGINX = "nginx"
    ENVOY = "envoy"
