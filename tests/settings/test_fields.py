"""Files, URLs and lists: kinds of values that several sections share."""

import os
from pathlib import Path
from typing import Any

import pytest

from sidecar.settings.environment import FromEnvironment
from sidecar.settings.fields import read_list, split_url
from tests.settings.desk import Desk, changed, issuer


@pytest.mark.parametrize(
    "text",
    ["", "redis", "redis:a", "REDIS://a", " redis://a", "redis://a\n", "redis://\u00e4", "x://a"],
)
def test_what_is_no_url_of_the_schemes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a URL that begins with redis:// or unix://"):
        split_url(text, ("redis", "unix"))


@pytest.mark.parametrize("text", ["redis://a:b", "redis://a:65536", "redis://[a"])
def test_an_impossible_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        split_url(text, ("redis",))


def test_only_a_text_from_the_environment_is_parted_at_commas() -> None:
    assert read_list(FromEnvironment(" a, b,,c ")) == ("a", "b", "c")
    assert read_list(["a,b"]) == ["a,b"]
    with pytest.raises(ValueError, match="expected a list of strings, for example"):
        read_list("a,b")


def tls(of: str, **files: str) -> dict[str, Any]:
    url = {"upstream": "https://gateway", "accounts": "rediss://redis"}[of]
    return changed(**{of: {"url": url, "tls": files}})


def test_a_file_that_is_named_has_to_be_there(desk: Desk, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in [
        (tmp_path / "nowhere", "cannot be read: No such file or directory; name a file that can"),
        (tmp_path, "is no file; name one that can be read"),
        (tmp_path / "pipe", "is no file; name one that can be read"),
    ]:
        assert says in desk.the_problem(issuer(ca=str(path)))
    assert "accounts.tls.ca" in desk.the_problem(tls("accounts", ca="/nowhere"))
    assert "null" in desk.the_problem(tls("upstream", ca="a\0b"))


@pytest.mark.parametrize("of", ["upstream", "accounts"])
def test_a_key_goes_with_a_certificate(desk: Desk, of: str) -> None:
    pem = desk.write("a.pem", b"")

    assert "name that too" in desk.the_problem(tls(of, key=pem))
    desk.load(tls(of, certificate=pem))
    desk.load(tls(of, certificate=pem, key=pem, ca=pem))


def test_a_missing_certificate_is_one_problem_and_not_two(desk: Desk) -> None:
    pem = desk.write("a.pem", b"")

    assert "certificate" in desk.the_problem(tls("upstream", certificate="/nowhere", key=pem))


def test_a_listener_takes_both_certificate_and_key(desk: Desk) -> None:
    pem = desk.write("a.pem", b"")

    assert "listen.tls.key" in desk.the_problem(changed(listen={"tls": {"certificate": pem}}))
    assert desk.load(changed(listen={"tls": {"certificate": pem, "key": pem}})).listen.tls


def test_settings_cannot_be_changed(desk: Desk) -> None:
    settings = desk.load(changed())

    with pytest.raises(ValueError, match="frozen"):
        settings.listen.port = 1
