"""The gRPC proxy's section: where it listens, where it goes, and what of it has no effect."""

from typing import Any

import pytest

from sidecar.settings.grpc import is_metadata_name
from tests.settings.desk import Desk, changed


def grpc(url: str = "grpc://127.0.0.1:8010", tls: Any = None, **members: Any) -> dict[str, Any]:
    upstream: dict[str, Any] = {"url": url}
    if tls is not None:
        upstream["tls"] = tls
    return changed(grpc={"upstream": upstream, **members})


def test_without_the_section_there_is_no_door(desk: Desk) -> None:
    assert desk.load(changed()).grpc is None


def test_an_address_of_upstream_is_all_it_takes(desk: Desk) -> None:
    section = desk.load(grpc()).grpc

    assert section is not None
    assert section.upstream.target == "127.0.0.1:8010"
    assert not section.upstream.is_encrypted
    assert section.max_message_bytes > 17 * 1024 * 1024, "what the Hoop gateway takes"
    assert section.upstream.keepalive > 300, "what grpc-go permits"


def test_grpcs_speaks_tls(desk: Desk) -> None:
    section = desk.load(grpc("grpcs://gateway:8443", {"server_name": "gateway.example"})).grpc

    assert section is not None
    assert section.upstream.is_encrypted
    assert section.upstream.tls is not None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (grpc("http://127.0.0.1:8010"), "begins with grpc:// or grpcs://"),
        (grpc("grpc://127.0.0.1"), "expected scheme, host and port"),
        (grpc("grpc://127.0.0.1:8010/x"), "host and port alone"),
        (grpc("grpc://127.0.0.1:8010?x"), "host and port alone"),
        (grpc("grpc://u:p@127.0.0.1:8010"), "expected scheme, host and port"),
        (grpc("grpc://127.0.0.1:x"), "expected a URL"),
        (grpc(tls={}), "has no effect on grpc://"),
        (grpc(max_message_bytes=1), "greater than or equal to 1024"),
        (grpc(max_calls=0), "greater than or equal to 1"),
        (grpc(keepalive=0.5), "greater than or equal to 1"),
        (grpc(port=65536), "less than or equal to 65535"),
        (grpc(tls={"server": "x"}), "server"),
        (changed(grpc={}), "upstream"),
        (
            {**grpc(), "identity_headers": {"subject": "X!Subject"}},
            "'X!Subject' cannot be sent in gRPC",
        ),
        ({**grpc(), "cleared_headers": ["grpc-foo"]}, "'grpc-foo' cannot be sent in gRPC"),
    ],
)
def test_what_cannot_work_is_refused(desk: Desk, settings: dict[str, Any], says: str) -> None:
    assert says in "\n".join(map(str, desk.problems(settings)))


@pytest.mark.parametrize("name", ["X-Auth-Subject", "api-key", "a.b_c-bin"])
def test_names_that_grpc_knows(name: str) -> None:
    assert is_metadata_name(name)


@pytest.mark.parametrize("name", ["X!A", "grpc-status", "Grpc-Status", "a b", "", "a+b"])
def test_names_that_grpc_does_not_know_or_keeps_to_itself(name: str) -> None:
    assert not is_metadata_name(name)
