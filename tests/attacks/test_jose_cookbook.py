"""The examples of RFC 7520, 8037 and 7797, as published with RFC 7520 (bar 5)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecar.adapters.jwks import NoUsableKeys, read_key_set
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from sidecar.core.mldsa import MLDSAKey
from tests.attacks.vectors import corpus, explained, load, verifies

_ALL = Issuer("", algorithms=ASYMMETRIC_ALGORITHMS, kid_optional=True)


def examples(*folders: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for folder in folders:
        for file in sorted(corpus("jose-cookbook", folder).glob("*.json")):
            yield f"{folder}/{file.stem}", json.loads(file.read_text("utf-8"))


def keys_of(example: dict[str, Any]) -> list[dict[str, Any]]:
    key = example["input"]["key"]
    return key if isinstance(key, list) else [key]


def test_every_signature_of_an_asymmetric_algorithm_verifies() -> None:
    """Examples in JSON serialization alone are refused: no bearer has that form."""
    differing, ran = set(), 0
    for name, example in examples("jws", "curve25519", "rfc7797"):
        if "signing" not in example:
            continue
        output = example["output"]
        token = output.get("compact") or json.dumps(output["json"])
        if not verifies(token, keys_of(example)):
            differing.add(name)
        ran += 1

    assert differing == set(explained("jose_cookbook"))
    assert ran == 11


def test_no_example_verifies_with_one_octet_changed() -> None:
    for name, example in examples("jws", "curve25519"):
        token = example["output"].get("compact")
        if "signing" not in example or token is None:
            continue
        for place in (5, token.index(".") + 3, token.rindex(".") + 3):
            letter = "B" if token[place] == "A" else "A"
            forged = token[:place] + letter + token[place + 1 :]
            assert not verifies(forged, keys_of(example)), name


def test_no_encrypted_example_is_accepted() -> None:
    ran = 0
    for name, example in examples("jwe"):
        for form in ("compact", "json", "json_flat"):
            token = example["output"].get(form)
            if token is not None:
                text = token if isinstance(token, str) else json.dumps(token)
                assert not verifies(text, [*keys_of_any(example)]), name
                ran += 1
    assert ran > 20


def keys_of_any(example: dict[str, Any]) -> list[dict[str, Any]]:
    key = example["input"].get("key", [])
    return [each for each in (key if isinstance(key, list) else [key]) if isinstance(each, dict)]


def test_a_token_nested_in_an_encrypted_one_is_not_reached() -> None:
    nested = load("jose-cookbook", "6.nesting_signatures_and_encryption.json")

    assert verifies(nested["sign"]["output"]["compact"], [nested["sign"]["input"]["key"]])
    assert not verifies(nested["encrypt"]["output"]["compact"], [nested["sign"]["input"]["key"]])


def test_public_keys_are_read_and_shared_secrets_are_not() -> None:
    read = {}
    for file in sorted(corpus("jose-cookbook", "jwk").glob("*.json")):
        read[file.stem] = is_usable(file)

    assert read == {
        "3_1.ec_public_key": True,
        "3_2.ec_private_key": True,  # by its public half, and its owner is told
        "3_3.rsa_public_key": True,
        "3_4.rsa_private_key": True,
        "3_5.symmetric_key_mac_computation": False,
        "3_6.symmetric_key_encryption": False,
    }


def is_usable(file: Path) -> bool:
    try:
        found = read_key_set(b'{"keys":[' + file.read_bytes() + b"]}", _ALL, 1)
    except NoUsableKeys:
        return False
    return not any(
        not isinstance(key.key, MLDSAKey) and key.key.is_private
        for each in found.by_kid.values()
        for key in each
    )
