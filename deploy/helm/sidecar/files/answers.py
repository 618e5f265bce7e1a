"""`helm test`: the sidecar refuses who has no token, and the gateway is out of everybody's reach.

Arguments: a URL of the sidecar, the status it has to answer with, and perhaps the gateway's URLs.
"""

import socket
import ssl
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

PATIENCE_SECONDS = 5


def status_of(url: str) -> int:
    """Return the answer's status. Raises OSError where there is none."""
    # It asks whether somebody is let in; whose certificate that is does not matter.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def is_reached(url: str) -> bool:
    """Say whether anybody takes a connection there. Raises socket.gaierror where nobody knows."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), PATIENCE_SECONDS).close()
    except socket.gaierror:
        raise
    except OSError:
        return False
    return True


def is_closed(gateway: str) -> bool:
    """Print whether the gateway is out of reach, and say so; what cannot be tried is not."""
    try:
        exposed = is_reached(gateway)
    except socket.gaierror as error:
        print(f"{gateway} was not tried: {error}")
        return False
    if exposed:
        print(f"{gateway} can be reached past the sidecar: does the network enforce policies?")
    else:
        print(f"{gateway} cannot be reached past the sidecar")
    return not exposed


def main(url: str, expected: str, *gateways: str) -> int:
    """Print what was found; return 0 if it is as it has to be."""
    status = status_of(url)
    print(f"{url} without a token: {status}, expected {expected}")
    closed = [is_closed(gateway) for gateway in gateways]
    return 0 if status == int(expected) and all(closed) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
