"""Networks of addresses, as settings name them."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Annotated, Any

from pydantic import BeforeValidator

from sidecar.settings.environment import FromEnvironment

Network = IPv4Network | IPv6Network


def _read_networks(value: Any) -> Any:
    if isinstance(value, FromEnvironment):
        value = [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError('expected a list of networks, for example ["10.0.0.0/8"]')  # noqa: TRY004
    try:
        return tuple(ip_network(str(each)) for each in value)
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8: {error}") from None


Networks = Annotated[tuple[Network, ...], BeforeValidator(_read_networks)]


def covers_everybody(networks: Iterable[Network]) -> bool:
    """Say whether these are, together, all addresses of a family."""
    listed = list(networks)
    return any(
        network.prefixlen == 0
        for family in (IPv4Network, IPv6Network)
        for network in collapse_addresses(n for n in listed if isinstance(n, family))  # type: ignore[type-var]
    )
