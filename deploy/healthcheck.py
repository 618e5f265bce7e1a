"""Health check of the container: exit 0 when the sidecar is alive.

Only liveness: a container that is not ready (Redis or the identity provider is away) gets well
again by itself, and restarting it would only lose its open streams.
"""

import http.client
import os
import sys

connection = http.client.HTTPConnection(
    "127.0.0.1", int(os.environ.get("SIDECAR_ADMIN__PORT", "9090")), timeout=2
)
try:
    connection.request("GET", "/livez")
    alive = connection.getresponse().status == 200
except OSError:
    alive = False
sys.exit(0 if alive else 1)
