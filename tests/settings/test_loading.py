"""Settings that do not load say so: everything at once, each with its place and remedy."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.settings import Settings, SettingsProblems, check_http_library, load, schema
from tests.settings.desk import GOOD, Desk, changed, issuer

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda f: f.name)
def test_the_examples_are_good(file: Path) -> None:
    assert load(file, {}).routes_table().match_route("GET", "/api/userinfo")


def test_every_problem_is_told_at_once_with_its_line(desk: Desk) -> None:
    text = """\
upstream: {url: "ftp://gateway"}
issuers:
  - issuer: http://idp.example/
    audiences: [api]
accounts:
  url: redis://127.0.0.1/0
  max_stalness: 1
workers: 0
"""
    with pytest.raises(SettingsProblems) as refused:
        desk.load(text, SIDECAR_LISTEN__PORT="x")

    assert (
        str(refused.value)
        == f"""\
{desk.file}: 6 problems
  upstream.url (line 1): 'ftp://gateway' \u2014 expected a URL that begins with http:// or https://
  accounts.max_stalness (line 7): is no setting; did you mean accounts.max_staleness?
  issuers[0].issuer (line 3): 'http://idp.example/' \u2014 expected https \
(or set insecure_http: true for this issuer)
  routes: nothing would pass: name routes, or set preset: hoop
  listen.port (SIDECAR_LISTEN__PORT): 'x' \u2014 expected: a valid integer, \
unable to parse string as an integer
  workers (line 8): '0' \u2014 expected 1 to 64, or "auto" for one per core"""
    )


def test_problems_of_reading_and_of_meaning_come_together(desk: Desk) -> None:
    said = desk.problems(
        "upstream: {url: 7}\nworkers: 1\nworkers: 2\n",
        SIDECAR_UPSTREAM__URL__X="x",
        SIDECAR_PRESET="a",
    )

    assert [problem.partition(":")[0] for problem in said] == [
        "workers (line 3)",
        "SIDECAR_UPSTREAM__URL__X",
        "upstream.url (line 1)",
        "accounts",
        "issuers",
        "preset (SIDECAR_PRESET)",
    ]


def test_without_a_file_the_problems_are_the_environments() -> None:
    with pytest.raises(SettingsProblems, match=r"^environment: 4 problems"):
        load(None, {})


def test_what_is_missing_is_named_at_its_section(desk: Desk) -> None:
    assert desk.the_problem(changed(upstream={})) == "upstream.url (line 8): is missing"


def test_a_setting_that_nothing_resembles_shows_what_there_is(desk: Desk) -> None:
    assert desk.the_problem(changed(admin={"zzz": 1})).endswith(
        "is no setting; there are audit_entries, console, groups, host, insecure_http, port,"
        " revocation_clients, secret_file, tls, tokens"
    )
    assert "there are" not in desk.the_problem(changed(identity_headers={"a": 1}))


def test_a_long_value_is_shown_by_its_beginning(desk: Desk) -> None:
    assert len(desk.the_problem(issuer(issuer="http://" + "x" * 5000))) < 300


@pytest.mark.parametrize(
    "accounts",
    [
        {"url": "http://:hunter2@a"},
        {"url": "redis://a?password=hunter2"},
        {"url": "redis://a", "password": ["hunter2"]},
        {"url": "redis://a", "password": {"hunter2": 1}},
        {"url": "redis://a", "password_file": "/nowhere/hunter2"},
        "redis://:hunter2@a",
    ],
)
def test_no_problem_quotes_a_secret(desk: Desk, accounts: Any) -> None:
    assert "hunter2" not in desk.the_problem(changed(accounts=accounts))


def test_settings_that_are_printed_show_no_secret(desk: Desk) -> None:
    url = "redis://:hunter2@a"

    assert "hunter2" not in repr(desk.load(changed(accounts={"url": url})))
    assert "hunter2" not in repr(
        desk.load(changed(accounts={"url": "redis://a", "password": "hunter2"}))
    )


def members(part: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every setting of the schema with what the schema says of it."""
    for member, says in part.get("properties", {}).items():
        yield f"{name}.{member}", says
    for section, inner in part.get("$defs", {}).items():
        yield from members(inner, section)


def test_the_schema_says_what_each_setting_means() -> None:
    undescribed = [
        name
        for name, says in members(schema(), "")
        if "description" not in says and "$ref" not in says
    ]
    sections = schema()["$defs"]

    assert undescribed == []
    assert [name for name, says in sections.items() if "description" not in says] == []
    assert schema()["additionalProperties"] is False
    assert sections["Listen"]["additionalProperties"] is False


def test_the_schema_beside_the_examples_is_the_one_of_this_version() -> None:
    written = (ROOT / "config" / "sidecar.schema.json").read_text()

    assert json.dumps(schema(), indent=2, sort_keys=True, allow_nan=False) + "\n" == written


@pytest.mark.parametrize(
    ("version", "has_c_parser", "problems"),
    [
        ("3.14.5", True, 0),
        ("3.14.3", True, 0),
        ("4.0.0", True, 0),
        ("3.14.2", True, 1),
        ("3.14.3rc1", True, 1),
        ("3.9.0", True, 1),
        ("3.14.5", False, 1),
        ("3.8.0", False, 2),
    ],
)
def test_an_aiohttp_with_known_holes_is_refused(
    desk: Desk, version: str, problems: int, *, has_c_parser: bool
) -> None:
    settings = desk.load(GOOD)
    accepting = desk.load(changed(insecure_old_aiohttp=True))

    found = check_http_library(version, has_c_parser=has_c_parser, settings=settings)
    assert len(found) == problems
    assert all("insecure_old_aiohttp" in str(each) for each in found)
    assert not check_http_library(version, has_c_parser=has_c_parser, settings=accepting)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.dates()
    | st.binary(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "issuer", "path", "name", "host", "audiences", "tls", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(settings=st.dictionaries(st.sampled_from(sorted(Settings.model_fields)), VALUES))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_the_file_is_loaded_or_refused(
    desk: Desk, settings: dict[str, Any]
) -> None:
    desk.load_or_refuse({**GOOD, **settings})
