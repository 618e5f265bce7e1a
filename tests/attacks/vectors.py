"""Public test vectors, run through our own reading of keys and tokens.

They are not part of the repository: ``CORPORA_DIR`` names the folder that holds them. Where a
verdict of ours differs from the vectors', ``vectors.toml`` says why, one by one.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.jwks import NoUsableKeys, read_key_set
from sidecar.core.bearer import BearerToken
from sidecar.core.decision import Denied
from sidecar.core.issuer import ASYMMETRIC_ALGORITHMS, Issuer
from sidecar.core.token import VerificationKeys, read_token, verify_signature

_DIFFERENCES = tomllib.loads((Path(__file__).parent / "vectors.toml").read_text("utf-8"))
_NO_CLAIMS = "e30"  # {}


def corpus(*path: str) -> Path:
    """Return a place among the vectors; skip the test where they are not there."""
    folder = os.environ.get("CORPORA_DIR")
    if not folder:
        pytest.skip(f"CORPORA_DIR is not set: the vectors of {'/'.join(path)} are not run")
    found = Path(folder, *path)
    assert found.exists(), f"CORPORA_DIR has no {'/'.join(path)}"
    return found


def load(*path: str) -> Any:
    return json.loads(corpus(*path).read_text("utf-8"))


def explained(name: str) -> dict[str, str]:
    """Return why the verdict on a vector differs, by the vector's id."""
    return {
        str(vector): difference["why"]
        for difference in _DIFFERENCES[name]
        for vector in difference["vectors"]
    }


def verifies(compact: str, keys: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether we take a JWS as signed by one of these keys, their algorithms being ours.

    The vectors sign any text, and a token's claims are an object: so they are read as ``{}``, and
    what is verified is the vector as it stands.
    """
    keys = list(keys)
    named = {str(key["alg"]) for key in keys if "alg" in key}
    issuer = Issuer("", algorithms=frozenset(named) or ASYMMETRIC_ALGORITHMS, kid_optional=True)
    segments = compact.split(".")
    readable = ".".join([segments[0], _NO_CLAIMS, *segments[2:]])
    try:
        found = read_key_set(json.dumps({"keys": keys}).encode(), issuer, 64)
        signed = compact.rpartition(".")[0].encode()
        token = replace(read_token(BearerToken(readable)), signed=signed)
        verify_signature(token, VerificationKeys(found.by_kid, 1), issuer)
    except (Denied, NoUsableKeys):
        return False
    return True
