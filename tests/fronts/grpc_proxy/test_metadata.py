"""Metadata: what a client says of identity never arrives, and the rest does."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import Grant
from sidecar.core.identity_headers import IdentityHeaders, fold_name
from sidecar.core.principal import Principal
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.grpc_proxy.metadata import (
    MetadataRules,
    Metadatum,
    Unsendable,
    going_down,
)
from tests.fakes.front import IDENTITY
from tests.fakes.world import World

RULES = MetadataRules(IDENTITY)


def principal() -> Principal | None:
    world = World()
    decision = world.ask("GET", "/reports", token=world.sign())
    assert isinstance(decision, Grant)
    return decision.principal


def written(
    metadata: list[Metadatum], rules: MetadataRules = RULES, peer: str = "192.0.2.7"
) -> list[Metadatum]:
    head = rules.read(metadata)
    return list(rules.write(head, principal(), peer=peer, scheme="https", request_id="r-1"))


def values(metadata: list[Metadatum], name: str) -> list[str | bytes]:
    return [value for each, value in metadata if each == name]


BEARER: Metadatum = ("authorization", "Bearer abc")


def test_the_identity_is_told_and_the_credential_goes_on() -> None:
    told = written([("authorization", "bearer abc")])

    assert values(told, "x-auth-subject") == ["robot"]
    assert values(told, "x-auth-name") == ["Robot"]
    assert values(told, "x-request-id") == ["r-1"]
    assert values(told, "api-key") == [""]
    assert values(told, "authorization") == ["Bearer abc"], "as the gateway demands it"


def test_the_credential_ends_here_where_it_is_told_to() -> None:
    rules = MetadataRules(IDENTITY, forward_authorization=False)

    assert values(written([BEARER], rules), "authorization") == []


@given(
    name=st.sampled_from(["x-auth-subject", "x-auth-groups", "api-key", "x-request-id"]),
    separators=st.lists(st.sampled_from("-_."), min_size=2, max_size=2),
    value=st.sampled_from(["root", ""]),
)
def test_no_spelling_of_an_identity_header_gets_through(
    name: str, separators: list[str], value: str
) -> None:
    for separator in separators:
        name = name.replace("-", separator, 1)
    told = written([BEARER, (name, value), (name, "again")])

    same = [each for each, _ in told if fold_name(each) == fold_name(name)]
    assert len(same) == 1
    assert not {"root", "again"} & {found for _, found in told}


@pytest.mark.parametrize(
    "name",
    [
        "grpc-internal-encoding-request", "grpc-timeout", "grpc-encoding", "grpc-foo",
        "grpc-previous-rpc-attempts", "te", "host",
        "connection", "content-type", "user-agent", "x-original-url", "x-http-method-override",
        "x-forwarded-proto", "x-forwarded-host", "x-envoy-peer-metadata", "forwarded", "x-real-ip",
        "x_forwarded_host", "transfer_encoding",
    ],
)  # fmt: skip
def test_what_is_of_the_hop_reserved_or_of_proxies_ends_here(name: str) -> None:
    assert "evil" not in [value for _, value in written([BEARER, (name, "evil")])]


def test_octets_and_repeated_names_stay_as_they_are() -> None:
    sent: list[Metadatum] = [("k", "1"), ("o-bin", b"\xff\x00"), ("k", "2"), ("k", "1")]
    told = written([BEARER, *sent])

    assert values(told, "k") == ["1", "2", "1"]
    assert values(told, "o-bin") == [b"\xff\x00"]


def test_an_identity_header_of_octets_is_sent_as_octets() -> None:
    rules = MetadataRules(IdentityHeaders({"subject": "Caller-Bin"}))
    told = written([BEARER, ("caller-bin", b"root")], rules)

    assert values(told, "caller-bin") == [b"robot"]


@pytest.mark.parametrize("value", ["a\tb", "ü", "a\nb", "\x7f"])
def test_a_value_beyond_printable_ascii_is_a_problem(value: str) -> None:
    assert RULES.read([BEARER, ("k", value)]).problem
    assert RULES.read([("authorization", value)]).problem


def test_upstream_learns_where_the_call_came_from() -> None:
    told = written([BEARER, ("x-forwarded-for", "10.9.9.9")])

    assert values(told, "x-forwarded-for") == ["192.0.2.7"]
    assert values(told, "x-forwarded-proto") == ["https"]


def test_a_trusted_proxy_is_believed() -> None:
    rules = MetadataRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))
    told = written(
        [BEARER, ("x-forwarded-for", "198.51.100.1"), ("x-forwarded-proto", "http")], rules
    )

    assert values(told, "x-forwarded-for") == ["198.51.100.1, 192.0.2.7"]
    assert values(told, "x-forwarded-proto") == ["http"]


def test_past_a_trusted_proxy_a_client_says_nothing_in_another_spelling() -> None:
    rules = MetadataRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))
    names = ("x_forwarded_for", "x.forwarded.proto", "x_real-ip")
    told = written([BEARER, *((name, "evil") for name in names)], rules)

    assert "evil" not in [value for _, value in told]


def test_going_down_only_what_is_upstreams_own_passes() -> None:
    sent: list[Metadatum] = [
        ("a", "1"), ("grpc-status-details-bin", b"\x01"), ("grpc-retry-pushback-ms", "5"),
        ("grpc-foo", "x"), ("connection", "x"), ("content-type", "x"), ("a", "2"),
    ]  # fmt: skip

    assert going_down(sent) == (sent[0], sent[1], sent[2], sent[6])


def test_what_cannot_be_sent_on_is_an_error() -> None:
    with pytest.raises(Unsendable):
        going_down([("a", "ü")])
