"""Bound tokens through every door: the same decision, and upstream gets a bearer."""

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from sidecar.app.tls import server_context
from sidecar.core.client_certificate import CertificateForm, thumbprint_of
from sidecar.core.decision import DenyReason, Grant
from sidecar.core.dialect import Dialect
from sidecar.core.nonces import Nonces
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.grpc_listener import Address, Certificate
from sidecar.fronts.grpc_proxy.metadata import MetadataRules, Metadatum
from sidecar.fronts.grpc_proxy.server import ListenPolicy as GrpcListenPolicy
from sidecar.fronts.listener import ListenPolicy
from sidecar.fronts.reverse_proxy.handler import Handler
from sidecar.fronts.reverse_proxy.server import listening
from sidecar.fronts.shown import CertificateHeader, ShownRules
from sidecar.ports import Change, CutReason
from tests.app.test_tls import Certificates
from tests.fakes import checks
from tests.fakes.doors import (
    DOORS,
    LOOPBACK,
    Answer,
    Asked,
    fields_of,
    forward_auth_door,
    question,
    reverse_proxy_door,
)
from tests.fakes.front import IDENTITY, read_all, running_front, status_of
from tests.fakes.grpc_front import ECHO, ROUTES, echo, grpc_upstream, running_grpc_front
from tests.fakes.grpc_front import Answer as GrpcAnswer
from tests.fakes.proofs import MTLS, bound_world, jkt_of, proof_of
from tests.fakes.tokens import ec_key
from tests.fakes.upstream import Conversation, scripted_upstream
from tests.fakes.world import REALM, World

DER = b"\x30\x82 the client's certificate"
THUMBPRINT = thumbprint_of(DER)
TOLD = f":{b64encode(DER).decode()}:"
HEADER = CertificateHeader("client-cert", CertificateForm.RFC9440)
BY_HEADER = ShownRules(header=HEADER)

every_door = pytest.mark.parametrize("name", list(DOORS))


def dpop(world: World) -> str:
    return world.sign(cnf={"jkt": jkt_of()})


def mtls(world: World, thumbprint: str = THUMBPRINT) -> str:
    return world.sign(cnf={"x5t#S256": thumbprint})


def asked(token: str, *proofs: str, scheme: str = "DPoP", target: str = "/reports") -> Asked:
    return Asked(
        target=target,
        authorization=(f"{scheme} {token}",),
        fields=tuple(("dpop", proof) for proof in proofs),
    )


def reason(answer: Answer) -> DenyReason | None:
    return getattr(answer.decision, "reason", None)


@every_door
async def test_a_token_with_its_proof_comes_in_once_at_every_door(name: str) -> None:
    world = bound_world()
    token = dpop(world)
    request = asked(token, proof_of(token))

    async with DOORS[name](world) as door:
        first, replayed = await door.ask(request), await door.ask(request)

    assert first.status == 200
    assert isinstance(first.decision, Grant)
    assert (replayed.status, reason(replayed)) == (401, DenyReason.PROOF_REPLAYED)


@every_door
async def test_upstream_gets_a_bearer_and_no_proof_at_every_door(name: str) -> None:
    world = bound_world()
    token = dpop(world)

    async with DOORS[name](world) as door:
        answer = await door.ask(asked(token, proof_of(token)))

    assert answer.told["authorization"] == [f"Bearer {token}"]
    assert answer.told.get("dpop", [""]) == [""]


@every_door
async def test_what_is_not_proven_is_refused_at_every_door(name: str) -> None:
    world = bound_world()
    token, plain = dpop(world), world.sign()
    proof = proof_of(token)
    refused = [
        (asked(token), DenyReason.PROOF_REFUSED),
        (asked(token, proof, proof_of(token)), DenyReason.PROOF_REFUSED),
        (asked(token, f"{proof}, {proof}"), DenyReason.PROOF_REFUSED),
        (asked(token, proof_of(token, "POST")), DenyReason.PROOF_REFUSED),
        (asked(token, proof_of(token, path="/other")), DenyReason.PROOF_REFUSED),
        (asked(token, proof_of(plain)), DenyReason.PROOF_REFUSED),
        (asked(token, proof_of(token, key=ec_key("thief"))), DenyReason.BINDING_REFUSED),
        (asked(token, proof, scheme="Bearer"), DenyReason.BINDING_REFUSED),
        (asked(plain, proof_of(plain)), DenyReason.BINDING_MISSING),
    ]

    async with DOORS[name](world) as door:
        answers = [await door.ask(request) for request, _ in refused]

    assert [reason(answer) for answer in answers] == [why for _, why in refused]
    assert {answer.status for answer in answers} == {401}


@every_door
async def test_plain_bearers_come_in_as_before_at_every_door(name: str) -> None:
    world = bound_world()

    async with DOORS[name](world) as door:
        answer = await door.ask(asked(world.sign(), scheme="Bearer", target="/reports?x=1"))

    assert answer.status == 200


@every_door
async def test_a_certificate_that_nobody_vouches_for_proves_nothing_at_any_door(name: str) -> None:
    """A client can send any header, and nobody has set this door to believe one."""
    world = bound_world(MTLS)
    request = Asked(
        authorization=(f"Bearer {mtls(world)}",),
        fields=(("client-cert", TOLD), ("x-forwarded-client-cert", f"Hash={'0' * 64}")),
    )

    async with DOORS[name](world) as door:
        answer = await door.ask(request)

    assert (answer.status, reason(answer)) == (401, DenyReason.BINDING_REFUSED)


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_forward_auth_believes_the_header_of_its_proxy(dialect: Dialect) -> None:
    world = bound_world(MTLS, shown=BY_HEADER)
    authorization = (f"Bearer {mtls(world)}",)

    async with forward_auth_door(dialect, world) as door:
        shown = await door.ask(Asked(authorization=authorization, fields=(("Client-Cert", TOLD),)))
        twice = await door.ask(
            Asked(authorization=authorization, fields=(("Client-Cert", TOLD),) * 2)
        )
        alias = await door.ask(
            Asked(
                authorization=authorization,
                fields=(("Client-Cert", TOLD), ("Client_Cert", TOLD)),
            )
        )

    assert shown.status == 200
    assert reason(twice) is DenyReason.BINDING_REFUSED
    # The proxy would pass it on: whoever reads it for the other one is told another's certificate.
    assert reason(alias) is DenyReason.MALFORMED_REQUEST


async def test_the_reverse_proxy_believes_the_header_of_a_trusted_proxy_alone() -> None:
    request = (("Client-Cert", TOLD), ("X-Last", "1"))
    statuses, told = [], []
    for trusted in (LOOPBACK, TrustedProxies()):
        world = bound_world(MTLS, shown=BY_HEADER)
        async with reverse_proxy_door(world, trusted=trusted) as door:
            answer = await door.ask(Asked(authorization=(f"Bearer {mtls(world)}",), fields=request))
            plain = await door.ask(Asked(authorization=(f"Bearer {world.sign()}",), fields=request))
        statuses.append((answer.status, plain.status))
        told.append(plain.told.get("client-cert"))

    assert statuses == [(200, 200), (401, 200)]
    assert told == [[TOLD], None]


@pytest.mark.parametrize("name", ["Client_Cert", "client.cert", "CLIENT_CERT"])
async def test_an_alias_of_the_header_proves_nothing_and_goes_nowhere(name: str) -> None:
    world = bound_world(MTLS, shown=BY_HEADER)
    async with reverse_proxy_door(world, trusted=LOOPBACK) as door:
        bound = await door.ask(
            Asked(authorization=(f"Bearer {mtls(world)}",), fields=((name, TOLD),))
        )
        plain = await door.ask(
            Asked(authorization=(f"Bearer {world.sign()}",), fields=((name, TOLD),))
        )

    assert reason(bound) is DenyReason.BINDING_REFUSED
    assert plain.status == 200
    assert name.lower() not in plain.told


async def test_an_upstream_that_verifies_proofs_gets_them_as_they_came() -> None:
    world = bound_world(shown=ShownRules(forwards_proofs=True))
    token = dpop(world)
    proof = proof_of(token)

    async with reverse_proxy_door(world) as door:
        answer = await door.ask(asked(token, proof))

    assert answer.told["authorization"] == [f"DPoP {token}"]
    assert answer.told["dpop"] == [proof]


async def test_where_nothing_is_bound_the_field_is_one_like_any_other() -> None:
    world = World()
    async with reverse_proxy_door(world) as door:
        answer = await door.ask(asked(world.sign(), "mine", scheme="Bearer"))

    assert answer.told["dpop"] == ["mine"]


async def test_envoys_word_on_its_clients_certificate_counts() -> None:
    """``include_peer_certificate`` of its filter."""
    pem = f"-----BEGIN CERTIFICATE-----\n{b64encode(DER).decode()}\n-----END CERTIFICATE-----\n"
    world = bound_world(MTLS)
    door = checks.Door(world)
    check = CheckRequest.FromString(checks.check_of(("authorization", f"Bearer {mtls(world)}")))

    without = await door.send(bytes(check.SerializeToString()))
    check.attributes.source.certificate = quote(pem)
    shown = await door.send(bytes(check.SerializeToString()))

    assert (without.status, shown.status) == (401, 200)


async def test_the_refusal_says_what_is_wrong_with_the_proof_and_offers_both_schemes() -> None:
    world = bound_world(nonces=Nonces(b"a secret of thirty-two characters", 60.0))
    token = dpop(world)
    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        lines = ["Host: a", f"Authorization: DPoP {token}", f"DPoP: {proof_of(token)}"]
        refused = fields_of(await front.send(question("GET", "/reports", lines)))
        nonce = refused["dpop-nonce"][0]
        lines[2] = f"DPoP: {proof_of(token, nonce=nonce)}"
        granted = await front.send(question("GET", "/reports", lines))
        nobody = fields_of(await front.send(question("GET", "/reports", lines[:1])))

    algorithms = 'algs="ES256 Ed25519 RS256"'
    assert refused["www-authenticate"] == [
        f'DPoP realm="sidecar", error="use_dpop_nonce", {algorithms}, Bearer realm="sidecar"'
    ]
    assert status_of(granted) == 200
    assert nobody["www-authenticate"] == [f'Bearer realm="sidecar", DPoP {algorithms}']
    assert "dpop-nonce" not in nobody


async def test_a_stream_of_a_bound_token_is_cut_when_its_subject_is_revoked() -> None:
    async def begin_and_hang(conversation: Conversation) -> None:
        conversation.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbeg")
        await conversation.read_to_end()

    world = bound_world()
    token = dpop(world)
    async with (
        scripted_upstream(begin_and_hang) as upstream,
        running_front(upstream.url, world=world) as front,
    ):
        reader, writer = await asyncio.open_connection(*front.address)
        lines = ["Host: a", f"Authorization: DPoP {token}", f"DPoP: {proof_of(token)}"]
        writer.write(question("GET", "/reports", lines))
        async with asyncio.timeout(10):
            await reader.readuntil(b"beg")
            cut = front.streams.cut(front.streams.of(Change(REALM, "robot")), CutReason.REVOKED)
            rest = await read_all(reader)
        writer.close()

    assert (cut, rest) == (1, b"")


def client_of(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def thumbprint_in(certificates: Certificates) -> str:
    pem = certificates.certificate.read_text().partition("-----END CERTIFICATE-----")
    return thumbprint_of(ssl.PEM_cert_to_DER_cert("".join(pem[:2]) + "\n"))


async def test_the_reverse_proxys_own_handshake_proves_the_certificate(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    world = bound_world(MTLS, shown=BY_HEADER)
    right, wrong = mtls(world, thumbprint_in(ours)), mtls(world)
    tls = server_context(ours.certificate, ours.key, ours.ca)

    async with scripted_upstream() as upstream, running_front(upstream.url, world=world) as front:
        policy = ListenPolicy("127.0.0.1", 0, tls=tls, idle_timeout=10.0)
        async with listening(Handler(front.parts), policy) as proxy:
            port = int(proxy.url.rpartition(":")[2])
            statuses = []
            for token in (right, wrong):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=client_of(ours), server_hostname="localhost"
                )
                # What a client says of itself changes nothing.
                lines = ["Host: a", f"Authorization: Bearer {token}", f"Client-Cert: {TOLD}"]
                writer.write(question("GET", "/reports", lines))
                async with asyncio.timeout(10):
                    statuses.append(status_of(await read_all(reader)))
                writer.close()

    assert statuses == [200, 401]


async def test_grpc_calls_are_bound_by_proof() -> None:
    """Their method is POST, their URL the service's and the method's."""
    world = bound_world(routes=ROUTES)
    token = dpop(world)
    proof = proof_of(token, "POST", ECHO)
    told: list[Metadatum] = [("authorization", f"DPoP {token}"), ("dpop", proof)]
    rules = MetadataRules(IDENTITY, shown=world.shown)

    async with (
        grpc_upstream(echo) as upstream,
        running_grpc_front(upstream.target, world=world, rules=rules) as front,
    ):
        first, replayed = await front.ask(b"1", metadata=told), await front.ask(metadata=told)
        told[1] = ("dpop", proof_of(token, "GET", ECHO))
        other = await front.ask(metadata=told)

    assert (first.code, first.messages) == (grpc.StatusCode.OK, [b"1"])
    assert upstream.last.values("authorization") == [f"Bearer {token}"]
    assert upstream.last.values("dpop") == []
    assert {replayed.code, other.code} == {grpc.StatusCode.UNAUTHENTICATED}
    assert "invalid_dpop_proof" in str(replayed.trailer("www-authenticate"))


async def test_grpc_calls_are_bound_by_certificate(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")
    world = bound_world(MTLS, routes=ROUTES)
    listen = GrpcListenPolicy(
        Address(
            "127.0.0.1",
            0,
            Certificate(ours.key.read_bytes(), ours.certificate.read_bytes(), ours.ca.read_bytes()),
        )
    )
    client = grpc.ssl_channel_credentials(
        ours.ca.read_bytes(), ours.key.read_bytes(), ours.certificate.read_bytes()
    )
    answers: list[GrpcAnswer] = []
    async with (
        grpc_upstream(echo) as upstream,
        running_grpc_front(
            upstream.target,
            world=world,
            rules=MetadataRules(IDENTITY, shown=world.shown),
            listen=listen,
            client=client,
        ) as front,
    ):
        for token in (mtls(world, thumbprint_in(ours)), mtls(world)):
            told = [("authorization", f"Bearer {token}")]
            answers.append(await front.ask(b"1", metadata=told))

    assert [each.code for each in answers] == [
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAUTHENTICATED,
    ]


async def test_a_grpc_proxys_header_is_believed_from_trusted_peers_alone() -> None:
    codes = []
    for trusted in (LOOPBACK, TrustedProxies()):
        world = bound_world(MTLS, routes=ROUTES, shown=BY_HEADER)
        rules = MetadataRules(IDENTITY, trusted, shown=world.shown)
        told = [("authorization", f"Bearer {mtls(world)}"), ("client-cert", TOLD)]
        async with (
            grpc_upstream(echo) as upstream,
            running_grpc_front(upstream.target, world=world, rules=rules) as front,
        ):
            codes.append((await front.ask(b"1", metadata=told)).code)
            codes.append((await front.ask(b"1", metadata=[told[0], ("client_cert", TOLD)])).code)

    assert codes == [grpc.StatusCode.OK, *[grpc.StatusCode.UNAUTHENTICATED] * 3]


@pytest.mark.parametrize("dialect", list(Dialect))
async def test_a_proxy_that_copies_the_credential_always_gets_one(dialect: Dialect) -> None:
    """Else it would take a plain bearer away, and an open route's own credential."""
    world = bound_world()
    bearer = f"Bearer {world.sign()}"
    open_route = Asked(target="/public/x", authorization=("Basic eDp5",))

    async with forward_auth_door(dialect, world) as door:
        plain = await door.ask(Asked(authorization=(bearer,)))
        own = await door.ask(open_route)
        none = await door.ask(Asked(target="/public/x"))

    told = [each.told["authorization"] for each in (plain, own, none)]
    assert told == [[bearer], ["Basic eDp5"], [""]]
    removed = "dpop" if dialect is Dialect.ENVOY else None
    assert plain.told.get("x-envoy-auth-headers-to-remove", [None]) == [removed]


async def test_grpc_clients_get_their_nonce_in_the_trailers() -> None:
    nonces = Nonces(b"a secret of thirty-two characters", 60.0)
    world = bound_world(routes=ROUTES, nonces=nonces)
    token = dpop(world)
    told = [("authorization", f"DPoP {token}"), ("dpop", proof_of(token, "POST", ECHO))]
    rules = MetadataRules(IDENTITY, shown=world.shown)

    async with (
        grpc_upstream(echo) as upstream,
        running_grpc_front(upstream.target, world=world, rules=rules) as front,
    ):
        refused = await front.ask(metadata=told)
        nonce = refused.trailer("dpop-nonce")
        told[1] = ("dpop", proof_of(token, "POST", ECHO, nonce=nonce))
        granted = await front.ask(b"1", metadata=told)

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert nonce == nonces.current(world.clock.now())
    assert granted.code is grpc.StatusCode.OK
