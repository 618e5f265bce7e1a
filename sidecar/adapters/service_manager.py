"""What the service manager is told: systemd's notification protocol, sd_notify(3).

A datagram of ``NAME=value`` lines to the socket that the environment names. Where it names none,
nobody wants to know, and nothing is sent. What cannot be sent is told in the log and changes
nothing else: the sidecar serves all the same.
"""

import logging
import socket
import time
from collections.abc import Mapping

log = logging.getLogger(__name__)

_VARIABLE = "NOTIFY_SOCKET"


class ServiceManager:
    """Whoever started this process and waits for it to be up; perhaps nobody."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Read from ``environ`` where it listens: a path, or with ``@`` in front an abstract name.

        systemd also has ``vsock:`` for whole virtual machines; that is no address for a service.
        """
        address = environ.get(_VARIABLE, "")
        if address and not address.startswith(("/", "@")):
            log.warning("%s is neither a path nor an abstract name; nobody is told", _VARIABLE)
            address = ""
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self) -> None:
        """Say that it is up, or that the reload is done, well or not."""
        self._say("READY=1")

    def reloading(self) -> None:
        """Say that settings are read anew, until ``ready``."""
        # The manager tells by it whether this is the answer to the signal that it has just sent.
        # sd_notify(3): "in the CLOCK_MONOTONIC timescale"; our steady clock is another one.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._say("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that it has begun to end."""
        self._say("STOPPING=1")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
                # A manager that does not read must not make requests wait.
                own.settimeout(0)
                own.sendto("\n".join(lines).encode(), self._address)
        except (OSError, ValueError) as error:
            log.warning("the service manager cannot be told %s: %s", lines[0], error)
