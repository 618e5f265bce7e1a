"""Health check of the container: exit 0 when the sidecar is alive.

Only liveness: a container that is not ready (Redis or the identity provider is away) gets well
again by itself, and restarting it would only lose its open streams.
"""

import http.client
import os
import ssl
import sys

# The image sets the port in the environment, which goes over the settings file: so both know it.
host = os.environ.get("SIDECAR_ADMIN__HOST", "127.0.0.1")
if host in ("", "0.0.0.0", "::"):  # noqa: S104 - everywhere is here too
    host = "127.0.0.1"
port = int(os.environ.get("SIDECAR_ADMIN__PORT") or "9090")


def is_alive(connection: http.client.HTTPConnection) -> bool:
    """Say whether the sidecar answers on this connection."""
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


plain = http.client.HTTPConnection(host, port, timeout=2)
# It asks itself, and whether something lives: whose certificate that is does not matter.
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
tls = http.client.HTTPSConnection(host, port, timeout=2, context=context)
sys.exit(0 if is_alive(plain) or is_alive(tls) else 1)
