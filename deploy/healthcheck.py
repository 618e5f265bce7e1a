"""Health check of the container: exit 0 when the sidecar is alive.

Only liveness: a container that is not ready (Redis or the identity provider is away) gets well
again by itself, and restarting it would only lose its open streams.
"""

import http.client
import os
import sys

# The image sets the port in the environment, which goes over the settings file: so both know it.
host = os.environ.get("SIDECAR_ADMIN__HOST", "127.0.0.1")
if host in ("", "0.0.0.0", "::"):  # noqa: S104 - everywhere is here too
    host = "127.0.0.1"
connection = http.client.HTTPConnection(
    host, int(os.environ.get("SIDECAR_ADMIN__PORT") or "9090"), timeout=2
)
try:
    connection.request("GET", "/livez")
    alive = connection.getresponse().status == 200
except OSError:
    alive = False
sys.exit(0 if alive else 1)
