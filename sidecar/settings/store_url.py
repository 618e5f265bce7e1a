"""URLs of account stores, and of those whose primary has to be found: by Sentinel, in a Cluster.

``redis+sentinel://host1:26379,host2:26379/SERVICE/0`` and ``redis+cluster://host1,host2:6380``;
``rediss+...`` with TLS. A user and password before an ``@`` are for those that are named there.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote

from sidecar.settings.fields import split_url

Address = tuple[str, int]

_DATABASE = re.compile(r"/?|/[0-9]{1,5}")
_FOLLOWED = re.compile(r"(rediss?)\+(sentinel|cluster)://(?:([^@/]*)@)?([^@/?#]+)(/[^?#]*)?")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_SERVICE = re.compile(r"/([A-Za-z0-9._-]+)(?:/([0-9]{1,5})?)?")
_USUAL_PORT = {"sentinel": 26379, "cluster": 6379}
_EXAMPLE = {
    "sentinel": "redis+sentinel://10.0.0.1:26379,10.0.0.2:26379,10.0.0.3:26379/SERVICE/0",
    "cluster": "redis+cluster://10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379",
}
_HASH_TAG = re.compile(r"[^{]*\{[^}]+\}")


@dataclass(frozen=True, slots=True)
class FollowedUrl:
    """A store whose primary is found by asking. ``service`` is empty for a Cluster."""

    hosts: tuple[Address, ...]
    service: str = ""
    database: int = 0
    tls: bool = False
    username: str | None = None
    password: str | None = None


def read_followed_url(text: str) -> FollowedUrl | None:
    """Return what such a URL names; None for a URL of another kind.

    Raises:
        ValueError: it is of this kind, and malformed.
    """
    scheme, separator, _ = text.partition("://")
    plain, _, way = scheme.partition("+")
    if not separator or plain not in {"redis", "rediss"} or way not in _USUAL_PORT:
        return None
    problem = f"expected hosts and no options, such as {_EXAMPLE[way]}"
    found = _FOLLOWED.fullmatch(text)
    if found is None:
        raise ValueError(problem)
    _, _, user, hosts, path = found.groups(default="")
    service, database = "", "0"
    if way == "sentinel":
        place = _SERVICE.fullmatch(path)
        if place is None:
            raise ValueError(problem)
        service, database = place.groups(default="0")
    elif path.strip("/"):
        raise ValueError(f"a Cluster has one database only; {problem}")
    name, _, secret = user.rpartition(":") if ":" in user else (user, "", "")
    addresses = tuple(_address(each, _USUAL_PORT[way], problem) for each in hosts.split(","))
    if len(set(addresses)) < len(addresses):
        raise ValueError("names a host twice; each has one voice")
    return FollowedUrl(
        addresses, service, int(database), plain == "rediss",
        unquote(name) or None, unquote(secret) or None,
    )  # fmt: skip


def check_store_url(text: str) -> None:
    """Check what stands as ``accounts.url``.

    Raises:
        ValueError: it names no account store.
    """
    if read_followed_url(text) is not None:
        return
    url = split_url(text, ("redis", "rediss", "unix", "memory"))
    if url.scheme in ("redis", "rediss"):
        if not url.hostname or not _DATABASE.fullmatch(url.path):
            raise ValueError("expected a host and a number, such as redis://127.0.0.1:6379/0")
    elif url.scheme == "unix" and (url.hostname or not url.path.strip("/")):
        raise ValueError("expected three slashes and a path, such as unix:///run/redis.sock")
    # redis-py takes options from a URL, among them not to verify certificates.
    if url.fragment or (url.query and not _is_database(url)):
        raise ValueError("expected no options in the URL; there are settings beside it")


def _is_database(url: SplitResult) -> bool:
    return url.scheme == "unix" and re.fullmatch(r"db=[0-9]{1,5}", url.query) is not None


def has_hash_tag(prefix: str) -> bool:
    """Say whether all keys with this prefix are in one slot of a Cluster."""
    return _HASH_TAG.match(prefix) is not None


def _address(text: str, usual_port: int, problem: str) -> Address:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(problem)
    port = int(found[2] or usual_port)
    if not 0 < port < 65536:
        raise ValueError(problem)
    return found[1].strip("[]"), port
