from pathlib import Path

import pytest

from sidecar.app.checking import problems_of
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates


def test_good_settings_have_no_problem(tmp_path: Path) -> None:
    assert problems_of(settings(tmp_path)) == []


def test_files_that_are_not_what_they_should_be_are_all_named(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, "ours")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")

    problems = problems_of(
        settings(
            tmp_path,
            listen={"tls": {"certificate": str(junk), "key": str(certificates.key)}},
            upstream={"url": "https://gateway", "tls": {"ca": str(junk)}},
            forward_auth={
                "dialect": "nginx",
                "tls": {"certificate": str(junk), "key": str(certificates.key)},
            },
            issuers=[{"issuer": "https://idp.example", "audiences": ["a"], "ca": str(junk)}],
        )
    )

    assert [problem.place for problem in problems] == [
        "listen.tls",
        "upstream.tls",
        "forward_auth.tls",
        "issuers",
    ]
    assert all("junk.pem" in problem.text for problem in problems)


def test_a_password_file_that_has_gone_since_is_named(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("x")
    loaded = settings(tmp_path, accounts={"url": "redis://a", "password_file": str(secret)})
    secret.unlink()

    assert [problem.place for problem in problems_of(loaded)] == ["accounts"]
    with pytest.raises(OSError, match="No such file"):
        loaded.accounts.read_password()


def test_files_of_the_grpc_doors_are_named_too(tmp_path: Path) -> None:
    """GRPC itself would say no more than that the port cannot be opened."""
    certificates = Certificates(tmp_path, "ours")
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    good = {"certificate": str(certificates.certificate), "key": str(certificates.key)}
    upstream = {"url": "grpcs://gateway:8010"}

    def places(**section: object) -> list[str]:
        loaded = settings(tmp_path, grpc=section)
        return [problem.place for problem in problems_of(loaded)]

    assert places(upstream={**upstream, "tls": {"ca": str(certificates.ca)}}, tls=good) == []
    assert places(upstream={"url": "grpc://gateway:8010"}) == []
    assert places(
        upstream={**upstream, "tls": {"ca": str(junk)}}, tls={**good, "certificate": str(junk)}
    ) == ["grpc.tls", "grpc.upstream.tls"]


def test_files_of_the_collector_are_named_too(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("junk")
    endpoint = {"endpoint": "https://collector.example/v1/traces"}

    headers = problems_of(settings(tmp_path, tracing={**endpoint, "headers_file": str(junk)}))
    authorities = problems_of(settings(tmp_path, tracing={**endpoint, "ca": str(junk)}))

    assert [problem.place for problem in (*headers, *authorities)] == ["tracing", "tracing"]
    assert "line 1 is no header" in headers[0].text
