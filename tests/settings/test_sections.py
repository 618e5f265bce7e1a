"""Each section: its bounds, and the dangers that have to be named to be let through."""

from ipaddress import ip_network
from typing import Any

import pytest

from tests.settings.desk import GOOD, Desk, changed


def upstream(**members: Any) -> dict[str, Any]:
    return changed(upstream={**GOOD["upstream"], **members})


def accounts(**members: Any) -> dict[str, Any]:
    return changed(accounts={**GOOD["accounts"], **members})


def trusting(*networks: str) -> dict[str, Any]:
    return changed(listen={"trusted_proxies": list(networks)})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (trusting("0.0.0.0/0"), "(or set listen.insecure_trust_everybody: true)"),
        (trusting("::/0"), "(or set listen.insecure_trust_everybody: true)"),
        (trusting("0.0.0.0/1", "128.0.0.0/1"), "name the proxies' networks"),
        (trusting("::/1", "10.0.0.0/8", "8000::/2", "c000::/2"), "name the proxies' networks"),
        (trusting("10.0.0.1/8"), "expected networks such as 10.0.0.0/8"),
        (trusting("gateway"), "expected networks such as 10.0.0.0/8"),
        (changed(listen={"trusted_proxies": "10.0.0.0/8"}), 'for example ["10.0.0.0/8"]'),
        (changed(listen={"port": 65536}), "less than or equal to 65535"),
        (changed(listen={"max_headers": 7}), "greater than or equal to 8"),
        (changed(listen={"max_header_bytes": 1023}), "greater than or equal to 1024"),
        (changed(listen={"idle_timeout": 0}), "greater than 0"),
        (changed(listen={"drain_seconds": -1}), "greater than or equal to 0"),
        (upstream(url="ftp://gateway"), "begins with http:// or https://"),
        (upstream(url="http://"), "scheme, host and port alone"),
        (upstream(url="http://a/path"), "scheme, host and port alone"),
        (upstream(url="http://a?b"), "scheme, host and port alone"),
        (upstream(url="http://a#b"), "scheme, host and port alone"),
        (upstream(url="http://u:p@a"), "scheme, host and port alone"),
        (upstream(url="http://a:b"), "expected a URL"),
        (upstream(url=None), "valid string"),
        (upstream(url="unix:run/gateway.sock"), "an absolute path"),
        (upstream(more_urls=["http://a/path"]), "scheme, host and port alone"),
        (upstream(more_urls="http://a"), "expected a list of strings"),
        (upstream(tls={}), "set upstream.url to https"),
        (upstream(first_byte_timeout=float("inf")), "finite number"),
        (upstream(first_byte_timeout=90000), "less than or equal to 86400"),
        (accounts(max_staleness=float("nan")), "less than or equal to 60"),
        (upstream(first_byte_timeout=float("nan")), "finite number"),
        (accounts(url="http://a"), "begins with redis:// or rediss://"),
        (accounts(url="redis:///0"), "expected a host and a number"),
        (accounts(url="redis://a/b"), "expected a host and a number"),
        (accounts(url="rediss://a/0?ssl_cert_reqs=none"), "there are settings beside it"),
        (accounts(url="redis://a#b"), "there are settings beside it"),
        (accounts(url="unix://"), "three slashes"),
        (accounts(url="unix://run/redis.sock"), "three slashes"),
        (accounts(url="unix:///redis.sock?socket_timeout=1"), "there are settings beside it"),
        (accounts(tls={}), "rediss:// only; change accounts.url, or leave it out"),
        (accounts(heartbeat=0.3), "at most 2/5 of accounts.max_staleness"),
        (accounts(max_staleness=0.2), "at most 2/5 of accounts.max_staleness"),
        (accounts(consistency="eventual"), "'pushed' or 'strict'"),
        (accounts(prefix=""), "match pattern"),
        (accounts(url="redis+sentinel://a"), "SERVICE/0"),
        (accounts(url="redis+cluster://a"), "expected a hash tag, such as {sidecar}:"),
        (accounts(url="redis+cluster://a", prefix="a:"), "expected a hash tag"),
        (accounts(rolled_back="ignore"), "'deny' or 'accept'"),
        (changed(keys={"max_stale": 10}), "at least keys.max_age"),
        (changed(keys={"max_age": 7200}), "at least keys.max_age"),
        (changed(keys={"snapshot_dir": "/nowhere"}), "make it, or leave the setting out"),
        (accounts(state_dir="/nowhere"), "make it, or leave the setting out"),
        (changed(limits={"max_token_bytes": 1}), "greater than or equal to 256"),
        (changed(log={"decisions": "some"}), "'all', 'denied' or 'none'"),
    ],
)
def test_a_value_that_cannot_work_or_is_dangerous_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


@pytest.mark.parametrize(
    "url",
    [
        "redis://a",
        "redis://a/",
        "redis://:secret@a:6379/0",
        "rediss://a/15",
        "unix:///run/redis.sock",
        "unix:///run/redis.sock?db=3",
        "memory://",
        "redis+sentinel://a:26379,b:26379,c:26379/main/0",
        "rediss+sentinel://:secret@a/main",
    ],
)
def test_an_account_store_is_named_by_its_url(desk: Desk, url: str) -> None:
    assert desk.load(accounts(url=url)).accounts.url == url


def test_upstream_is_an_origin_without_a_slash_at_its_end(desk: Desk) -> None:
    found = desk.load(upstream(url="https://a:1/", tls={})).upstream

    assert found is not None
    assert found.url == "https://a:1"


def test_proxies_are_trusted_by_name_and_everybody_only_when_told(desk: Desk) -> None:
    assert desk.load(GOOD).trusted_networks() == ()
    assert desk.load(trusting("10.0.0.0/8", "fd00::/8")).trusted_networks() == (
        ip_network("10.0.0.0/8"),
        ip_network("fd00::/8"),
    )
    everybody = {"trusted_proxies": ["0.0.0.0/0"], "insecure_trust_everybody": True}
    assert desk.load(changed(listen=everybody)).trusted_networks() == (ip_network("0.0.0.0/0"),)


def test_an_admin_listener_may_be_reached_from_outside_a_container(desk: Desk) -> None:
    assert desk.load(GOOD).admin.host == "127.0.0.1"
    assert desk.load(changed(admin={"host": "0.0.0.0"})).admin.host == "0.0.0.0"  # noqa: S104


def test_the_gateway_has_time_for_its_longest_answer(desk: Desk) -> None:
    """It executes for up to 50 s, and its event streams are silent for 30 s."""
    found = desk.load(GOOD).upstream

    assert found is not None
    assert found.first_byte_timeout > 60
    assert found.idle_timeout > 2 * 30


def test_a_password_comes_from_a_file_or_from_the_settings(desk: Desk) -> None:
    def read(**members: Any) -> str | None:
        return desk.load(accounts(**members)).accounts.read_password()

    assert read() is None
    assert read(password="plain") == "plain"
    assert read(password_file=desk.write("a", b" from a file \r\n")) == " from a file "


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "expected a file of 1 to 4096 bytes"),
        (b"\n", "expected a file of 1 to 4096 bytes"),
        (b"x" * 4097, "expected a file of 1 to 4096 bytes"),
        (b"hunter2\xff", "holds no UTF-8 text"),
    ],
)
def test_a_file_without_a_password_is_refused(desk: Desk, content: bytes, says: str) -> None:
    problem = desk.the_problem(accounts(password_file=desk.write("a", content)))

    assert says in problem
    assert "hunter2" not in problem


def test_two_passwords_are_one_too_many(desk: Desk) -> None:
    both = accounts(password="a", password_file=desk.write("a", b"b"))

    assert "there is a password too; keep one of them" in desk.the_problem(both)


def test_a_bad_section_does_not_make_its_neighbours_bad(desk: Desk) -> None:
    """What depends on a value that is wrong is not judged: one mistake, one problem."""
    assert len(desk.problems(accounts(url=7, tls={}, max_staleness="x", heartbeat=0.3))) == 2
    assert len(desk.problems(upstream(url=7, tls={}))) == 1


def test_keys_are_kept_in_a_directory_that_is_there(desk: Desk) -> None:
    here = str(desk.directory)

    assert str(desk.load(changed(keys={"snapshot_dir": here})).keys.snapshot_dir) == here


def test_the_state_of_the_store_is_kept_in_a_directory_that_is_there(desk: Desk) -> None:
    here = str(desk.directory)

    assert str(desk.load(accounts(state_dir=here)).accounts.state_dir) == here
