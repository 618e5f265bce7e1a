"""Looking at this machine for what the settings alone do not show: who else can reach upstream.

Whoever reaches it directly is asked for no account, however well the sidecar refuses. Nothing is
sent: the kernel's own list says on which addresses a port is listened on (Linux).
"""

import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

from sidecar.settings import Problem, Settings
from sidecar.settings.fields import is_loopback

Address = IPv4Address | IPv6Address

_PORTS = {"http": 80, "https": 443}
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTEN = "0A"


def exposures(settings: Settings, tables: Iterable[Path] = _TABLES) -> list[Problem]:
    """Return where upstream can be reached without the sidecar, as far as this machine knows.

    ``tables`` are the kernel's lists of sockets. An upstream elsewhere is always named: what keeps
    others from it is not to be seen from here.
    """
    upstream = settings.upstream
    if upstream is None:
        return [Problem("upstream", "is not named here: who reaches it past the proxy is not seen")]
    return list(_found((upstream.url, *upstream.more_urls), tuple(tables)))


def _found(urls: Iterable[str], tables: tuple[Path, ...]) -> Iterator[Problem]:
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme == "unix" or parts.hostname is None:
            continue
        port = parts.port or _PORTS[parts.scheme]
        if not is_loopback(parts.hostname):
            text = f"{url} is on the network: let nobody but the sidecar reach it there"
            yield Problem("upstream", text)
            continue
        listening = _listening(tables)
        if listening is None:
            yield Problem("upstream", f"who can reach {url} cannot be seen on this system")
        elif reached := sorted(
            {str(at) for at, on in listening if on == port and not _is_local(at)}
        ):
            where = ", ".join(reached)
            text = f"port {port} is listened on at {where} too: who comes that way is not checked"
            yield Problem("upstream", text)


def _listening(tables: Iterable[Path]) -> list[tuple[Address, int]] | None:
    texts = []
    for table in tables:
        try:
            texts.append(table.read_text("ascii"))
        except FileNotFoundError:
            continue  # without IPv6 there is one list only
    return [each for text in texts for each in read_listening(text)] if texts else None


def read_listening(table: str) -> Iterator[tuple[Address, int]]:
    """Yield address and port of each socket that is listened on, out of the kernel's list."""
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if state == _LISTEN:
            address, _, port = local.partition(":")
            yield _read_address(address), int(port, 16)


def _read_address(text: str) -> Address:
    # Words of 32 bits, each in the machine's own order.
    octets = bytes.fromhex(text)
    if sys.byteorder == "little":
        octets = b"".join(octets[at : at + 4][::-1] for at in range(0, len(octets), 4))
    return ip_address(octets)


def _is_local(address: Address) -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
