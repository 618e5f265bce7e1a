"""What clients without a token are told: where to get one."""

from typing import Any

from sidecar.core.confirmation import Binding
from sidecar.core.protection import SIDECAR, Realm
from sidecar.fronts.resource_metadata import ResourceMetadata
from sidecar.settings import Settings


def realm_of(settings: Settings) -> Realm:
    """Return the realm that challenges name."""
    resource = settings.resource
    return SIDECAR if resource is None else Realm(metadata_url=resource.metadata_url)


def resource_metadata(settings: Settings) -> ResourceMetadata | None:
    """Return the metadata that are published, if any are."""
    resource = settings.resource
    if resource is None:
        return None
    routes = settings.routes_table().routes
    scopes = {scope for route in routes for scope in route.requirement.scopes}
    members = resource.members(settings.issuer_rules(), scopes)
    return ResourceMetadata.of(resource.path, members | _bound(settings))


def _bound(settings: Settings) -> dict[str, Any]:
    """Return what the metadata say of bound tokens (RFC 9728, 2); nothing where none are taken."""
    bindings = [each.binding for each in settings.issuer_rules().values()]
    told: dict[str, Any] = {}
    if any(each.mtls is not Binding.OFF for each in bindings):
        told["tls_client_certificate_bound_access_tokens"] = True
    if any(each.dpop is not Binding.OFF for each in bindings):
        told["dpop_signing_alg_values_supported"] = list(settings.bound_tokens.algorithms)
        told["dpop_bound_access_tokens_required"] = all(
            each.dpop is Binding.REQUIRED for each in bindings
        )
    return told
