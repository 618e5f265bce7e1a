"""Shadow: what a route would refuse passes, and is told as what it would have been.

For a team that puts the sidecar before a gateway that serves already. What passes so is judged by
that gateway, as it was before: it goes on without a principal, so with no identity header but empty
ones, with the credential that the client sent, and with no assertion of ours.

Only what is about the caller passes: the token, the account, groups, limits, and whether keys and
status can be had. What keeps the two programs' readings of a request the same, and the sidecar
alive, is enforced always.
"""

from sidecar.core.decision import Decision, Deny, DenyReason, Grant
from sidecar.core.request import AccessRequest, is_ambiguous

_ENFORCED = frozenset(
    {
        DenyReason.MALFORMED_REQUEST,
        DenyReason.TOO_SLOW,
        DenyReason.UNTRUSTED_PEER,
        DenyReason.METHOD_REFUSED,
        DenyReason.EXPECTATION_REFUSED,
        DenyReason.OVERLOADED,
    }
)


def judge_in_shadow(deny: Deny, request: AccessRequest) -> Decision:
    """Return the grant that the denial becomes where its route is in shadow, else the denial."""
    route = deny.route
    if route is None or not route.shadow or deny.reason in _ENFORCED:
        return deny
    if request.switches_to and deny.reason is DenyReason.NO_ROUTE:
        # What follows a switch to a protocol that the route does not take would pass unseen.
        return deny
    if is_ambiguous(request.path):
        # Upstream may read such a path as another route's, and that one may be enforced.
        return deny
    return Grant(route, shadowed=deny)
