"""The reverse proxy's listener: each connection is one that answers at once where it can."""

from contextlib import AbstractAsyncContextManager
from functools import partial

from sidecar.fronts.listener import Listener, ListenPolicy, accepting
from sidecar.fronts.reverse_proxy.client_connection import ClientConnection
from sidecar.fronts.reverse_proxy.handler import Handler


def listening(handler: Handler, policy: ListenPolicy) -> AbstractAsyncContextManager[Listener]:
    """Listen until the block ends; call ``drain`` before to end in good order.

    Raises:
        OSError: the address cannot be listened on.
    """
    return accepting(handler, partial(ClientConnection, handler), policy)
