"""Project Wycheproof's vectors for JWS and JWK (bars 1 and 2)."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.attacks.vectors import explained, load, verifies


def vectors(file: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Yield each vector with the public keys that it is to be verified by."""
    for group in load("wycheproof", f"{file}_test.json")["testGroups"]:
        key = group.get("public", group["private"])
        for vector in group["tests"]:
            yield vector, key.get("keys", [key])


def compact(vector: Mapping[str, Any]) -> str:
    """Return the token; one in JSON serialization as its text."""
    token = vector["jws"] if "jws" in vector else vector["jwe"]
    return token if isinstance(token, str) else json.dumps(token)


@pytest.mark.parametrize(
    ("file", "count"),
    [("json_web_signature", 401), ("json_web_key", 26), ("json_web_crypto", 83)],
)
def test_every_verdict_is_the_vectors_or_explained(file: str, count: int) -> None:
    differing, ran = set(), 0
    for vector, keys in vectors(file):
        accepted, valid = verifies(compact(vector), keys), vector["result"] == "valid"
        assert valid or not accepted, f"{vector['tcId']} is accepted"
        if accepted != valid:
            differing.add(str(vector["tcId"]))
        ran += 1

    assert differing == set(explained(file))
    assert ran == count


def test_no_encrypted_token_is_ever_accepted() -> None:
    """Nor one that is nearly encrypted; nothing is decrypted, so nothing can be inflated."""
    verdicts = [verifies(compact(vector), keys) for vector, keys in vectors("json_web_encryption")]

    assert len(verdicts) > 50
    assert not any(verdicts)
