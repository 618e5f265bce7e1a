"""A head is made once for all requests that have it, and means the same each time."""

from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.decision import DenyReason
from sidecar.core.identity_headers import IdentityHeaders
from sidecar.core.principal import Principal
from sidecar.fronts.forwarded import TrustedProxies
from sidecar.fronts.prepared_head import PreparedHead, prepare_head
from sidecar.fronts.request_head import HeadRules
from tests.fakes.front import IDENTITY
from tests.fronts.test_request_head import BEARER, HOST, ROBOT

RULES = HeadRules(IDENTITY)
NEW = (1, 1)


def prepared(*fields: tuple[bytes, bytes], rules: HeadRules = RULES) -> PreparedHead:
    return prepare_head(rules, (HOST, BEARER, *fields), NEW, "192.0.2.7")


def lines(head: PreparedHead, principal: Principal | None, request_id: str) -> bytes:
    return head.lines(RULES, principal, "192.0.2.7", "https", request_id)


NAMES = st.sampled_from([b"Accept", b"accept", b"X-A", b"X_Auth_Subject", b"Connection", b"X-B"])
VALUES = st.sampled_from([b"1", b"2", b"X-A", b"close", b"\xff"])


@given(
    fields=st.lists(st.tuples(NAMES, VALUES), max_size=5),
    callers=st.lists(st.sampled_from([None, ROBOT, replace(ROBOT, name="Other")]), max_size=5),
)
def test_what_is_remembered_is_what_would_be_written(
    fields: list[tuple[bytes, bytes]], callers: list[Principal | None]
) -> None:
    head = prepared(*fields)
    for number, principal in enumerate(callers):
        request_id = f"r-{number}"
        fresh = RULES.write(
            head.head, principal, peer="192.0.2.7", scheme="https", request_id=request_id
        )
        expected = b"".join(b"%b: %b\r\n" % each for each in fresh) + b"\r\n"

        assert lines(head, principal, request_id) == expected


def test_only_the_very_same_fields_are_the_same_head() -> None:
    head = prepared((b"A", b"1"), (b"B", b"2"))

    assert head.is_of((HOST, BEARER, (b"A", b"1"), (b"B", b"2")), NEW)
    for other in (
        (HOST, BEARER, (b"B", b"2"), (b"A", b"1")),
        (HOST, BEARER, (b"a", b"1"), (b"B", b"2")),
        (HOST, (b"Authorization", b"Bearer a.b.d"), (b"A", b"1"), (b"B", b"2")),
        (HOST, BEARER, (b"A", b"1")),
    ):
        assert not head.is_of(other, NEW)
    assert not head.is_of((HOST, BEARER, (b"A", b"1"), (b"B", b"2")), (1, 0))


def test_a_verdict_on_the_head_is_part_of_it() -> None:
    head = prepared((b"Host", b"other.example"))

    assert head.problem is not None
    assert head.problem.reason is DenyReason.MALFORMED_REQUEST
    assert prepared().problem is None


def test_the_client_is_whom_a_trusted_proxy_names() -> None:
    rules = HeadRules(IDENTITY, TrustedProxies((ip_network("192.0.2.0/24"),)))
    forwarded = (b"X-Forwarded-For", b"203.0.113.9")

    assert prepared(forwarded, rules=rules).client == "203.0.113.9"
    assert prepared(forwarded).client == "192.0.2.7"


def test_a_client_cannot_know_the_place_of_the_id() -> None:
    """Whatever it sends stays where it was, also what it has seen of our ids."""
    head = prepared((b"X-Guess", b"r-1"))

    assert b"X-Guess: r-1\r\n" in lines(head, ROBOT, "r-1")
    assert b"X-Guess: r-1\r\n" in lines(head, ROBOT, "r-2")
    assert b"X-Request-Id: r-2\r\n" in lines(head, ROBOT, "r-2")


class Signer:
    """Signs with a number, and the next one when the test says so."""

    def __init__(self) -> None:
        self.text = "signed-1"

    def assertion(self, principal: Principal) -> str:
        return f"{self.text}-{principal.name}" if principal.name else self.text


def test_an_assertion_that_is_due_is_told_with_the_next_request() -> None:
    signer = Signer()
    rules = HeadRules(IdentityHeaders({"assertion": "X-Auth-Assertion"}, asserts=signer))
    head = prepared(rules=rules)
    robot = replace(ROBOT, name="")

    def told() -> bytes:
        written = head.lines(rules, robot, "192.0.2.7", "https", "r-1")
        return written.partition(b"X-Auth-Assertion: ")[2].partition(b"\r\n")[0]

    assert told() == told() == b"signed-1"
    signer.text = "signed-2"
    assert told() == b"signed-2"


def test_a_client_cannot_bring_its_own_assertion() -> None:
    rules = HeadRules(IdentityHeaders({"assertion": "X-Auth-Assertion"}, asserts=Signer()))
    head = prepared((b"X_Auth.Assertion", b"mine"), (b"x-auth-assertion", b"mine"), rules=rules)

    assert b"mine" not in head.lines(rules, ROBOT, "192.0.2.7", "https", "r-1")
    assert b"X-Auth-Assertion: \r\n" in head.lines(rules, None, "192.0.2.7", "https", "r-1")
