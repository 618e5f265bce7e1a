import logging

import pytest

from sidecar.adapters.outage_log import OutageLog


def test_an_outage_is_told_at_its_begin_now_and_then_and_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    outage = OutageLog()
    outage.over(0)
    for second in range(100):
        outage.failed(f"try {second}", 10.0 + second)
    outage.over(110.0)
    outage.over(111.0)

    told = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert told == [
        "the account store is available",
        "try 0",
        "try 1",
        "try 31",
        "try 61",
        "try 91",
        "the account store is available again, after 100.0 s",
    ]


def test_a_second_outage_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = OutageLog()
    outage.failed("first", 0)
    outage.over(1)
    outage.failed("second", 2)

    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "first",
        "second",
    ]
