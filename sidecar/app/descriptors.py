"""File descriptors: as many as the system allows, and how many connections they suffice for."""

import logging
import resource

log = logging.getLogger(__name__)

# For what must not fail for want of one: queues, Redis, providers, the admin listener, pipes.
_RESERVED = 48


def raise_limit() -> None:
    """Allow this process as many descriptors as it may allow itself.

    The soft limit is low by tradition, for programs that use ``select``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:
            log.warning("no more than %d descriptors: %s", soft, error)


def connections_within(wanted: int, to_upstream: int = 0) -> int:
    """Return how many connections of clients there may be: what is ``wanted``, or fewer.

    Each may need one to upstream, of which there are ``to_upstream`` at most.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    left = max(soft - _RESERVED, 2)
    possible = left - min(to_upstream, left // 2)
    if possible < wanted:
        log.warning("%d connections at most: there are %d descriptors", possible, soft)
    return min(wanted, possible)
