"""What a hostile token must not set going: files, connections, caches, a way round revocation."""

import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from sidecar.core.decision import Grant
from sidecar.core.subject import SubjectKey
from sidecar.ports import Change
from tests.attacks.forging import forge, hostile_world, signers
from tests.attacks.tables import TOKENS, verdict
from tests.attacks.test_cost import calls_of
from tests.fakes.tokens import ec_key, encode
from tests.fakes.world import REALM, ROBOT, World

_WATCHED = (
    "open",
    "os.",
    "socket.",
    "subprocess.",
    "urllib.",
    "import",
    "exec",
    "compile",
    "shutil.",
)


class Watch:
    """Counts what the process asks of the system, while it is looking. A hook cannot be removed."""

    def __init__(self) -> None:
        self.looking = False
        self.seen: Counter[str] = Counter()
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: object) -> None:
        del arguments
        if self.looking and event.startswith(_WATCHED):
            self.seen[event] += 1


@pytest.fixture(scope="module")
def watch() -> Iterator[Watch]:
    found = Watch()
    yield found
    found.looking = False


async def decide(world: World, token: str) -> str:
    return verdict(await world.wait_for("GET", "/reports", token=token))


async def test_no_token_opens_a_file_or_a_connection(watch: Watch) -> None:
    """J5, J6, bar 13: paths, addresses and commands in kid, jku and x5u lead nowhere."""
    world = hostile_world()
    tokens = [forge(world, row) for row in TOKENS]
    tokens += [world.sign(header={"kid": f"../../../proc/{number}"}) for number in range(200)]
    for token in tokens:
        await decide(world, token)  # whatever is imported late or compiled once, is so now

    watch.looking = True
    for token in tokens:
        await decide(world, token)
    watch.looking = False

    assert watch.seen == {}


async def test_the_watch_would_see_a_file_and_a_connection(watch: Watch) -> None:
    watch.looking = True
    with open(__file__, "rb"):  # noqa: ASYNC230, PTH123
        pass
    watch.looking = False

    assert watch.seen.pop("open") == 1


@pytest.mark.parametrize("issuer", ["https://idp.example", "https://lax.example"])
@pytest.mark.parametrize("name", ["stranger", "strange ec", "strange ed"])
async def test_a_key_that_comes_with_its_token_vouches_for_nothing(name: str, issuer: str) -> None:
    """CVE-2026-27962: here it is the very key that made the signature."""
    world = hostile_world()
    _, key = signers()[name]
    public = {**key.public.as_dict(private=False), "kid": key.kid, "alg": key.algorithm}
    for kid in (key.kid, "another", None):
        token = world.sign(key=key, iss=issuer, header={"jwk": public, "kid": kid})
        assert await decide(world, token) == "token_unreadable"


async def test_a_second_spelling_of_a_signature_is_no_way_round_revocation() -> None:
    """J18: s and n - s both verify, so two texts are one token; what is revoked is its jti."""
    world = hostile_world()
    row = {"key": "ec", "claims": {"jti": "one"}}
    spelled = {forge(world, {**row, "signature": f"ecdsa {s} s"}) for s in ("low", "high")}
    assert len({token.rpartition(".")[0] for token in spelled}) == 1
    # Each was signed anew, so four texts; they are one token to whoever revokes it.
    spelled |= {forge(world, row), forge(world, row)}
    assert {await decide(world, token) for token in spelled} == {"granted"}

    world.accounts.revoked_tokens.add((REALM, "one"))
    world.accounts.change(Change(REALM, token_id="one"))
    assert {await decide(world, token) for token in spelled} == {"token_revoked"}

    world.accounts.revoked_tokens.clear()
    world.disable("robot")
    assert {await decide(world, token) for token in spelled} == {"subject_inactive"}


@pytest.mark.parametrize("waits", [False, True])
async def test_what_was_read_of_one_token_is_nothing_to_the_next_request(*, waits: bool) -> None:
    """A decision may read its token once for several walks; another decision reads its own."""
    world = hostile_world()
    admin = world.enroll("admin", at_hand=not waits)
    for _ in range(2):
        found = await decide(world, world.sign(sub="admin"))
        assert found == "granted"
        for token in (world.sign(header={"kid": "x"}), world.sign(sub="nobody"), ""):
            assert await decide(world, token) != "granted"
            asked = world.authorizer.authorize_now(world.request(token=token))
            assert asked is None or verdict(asked) != "granted"
        assert verdict(world.authorizer.authorize_now(world.request())) == "no_credentials"
        robot = world.authorizer.authorize_now(world.request(token=world.sign()))
        assert isinstance(robot, Grant)
        assert robot.principal is not None
        assert robot.principal.key == ROBOT != admin


@pytest.mark.parametrize("unit", ["[", '{"a":'])
async def test_a_raised_limit_of_size_raises_none_of_depth(unit: str) -> None:
    """Correctly signed and 40,000 deep it overflowed the decoder's stack: a 500."""
    world = hostile_world(max_token_bytes=1_000_000)
    closing = "]" if unit == "[" else "}"
    claims = f'{{"iss":"https://idp.example","x":{unit * 40_000}1{closing * 40_000}}}'
    token = forge(world, {"claims_text": claims})

    assert await decide(world, token) == "token_unreadable"
    header = encode(claims)
    assert await decide(world, f"{header}.{encode('{}')}.AAAA") == "token_unreadable"


def test_the_reasons_behind_one_answer_cost_alike() -> None:
    """Bar 8: what it takes us to say no tells no unknown account from a disabled one."""
    world = hostile_world()
    world.disable("robot")
    world.accounts.preload(SubjectKey(REALM, "nobody"))
    world.accounts.preload(ROBOT)
    tokens = {
        "inactive": world.sign(key=ec_key()),
        "unknown": world.sign(key=ec_key(), sub="nobody"),
        "expired": world.sign(key=ec_key(), exp=1),
        "not ours": world.sign(key=ec_key(), aud="api://other"),
    }
    for token in tokens.values():
        calls_of(world, token)
    calls = {name: calls_of(world, token) for name, token in tokens.items()}

    assert max(calls.values()) < 1.3 * min(calls.values()), calls
