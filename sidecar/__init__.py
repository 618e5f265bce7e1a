"""Authorization sidecar for service accounts, with instant revocation.

The map, from the outside in (imports point one way, down this list):

- ``cli``: the command line; ``demo``: an identity provider, a gateway and the story, on loopback
- ``app``: the composition root, the only place that knows every part
- ``fronts``: inbound edges; they translate and enforce (PEP, NIST SP 800-162)
- ``admin``: own listener for health, metrics, the API, the console, revocation (PAP)
- ``adapters``: outbound edges (PIP): keys, accounts, clock
- ``observability``: metrics and the decision log
- ``account_sync``: many accounts at once, from the gateway or a file
- ``authorize``: THE decision (PDP); ``streams``, ``stream_guard``: what is in flight;
  ``service_accounts``, ``revocations``: use cases
- ``settings``: typed, immutable, all problems at once
- ``admission``: limits of callers; ``shedding``: limits of what is done for all of them; ``turns``:
  whose token is verified next
- ``ports``: the Protocols between the parts
- ``core``: pure rules without clock, logging or I/O
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sidecar")
except PackageNotFoundError:
    __version__ = "0+source"
