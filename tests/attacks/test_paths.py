"""Whatever path the rules let through, every decoder leads where the rules have looked.

A client without a token may get to ``/public/`` and below. So a path that is granted to it must be
below ``/public/`` for each program that may stand behind us, however it reads paths; and what an
admin is granted below ``/admin/`` must be nowhere else.
"""

import itertools
import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from yarl import URL

from sidecar.core.decision import Grant
from tests.fakes.world import World

_DOTS = {".", "%2e"}
_DOUBLE_DOTS = {"..", ".%2e", "%2e.", "%2e%2e"}


def whatwg(path: str) -> str:
    """Read a path as the URL standard of browsers does for http: the path state, in short."""
    path = re.sub(r"[\t\n\r]", "", path).replace("\\", "/").partition("#")[0].partition("?")[0]
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        if segment.lower() in _DOUBLE_DOTS:
            del kept[-1:]
            kept += [""] if is_last else []
        elif segment.lower() in _DOTS:
            kept += [""] if is_last else []
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def servlet(path: str) -> str:
    """Read a path as Tomcat and its kin do: parameters off, decoded, dots resolved."""
    return clean(unquote(re.sub(r";[^/]*", "", path)))


def clean(path: str) -> str:
    """Resolve dots and merge slashes, as Go's ``path.Clean`` and nginx do."""
    found = posixpath.normpath(re.sub("/+", "/", path))
    return found + "/" if path.endswith("/") and found != "/" else found


def overlong(path: str) -> str:
    """Decode UTF-8 as careless programs did, overlong forms included (C0 AE)."""
    octets = unquote_to_bytes(path)
    octets = (
        octets.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/").replace(b"\xc1\x9c", b"\\")
    )
    return clean(octets.decode("utf-8", "replace"))


DECODERS: dict[str, Callable[[str], str]] = {
    "none": lambda path: path,
    "clean": clean,
    "unquote": unquote,
    "unquote, then clean": lambda path: clean(unquote(path)),
    "clean, then unquote": lambda path: unquote(clean(path)),
    "unquote twice, then clean": lambda path: clean(unquote(unquote(path))),
    "backslash": lambda path: clean(unquote(path).replace("\\", "/")),
    "up to NUL": lambda path: clean(unquote(path).partition("\0")[0]),
    "up to a fragment": lambda path: clean(unquote(path).partition("#")[0]),
    "up to a query": lambda path: clean(unquote(path).partition("?")[0]),
    "urlsplit": lambda path: urlsplit("http://a" + path).path,
    "yarl": lambda path: URL("http://a" + path).path,
    "yarl, raw": lambda path: URL("http://a" + path).raw_path,
    "whatwg": whatwg,
    "whatwg, then unquote": lambda path: clean(unquote(whatwg(path))),
    "servlet": servlet,
    "overlong": overlong,
}
PIECES = (
    "public", "admin", "reports", "health", "people", "x", "é", "..", ".", "...", "%2e", "%2E",
    "%2e%2e", ".%2e", "/", "//", "%2f", "%2F", "%5c", "\\", ";", ";x=1", "..;", "%3b", "%00", "\0",
    "#", "%23", "?", "%3f", "%", "%25", "%252e", "%252f", "%u002e", "%c0%ae", "%c0%af",
    "%e0%80%ae", "%c1%9c", "%ff", "%C3%A9", "%61", "%70", "%0d%0a", "\r\n", "\t", "%09", " ",
    "%20", "+", ":", "@", "http://a", "~", "*", "&", "=", ",", "%7e", "%7f", "\x7f", "\u2215",
    "\uff0e", "%ef%bc%8e",
)  # fmt: skip
ROOTS = {"admin": "/admin/", "people": "/people/", "public": "/public/"}
PATHS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
ADMIN = World()
ADMIN.enroll("robot", "admin")
TOKEN = ADMIN.sign()


def is_below(path: str, root: str) -> bool:
    return path == root.rstrip("/") or path.startswith(root)


def problems_of_open(path: str) -> dict[str, str]:
    """Return what decoders read outside of ``/public/`` though anybody may have it."""
    target = path.partition("?")[0]
    if not isinstance(ADMIN.ask("GET", target), Grant):
        return {}
    read = {name: decode(target) for name, decode in DECODERS.items()}
    return {name: found for name, found in read.items() if not is_below(found, "/public/")}


def problems_of_granted(path: str) -> dict[str, str]:
    """Return what decoders read below another route than the one that was granted."""
    target = path.partition("?")[0]
    decision = ADMIN.ask("GET", target, token=TOKEN)
    if not isinstance(decision, Grant):
        return {}
    wrong = {}
    for name, decode in DECODERS.items():
        read = decode(target)
        found = [route for route, where in ROOTS.items() if is_below(read, where)]
        if found not in ([], [decision.route.name]):
            wrong[name] = read
    return wrong


@settings(max_examples=150, deadline=None)
@given(PATHS)
@example("/../admin/x")
@example("/x;/../../admin")
@example("/%2e%2e;/admin")
@example("/..%5cadmin")
@example("/..%c0%afadmin")
@example("/%252e%252e/admin")
@example("/x%23/../../admin")
@example("/x%00/../../admin")
def test_what_nobody_needs_a_token_for_is_public_to_every_decoder(rest: str) -> None:
    assert not problems_of_open("/public" + rest)


@settings(max_examples=150, deadline=None)
@given(PATHS, st.sampled_from(["/admin", "/people", "/"]))
def test_what_one_route_grants_is_no_other_route_to_any_decoder(rest: str, root: str) -> None:
    assert not problems_of_granted(root + rest)


@pytest.mark.parametrize("root", ["/public/", "/public", "/admin/", "/people/", "/"])
def test_no_two_pieces_in_a_row_are_read_otherwise(root: str) -> None:
    wrong = {}
    for one, other in itertools.product(PIECES, repeat=2):
        path = root + one + other
        problems = problems_of_granted(path)
        if root.startswith("/public"):
            problems |= problems_of_open(path) | problems_of_open(f"{path}/../x")
        if problems:
            wrong[path] = problems

    assert not wrong


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_reads_plain_paths_as_they_are(name: str) -> None:
    """Else it would find nothing because it finds everything strange."""
    assert DECODERS[name]("/public/a-b_c~d/1.txt") == "/public/a-b_c~d/1.txt"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("clean", "/public/../admin"),
        ("unquote, then clean", "/public/%2e%2e/admin"),
        ("unquote twice, then clean", "/public/%252e%252e/admin"),
        ("backslash", "/public/..%5cadmin"),
        ("whatwg", "/public/.%2e/admin"),
        ("servlet", "/public/..;/admin"),
        ("overlong", "/public/%c0%ae%c0%ae/admin"),
        ("yarl", "/public/%2e%2e/admin"),
    ],
)
def test_a_decoder_is_fooled_by_its_own_trick(name: str, path: str) -> None:
    assert DECODERS[name](path) == "/admin"
    assert not isinstance(ADMIN.ask("GET", path), Grant)
