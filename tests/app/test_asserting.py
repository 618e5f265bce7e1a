"""Who signs: the settings say, and all workers of one start sign with the same keys."""

from dataclasses import replace
from pathlib import Path

from sidecar.app.asserting import assertion_keys, make_assertions, new_secret
from tests.adapters.test_assertions import NOW, ROBOT
from tests.app.test_parts import settings
from tests.fakes.clock import FakeClock

CLOCK = FakeClock(NOW)
SECTION = {"audience": "gateway"}


def test_nobody_signs_unless_the_settings_say_so(tmp_path: Path) -> None:
    assert make_assertions(settings(tmp_path), new_secret(), CLOCK) is None
    assert assertion_keys(settings(tmp_path), new_secret(), CLOCK) is None


def test_one_start_has_one_set_of_keys(tmp_path: Path) -> None:
    chosen, secret = settings(tmp_path, assertion=SECTION), new_secret()
    published = assertion_keys(chosen, secret, CLOCK)
    worker = make_assertions(chosen, secret, CLOCK)
    another_start = make_assertions(chosen, new_secret(), CLOCK)

    assert published is not None
    assert worker is not None
    assert another_start is not None
    assert published() == worker.published() != another_start.published()


def test_a_file_gives_replicas_the_same_keys(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s" * 32 + "\n")
    chosen = settings(tmp_path, assertion={**SECTION, "secret_file": str(file)})
    one, other = (make_assertions(chosen, new_secret(), CLOCK) for _ in range(2))

    assert one is not None
    assert other is not None
    assert one.published() == other.published()


def test_it_is_signed_as_the_settings_say(tmp_path: Path) -> None:
    chosen = settings(
        tmp_path,
        assertion={"audience": "x", "issuer": "me", "algorithm": "Ed25519", "lifetime": 30},
    )
    assertions = make_assertions(chosen, new_secret(), CLOCK)
    identity = chosen.identity(assertions)

    assert dict(identity.values(ROBOT, "r"))["X-Auth-Assertion"] == identity.assertion(ROBOT)
    assert identity.assertion(ROBOT) != identity.assertion(replace(ROBOT, name="B"))
    assert identity.assertion(None) == ""
    assert "X-Auth-Assertion" not in dict(settings(tmp_path).identity().values(ROBOT, "r"))
