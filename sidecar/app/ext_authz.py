"""The front for Envoy's external authorization, made from settings. Needs the extra ``grpc``."""

from functools import partial

from sidecar.app.doors import Opening, Sockets
from sidecar.app.fronts import Shared
from sidecar.app.protecting import realm_of
from sidecar.app.proving import shown_rules
from sidecar.fronts.ext_authz.checker import Checker, Parts
from sidecar.fronts.ext_authz.fields import FieldRules
from sidecar.fronts.ext_authz.server import listening
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.grpc_listener import Address, Certificate
from sidecar.settings import Settings
from sidecar.settings.ext_authz import ExtAuthz


def ext_authz_opening(
    settings: Settings, section: ExtAuthz, shared: Shared, sockets: Sockets
) -> Opening:
    """Return what opens the front.

    Raises:
        OSError: a file of ``ext_authz.tls`` cannot be read any more.
    """
    checker = Checker(
        Parts(
            authorizer=shared.authorizer,
            field_rules=FieldRules(
                shared.identity,
                TrustedProxies(settings.trusted_networks()),
                settings.forward_authorization,
                shown_rules(settings),
            ),
            clock=shared.clock,
            observer=shared.observer,
            max_concurrent=section.max_concurrent,
            realm=realm_of(settings),
            tracer=shared.tracer,
        )
    )
    address = Address(section.host, section.port, _certificate(section), sockets.get("ext_authz"))
    return partial(listening, checker, partial(_is_ready, shared), address)


def _certificate(section: ExtAuthz) -> Certificate | None:
    tls = section.tls
    if tls is None:
        return None
    authorities = None if tls.client_ca is None else tls.client_ca.read_bytes()
    return Certificate(tls.key.read_bytes(), tls.certificate.read_bytes(), authorities)


def _is_ready(shared: Shared) -> bool:
    return all(shared.probes().values())
