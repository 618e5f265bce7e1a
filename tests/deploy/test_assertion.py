"""The example by which an upstream verifies who is calling."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import JoseError

from sidecar.adapters.assertion_keys import AssertionKeys
from sidecar.adapters.assertions import AssertionPolicy, Assertions
from sidecar.adapters.clock import SystemClock
from sidecar.core.principal import Principal, PrincipalKind
from sidecar.core.subject import SubjectKey
from tests.fakes.clock import FakeClock

EXAMPLE = Path(__file__).parents[2] / "deploy" / "assertion" / "verify.py"


def verified(directory: Path, ahead: float) -> dict[str, Any]:
    """Verify what a sidecar has just made whose clock is so many seconds ahead of ours."""
    now = SystemClock().now() + ahead
    keys = AssertionKeys(bytes(32), "ES256", 86400.0)
    assertions = Assertions(AssertionPolicy("sidecar", "gateway"), keys, FakeClock(now))
    published = directory / "keys.json"
    published.write_text(json.dumps(assertions.published()))
    verify: Callable[..., dict[str, Any]] = runpy.run_path(str(EXAMPLE))["verify"]
    return verify(published.as_uri(), "gateway", assertions.assertion(caller(now)))


def caller(now: float) -> Principal:
    return Principal(
        key=SubjectKey("default", "robot"),
        kind=PrincipalKind.SERVICE_ACCOUNT,
        issuer="https://idp.example",
        name="Robot",
        groups=(),
        scopes=frozenset(),
        client_id="",
        token_id=None,
        issued_at=None,
        expires_at=now + 3600,
    )


@pytest.mark.parametrize("ahead", [-2.0, 0.0, 2.0])
def test_clocks_may_differ_a_little(tmp_path: Path, ahead: float) -> None:
    """A new assertion of a sidecar whose clock is ahead was issued in the future."""
    assert verified(tmp_path, ahead)["sub"] == "robot"


@pytest.mark.parametrize("ahead", [-120.0, 120.0])
def test_clocks_may_not_differ_much(tmp_path: Path, ahead: float) -> None:
    with pytest.raises(JoseError):
        verified(tmp_path, ahead)
