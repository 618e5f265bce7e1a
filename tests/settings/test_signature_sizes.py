"""Tokens with large signatures have to fit through the limits."""

from typing import Any

import pytest

from sidecar.settings.signature_sizes import least_header_bytes, least_token_bytes
from tests.settings.desk import GOOD, Desk, changed

POST_QUANTUM = [{**GOOD["issuers"][0], "algorithms": ["ES256", "ML-DSA-87"]}]


@pytest.mark.parametrize(
    ("algorithm", "octets"), [("ML-DSA-44", 3227), ("ML-DSA-65", 4412), ("ML-DSA-87", 6170)]
)
def test_room_is_left_for_header_and_claims(algorithm: str, octets: int) -> None:
    assert least_token_bytes(["RS256", algorithm]) == octets + 1024
    assert least_header_bytes([algorithm]) == octets + 2048


def test_other_signatures_ask_for_nothing() -> None:
    assert least_token_bytes(["RS256", "ES512"]) == least_header_bytes([]) == 0


def test_every_parameter_set_fits_through_the_limits_that_nobody_changed(desk: Desk) -> None:
    assert desk.load(changed(issuers=POST_QUANTUM)).limits.max_token_bytes == 8192


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"limits": {"max_token_bytes": 4096}}, "max_token_bytes: ML-DSA signatures are long"),
        ({"listen": {"max_header_bytes": 8192}}, "listen.max_header_bytes: ML-DSA"),
        (
            {
                "forward_auth": {
                    "dialect": "nginx",
                    "max_header_bytes": 4096,
                    "trusted_proxies": ["127.0.0.1"],
                }
            },
            "forward_auth.max_header_bytes: ML-DSA",
        ),
    ],
)
def test_limits_that_shut_such_tokens_out_are_a_problem(
    desk: Desk, sections: dict[str, Any], says: str
) -> None:
    problem = desk.the_problem(changed(issuers=POST_QUANTUM, **sections))

    assert problem.startswith("limits")
    assert says in problem
    desk.load(changed(**sections))
