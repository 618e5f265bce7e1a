"""The composition root: the only place that knows every part."""

from sidecar.app.asking import (
    confirm_store,
    open_audit,
    open_authorizer,
    open_last_use,
    open_store,
)
from sidecar.app.certificates import expiring_certificates
from sidecar.app.checking import problems_of
from sidecar.app.introspecting import introspection_warnings
from sidecar.app.probing import exposures
from sidecar.app.process import run
from sidecar.app.serving import Serving, serving
from sidecar.app.shadowing import shadow_warnings
from sidecar.app.stopping import keep_hangups
from sidecar.app.syncing import open_gateway, sync_rules

__all__ = [
    "Serving",
    "confirm_store",
    "expiring_certificates",
    "exposures",
    "introspection_warnings",
    "keep_hangups",
    "open_audit",
    "open_authorizer",
    "open_gateway",
    "open_last_use",
    "open_store",
    "problems_of",
    "run",
    "serving",
    "shadow_warnings",
    "sync_rules",
]
