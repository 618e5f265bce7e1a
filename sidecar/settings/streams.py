"""The settings of what is in flight."""

from sidecar.ports import OnExpiry
from sidecar.settings.fields import Section


class Streams(Section):
    """Requests in flight. One whose account or token is revoked is always cut."""

    expired: OnExpiry = OnExpiry.CUT
    """When the token expires: cut them, or let plain responses finish (never WebSockets or SSE)."""
