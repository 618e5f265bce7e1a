import json
import logging

from sidecar.observability.process_log import JsonFormatter, configure, timestamp


def test_a_line_is_json_without_credentials() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
    problem = ValueError(f"cannot read {token}")
    record = logging.LogRecord(
        "sidecar.x", logging.ERROR, "f.py", 1, "for %s\nnext", (token,), (ValueError, problem, None)
    )
    text = JsonFormatter().format(record)
    line = json.loads(text)

    assert "\n" not in text
    assert token.split(".")[1] not in text
    assert token[:20] not in text
    assert line["message"] == "for [redacted]\nnext"
    assert "ValueError: cannot read [redacted]" in line["exception"]
    assert (line["level"], line["logger"]) == ("ERROR", "sidecar.x")


def test_a_line_without_an_exception_says_nothing_of_one() -> None:
    record = logging.LogRecord("sidecar.x", logging.INFO, "f.py", 1, "ended", (), None)

    assert set(json.loads(JsonFormatter().format(record))) == {"ts", "level", "logger", "message"}


def test_a_moment_is_written_in_utc() -> None:
    assert timestamp(0.9996) == "1970-01-01T00:00:00.999Z"


def test_the_level_is_for_our_own_loggers() -> None:
    before = logging.root.handlers[:]
    try:
        configure("debug")
        assert logging.getLogger("sidecar.x").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("aiohttp").isEnabledFor(logging.INFO)
        assert isinstance(logging.root.handlers[-1].formatter, JsonFormatter)
    finally:
        logging.root.handlers[:] = before
        logging.getLogger("sidecar").setLevel(logging.NOTSET)
