"""Agents of the Hoop gateway, known by their own credential.

The gateway reads ``origin: agent`` as: this credential is an agent's key, look it up among the
agents, and nothing else. So an agent need not have an account here; what it shows is the gateway's
to judge. What must not be is that a *token* gets past its check by the same word. Hence three
conditions, all of them on what goes on to the gateway unchanged:

- one ``authorization`` alone, spelled as the gateway demands, with a key (``x-agt-…``) or a key's
  URL (``grpcs://name:secret@host:port?mode=…``). No JWT has either form. An agent that signs in by
  a JWT (SPIFFE) is judged like every other token.
- one ``origin`` alone, which is ``agent``. The gateway asks for none at ``PreConnect``, where it
  lets in nobody but agents.
- a route that takes such a credential (the preset's, ``own_credential``).
"""

import re
from collections.abc import Sequence

_KEY = re.compile(r"Bearer (?:x-agt-[\x21-\x7e]+|[a-z][a-z0-9+.-]*://[\x21-\x7e]+)")
_PRE_CONNECT = "/protobuf.Transport/PreConnect"


def is_agents(method: str, origins: Sequence[object], authorization: Sequence[str]) -> bool:
    """Say whether a call shows an agent's own credential, and says that it is an agent's."""
    if len(authorization) != 1 or not _KEY.fullmatch(authorization[0]):
        return False
    return list(origins) == ["agent"] or (not origins and method == _PRE_CONNECT)
