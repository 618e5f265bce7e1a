"""What clients without a token are told: where to get one."""

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
    return ResourceMetadata.of(resource.path, members)
