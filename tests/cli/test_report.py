"""``sidecar report`` as people type it."""

import gzip
import json
import shlex
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from sidecar.cli.main import cli
from sidecar.cli.report_shown import print_report
from sidecar.cli.report_tally import Tally, Wanted
from tests.cli.test_decision_lines import line


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["report", *arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def log(*lines: bytes) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def granted(**changed: Any) -> bytes:
    return line(outcome="granted", reason="", enforced=True, **changed)


def test_it_says_who_would_have_been_refused_why_and_what_to_do() -> None:
    code, out, _ = run(
        stdin=log(
            granted(),
            line(),
            line(),
            line(subject="ci", reason="wrong_audience", detail="aud names none of ours: 'api://x'"),
            line(subject="old", reason="subject_inactive", detail=""),
            line(enforced=True, subject="", reason="malformed_request", route="", path="/a//b"),
            line(event="cut", outcome="", reason="expired"),
            b"Traceback (most recent call last):",
        )
    )

    assert code == 0
    for said in (
        "6 requests from 2026-01-31T08:00:00.000Z",
        "granted 1, would have been refused 4, refused 1",
        "streams that would have been cut: expired 1",
        "1 other lines were skipped",
        "aud names none of ours: 'api://x'",
        "request the token for this API, or add its audience",
        "no account: GET /a//b",
        "unknown, from 192.0.2.7",
        "sidecar account create --realm=corp -- robot",
        "sidecar account enable --realm=corp -- old",
        "not yet: 4 of 6 requests (67 %) would have been refused, of 3 callers",
    ):
        assert said in out


def test_a_log_without_refusals_says_that_shadow_may_end() -> None:
    code, out, _ = run("--fail-on-refusals", stdin=log(granted(), line(enforced=True)))

    assert code == 0
    assert "yes: none of 2 requests would have been refused" in out


@pytest.mark.parametrize("stdin", [log(granted(), line()), b"", b"nothing of ours\n"])
def test_a_job_fails_where_somebody_would_be_refused_or_nobody_knows(stdin: bytes) -> None:
    assert run("--fail-on-refusals", stdin=stdin)[0] == 1
    assert run(stdin=stdin)[0] == 0


def test_a_log_of_denials_alone_is_no_proof_that_nobody_was_granted() -> None:
    out = run(stdin=log(line()))[1]

    assert "with log.decisions: denied none is written" in out
    assert "%" not in out


def test_rotated_and_compressed_files_are_one_log(tmp_path: Path) -> None:
    (tmp_path / "log.1.gz").write_bytes(gzip.compress(log(line(), line())))
    (tmp_path / "log").write_bytes(log(granted()))

    code, out, _ = run("-o", "json", str(tmp_path / "log.1.gz"), str(tmp_path / "log"))

    assert code == 0
    assert json.loads(out)["requests"] == 3


def test_a_file_that_cannot_be_read_is_named_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(log(line()))

    code, out, err = run("-o", "json", str(tmp_path / "away"), str(tmp_path / "log"))

    assert code == 2
    assert "away cannot be read to its end" in err
    assert json.loads(out)["requests"] == 1


def test_json_has_what_the_tables_have() -> None:
    lines = log(granted(), line(), line(route="web", subject="", reason="no_credentials"))
    _, out, _ = run("-o", "json", "--top", "1", stdin=lines)
    found = json.loads(out)

    assert found["would_be_refused"] == 2
    assert found["ready"] is False
    assert [each["reason"] for each in found["reasons"]] == ["subject_unknown", "no_credentials"]
    [caller] = found["callers"]
    assert caller["subject"] == "robot"
    assert caller["command"] == "sidecar account create --realm=corp -- robot"
    assert caller["reasons"] == {"subject_unknown": 1}
    [route] = found["routes"]
    assert (route["route"], route["granted"], route["would_be_refused"]) == ("hoop-api", 1, 1)


def test_times_are_so_long_ago_or_on_a_day() -> None:
    now = datetime.now(UTC)  # noqa: TID251 - the command has a clock of its own

    def at(ago: timedelta) -> bytes:
        return line(ts=(now - ago).isoformat(timespec="milliseconds").replace("+00:00", "Z"))

    lines = log(at(timedelta(hours=2)), at(timedelta(days=2)), line())
    counts = {
        options: json.loads(run("-o", "json", *options, stdin=lines)[1])["requests"]
        for options in (
            ("--since", "24h"),
            ("--since", "3d"),
            ("--until", "1h", "--since", "2026-02-01"),
            ("--until", "2026-01-31T09:00+01:00"),
            ("--until", "2026-01-31T08:00:01Z"),
        )
    }

    assert list(counts.values()) == [1, 2, 2, 0, 1]


@pytest.mark.parametrize("text", ["soon", "24x", "", "2026-13-01", "99999999999d"])
def test_a_time_that_is_none_is_bad_usage(text: str) -> None:
    code, _, err = run("--since", text)

    assert code == 2
    assert "expected a" in err


def test_more_callers_than_are_told_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    out = run("--top", "2", stdin=log(*(line(subject=f"s-{each}") for each in range(5))))[1]
    assert "By caller, the first 2 of 5" in out

    tally = Tally(Wanted(), callers=2)
    print_report(tally, 10)
    assert "nobody knows: there is no decision in this log" in capsys.readouterr().out


@pytest.mark.parametrize("subject", ["a b; reboot", "-rf", "a\x1b[2Jb", "$(reboot)", "[red]x"])
def test_a_command_to_paste_is_one_harmless_command(subject: str) -> None:
    """Whoever has a token of a trusted issuer may have chosen its subject."""
    _, out, _ = run(stdin=log(line(subject=subject)))
    commands = [each for each in out.splitlines() if "sidecar account create" in each]

    for command in commands:
        words = shlex.split(command)
        assert words == ["sidecar", "account", "create", "--realm=corp", "--", subject]
    assert "\x1b" not in out


def test_a_subject_with_several_clients_needs_one_command() -> None:
    _, out, _ = run(stdin=log(line(client_id="a"), line(client_id="b")))

    assert out.count("sidecar account create --realm=corp -- robot") == 1


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_nothing_in_a_log_is_obeyed_by_a_terminal(one: str, two: str, three: str) -> None:
    evil = line(subject=one, client_id=two, path=three, detail=one, route=two, issuer=three)
    by_path = line(subject="", peer=one, reason="no_route", method=two, path=three)
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "log"
        file.write_bytes(log(evil, by_path))
        code, out, _ = run(str(file))

    assert code == 0
    assert all(each.isprintable() or each == "\n" for each in out)
