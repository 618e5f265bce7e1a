"""The forward-auth door's listener."""

from contextlib import AbstractAsyncContextManager
from functools import partial

from sidecar.fronts.forward_auth.handler import Handler
from sidecar.fronts.listener import Connection, Listener, ListenPolicy, accepting


def listening(handler: Handler, policy: ListenPolicy) -> AbstractAsyncContextManager[Listener]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on.
    """
    return accepting(handler, partial(Connection, handler), policy)
