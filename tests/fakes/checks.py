"""Checks as Envoy writes them, and what it reads out of the answer."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from sidecar.core.identity_headers import IdentityHeaders
from sidecar.fronts.ext_authz.checker import Checker, Parts
from sidecar.fronts.ext_authz.fields import FieldRules
from sidecar.fronts.forwarded import TrustedProxies
from tests.fakes.front import IDENTITY
from tests.fakes.world import World

HOST = "sidecar.example"
PEER = "192.0.2.7"
OK = 0
OVERWRITE = 2  # HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

Field = tuple[str, str | bytes]


def check_of(
    *fields: Field, method: str = "GET", target: str = "/reports", raw: bool = True
) -> bytes:
    """Return a serialized ``CheckRequest`` with these header fields, in either of the two forms."""
    request = CheckRequest()
    attributes = request.attributes
    attributes.source.address.socket_address.address = PEER
    http = attributes.request.http
    http.method, http.path, http.host = method, target, HOST
    pseudo: list[Field] = [(":method", method), (":path", target), (":authority", HOST)]
    for name, value in (*pseudo, *fields):
        octets = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
        if raw:
            http.header_map.headers.add(key=name, raw_value=octets)
        else:
            # Envoy joins the lines of one name, and replaces what is no UTF-8.
            text = octets.decode("ascii", "replace").replace("\ufffd", "!")
            http.headers[name] = f"{http.headers[name]},{text}" if name in http.headers else text
    return bytes(request.SerializeToString())


def changed(message: bytes, **http: Any) -> bytes:
    """Return the check with other members of its HTTP request, the header left as it is."""
    request = CheckRequest.FromString(message)
    for name, value in http.items():
        setattr(request.attributes.request.http, name, value)
    return bytes(request.SerializeToString())


@dataclass(frozen=True, slots=True)
class Told:
    """What Envoy does with an answer: ``status`` is 200 where the request passes."""

    status: int
    set: dict[str, str]
    removed: list[str]
    metadata: dict[str, Any]
    client: dict[str, str]
    body: str


def read_answer(answer: bytes) -> Told:
    """Read an answer as Envoy does: the status first, then what goes with that status."""
    response = CheckResponse.FromString(answer)
    ok, refused = response.ok_response, response.denied_response
    assert {option.append_action for option in (*ok.headers, *refused.headers)} <= {OVERWRITE}
    assert not [option for option in (*ok.headers, *refused.headers) if option.HasField("append")]
    if response.status.code == OK:
        assert not response.HasField("denied_response")
        assert not response.HasField("error_response")
    else:
        assert response.HasField("denied_response")
    return Told(
        200 if response.status.code == OK else refused.status.code,
        {option.header.key: option.header.value for option in ok.headers},
        list(ok.headers_to_remove),
        dict(response.dynamic_metadata.items()),
        {option.header.key: option.header.value for option in refused.headers},
        refused.body,
    )


@dataclass
class FakeCaller:
    """Implements the checker's ``Caller``."""

    remaining: float | None = None
    metadata: tuple[tuple[str, str | bytes], ...] | None = None

    def time_remaining(self) -> float | None:
        return self.remaining

    def invocation_metadata(self) -> tuple[tuple[str, str | bytes], ...] | None:
        return self.metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"


@dataclass
class Door:
    """A checker over a world. ``ask`` puts a request with a good token, unless told otherwise."""

    world: World = field(default_factory=World)
    identity: IdentityHeaders = IDENTITY
    trusted: TrustedProxies = field(default_factory=TrustedProxies)
    forward_authorization: bool = True
    max_concurrent: int = 10

    def __post_init__(self) -> None:
        rules = FieldRules(
            self.identity, self.trusted, self.forward_authorization, self.world.shown
        )
        self.checker = Checker(
            Parts(
                self.world.authorizer,
                rules,
                self.world.clock,
                self.world.observer,
                max_concurrent=self.max_concurrent,
                tracer=self.world.tracer,
            )
        )

    async def send(self, message: bytes, caller: FakeCaller | None = None) -> Told:
        async with asyncio.timeout(10):
            return read_answer(await self.checker.check(message, caller or FakeCaller()))

    async def ask(self, *fields: Field, **more: Any) -> Told:
        authorization = ("authorization", f"Bearer {self.world.sign()}")
        return await self.send(check_of(authorization, *fields, **more))

    def reasons(self) -> list[str]:
        """Return the reasons of all decisions that were observed; a grant's is empty."""
        return [
            str(getattr(decision, "reason", "")) for _, decision, _ in self.world.observer.decisions
        ]
