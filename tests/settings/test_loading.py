"""Settings that do not load say so: everything at once, each with its place and remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sidecar.settings import Settings, SettingsProblems, check_http_library, load, schema

HTTPS = "expected https (or set insecure_http: true for this issuer)"
ROOT = Path(__file__).parent.parent.parent
GOOD: dict[str, Any] = {
    "upstream": {"url": "http://127.0.0.1:8009"},
    "preset": "hoop",
    "issuers": [{"issuer": "https://idp.example/", "audiences": ["api"]}],
    "accounts": {"url": "redis://127.0.0.1/0"},
}


class Desk:
    """Writes settings into a file and loads them."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "sidecar.yaml"

    def load(self, text: str | dict[str, Any] | None = None, **environ: str) -> Settings:
        if text is not None:
            self.file.write_text(text if isinstance(text, str) else yaml.safe_dump(text))
        return load(None if text is None else self.file, environ)

    def problems(self, text: str | dict[str, Any] | None, **environ: str) -> list[str]:
        with pytest.raises(SettingsProblems) as refused:
            self.load(text, **environ)
        return [str(problem) for problem in refused.value.problems]

    def load_or_refuse(self, text: dict[str, Any], **environ: str) -> None:
        """Fail on anything but settings, or problems that can be read."""
        refused: SettingsProblems | None = None
        try:
            self.load(text, **environ)
        except SettingsProblems as problems:
            refused = problems
        assert refused is None or (refused.problems and str(refused))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def changed(**sections: Any) -> dict[str, Any]:
    return {**GOOD, **sections}


def test_the_least_settings_are_enough(desk: Desk) -> None:
    settings = desk.load(GOOD)

    assert settings.upstream.url == "http://127.0.0.1:8009"
    assert settings.listen.trusted_proxies == ()
    assert settings.worker_count() == 1
    assert settings.issuer_rules()["https://idp.example/"].leeway == 0.0
    assert settings.tolerated() == frozenset()
    assert settings.identity().names["subject"] == "X-Auth-Subject"
    assert settings.identity().cleared == ("Api-Key",)


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda f: f.name)
def test_the_examples_are_good(file: Path) -> None:
    assert load(file, {}).routes_table().match_route("GET", "/api/userinfo")


def test_the_schema_names_every_section() -> None:
    assert set(GOOD) <= set(schema()["properties"])
    assert schema()["additionalProperties"] is False


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
        desk.load(text)

    assert (
        str(refused.value)
        == f"""\
{desk.file}: 5 problems
  upstream.url (line 1): 'ftp://gateway' \u2014 expected a URL that begins with http:// or https://
  accounts.max_stalness (line 7): is no setting; did you mean accounts.max_staleness?
  issuers[0].issuer (line 3): 'http://idp.example/' \u2014 {HTTPS}
  routes: nothing would pass: name routes, or set preset: hoop
  workers (line 8): '0' \u2014 expected 1 to 64, or "auto" for one per core"""
    )


def issuer(**members: Any) -> dict[str, Any]:
    return changed(issuers=[{**GOOD["issuers"][0], **members}])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (changed(issuers=[]), "at least one issuer"),
        (changed(issuers=[issuer(audiences=["a"])["issuers"][0], issuer()["issuers"][0]]), "twice"),
        (issuer(audiences=[]), "client_claim"),
        (issuer(audiences=[""]), "empty"),
        (issuer(audiences="api"), "list of strings"),
        (issuer(algorithms=[]), "at least one algorithm"),
        (issuer(algorithms=["HS256"]), "must not be able to sign"),
        (issuer(algorithms=["none"]), "must not be able to sign"),
        (issuer(clients=["a"]), "belong together"),
        (issuer(client_claim="azp"), "belong together"),
        (issuer(realm="a:b"), "letters"),
        (issuer(leeway=-1), "greater than or equal to 0"),
        (issuer(issuer="https://user@idp.example/"), "without user"),
        (issuer(issuer="https://idp.example/?a"), "without user"),
        (issuer(issuer="https://[idp/"), "expected a URL"),
        (issuer(issuer="https://idp.example/ "), "expected a URL"),
        (issuer(jwks_url="http://idp.example/keys"), "insecure_http"),
        (issuer(ca="/nowhere/ca.pem"), "cannot be read"),
        (changed(upstream={"url": "http://a/path"}), "scheme, host and port"),
        (changed(upstream={"url": "http://a:b"}), "expected a URL"),
        (changed(upstream={"url": "http://u:p@a"}), "scheme, host and port"),
        (changed(upstream={}), "): is missing"),
        (changed(accounts={"url": "http://a"}), "redis://"),
        (changed(accounts={"url": "redis:///0"}), "expected a host"),
        (changed(accounts={"url": "redis://a", "heartbeat": 0.3}), "2/5"),
        (changed(accounts={"url": "memory://"}, workers=2), "workers: 1"),
        (changed(accounts={"url": "memory://"}, workers="auto"), "workers: 1"),
        (changed(workers="many"), "one per core"),
        (changed(workers=True), "one per core"),
        (changed(listen={"trusted_proxies": ["0.0.0.0/0"]}), "insecure_trust_everybody"),
        (changed(listen={"trusted_proxies": ["::/0"]}), "insecure_trust_everybody"),
        (changed(listen={"trusted_proxies": ["0.0.0.0/1", "128.0.0.0/1"]}), "everybody"),
        (changed(listen={"trusted_proxies": ["10.0.0.1/8"]}), "trusted_proxies"),
        (changed(keys={"max_stale": 10}), "at least keys.max_age"),
        (changed(keys={"snapshot_dir": "/nowhere"}), "is no directory"),
        (changed(preset=None), "nothing would pass"),
        (changed(preset_prefix="/x/"), "without a slash"),
        (changed(preset_prefix="/../x"), "without a slash"),
        (changed(routes=[{"name": "a", "path": "a"}]), "expected a path"),
        (changed(routes=[{"name": "a", "path": "/a", "methods": ["get"]}]), "capitals"),
        (changed(routes=[{"name": "a", "path": "/a", "groups": [""]}]), "empty"),
        (
            changed(routes=[{"name": "a", "path": "/a", "bearer": False, "groups": ["x"]}]),
            "asks for nothing",
        ),
        (changed(identity_headers={"shoe": "X-Shoe"}), "none of subject"),
        (changed(identity_headers={"subject": "Host"}), "meaning of its own"),
        (changed(identity_headers={"subject": "X-Forwarded-User"}), "meaning of its own"),
        (changed(identity_headers={"subject": "a b"}), "no header name"),
        (changed(identity_headers={"subject": "x_auth_groups"}), "same header"),
        (changed(cleared_headers=["Content-Length"]), "meaning of its own"),
        (changed(listen={"trusted_proxies": "10.0.0.0/8"}), "list of networks"),
        (changed(upstream={"url": None}), "valid string"),
        (issuer(required_claims={"a": 1}), "valid string"),
        (changed(tolerate=["dots"]), "encoded_slash"),
        (changed(nonsense=1), "is no setting"),
    ],
)
def test_what_is_wrong_or_dangerous_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    problems = desk.problems(settings)

    assert len(problems) == 1
    assert says in problems[0]


@pytest.mark.parametrize(
    "settings",
    [
        issuer(issuer="http://idp.example/", insecure_http=True),
        issuer(audiences=[], client_claim="client_id", clients=["a"]),
        changed(listen={"trusted_proxies": ["0.0.0.0/0"], "insecure_trust_everybody": True}),
        changed(accounts={"url": "unix:///run/redis.sock"}),
        changed(accounts={"url": "memory://"}),
        changed(workers="auto"),
        changed(identity_headers={"subject": None, "groups": "X-Groups"}),
    ],
)
def test_what_is_named_after_its_danger_is_let_through(
    desk: Desk, settings: dict[str, Any]
) -> None:
    assert desk.load(settings).worker_count() >= 1


def test_a_field_can_be_left_out_and_another_be_cleared(desk: Desk) -> None:
    names = {"subject": None, "groups": "X-Groups"}
    identity = desk.load(changed(identity_headers=names, cleared_headers=["X-Role"])).identity()

    assert "subject" not in identity.names
    assert identity.names["groups"] == "X-Groups"
    assert identity.cleared == ("X-Role", "Api-Key")


def test_the_environment_goes_over_the_file(desk: Desk) -> None:
    settings = desk.load(
        GOOD,
        SIDECAR_UPSTREAM__URL="http://gateway:8009",
        SIDECAR_LISTEN__PORT="9000",
        SIDECAR_LISTEN__TRUSTED_PROXIES="10.0.0.0/8, 192.168.0.0/16",
        SIDECAR_ISSUERS__0__AUDIENCES="one,two",
        SIDECAR_ISSUERS__0__KID_OPTIONAL="true",
        SIDECAR_TOLERATE='["semicolon"]',
        SIDECAR_CONFIG="/ignored",
        SIDECAR_SERVICE_HOST="10.0.0.1",
        SIDECAR_PORT_8080_TCP="tcp://10.0.0.1:8080",
        HOME="/root",
    )

    assert settings.upstream.url == "http://gateway:8009"
    assert settings.listen.port == 9000
    assert [str(each) for each in settings.listen.trusted_proxies] == [
        "10.0.0.0/8",
        "192.168.0.0/16",
    ]
    assert settings.issuers[0].audiences == ("one", "two")
    assert settings.issuers[0].kid_optional
    assert settings.tolerated()


def test_the_environment_alone_is_enough(desk: Desk) -> None:
    settings = desk.load(
        None,
        SIDECAR_UPSTREAM__URL="http://gateway:8009",
        SIDECAR_PRESET="hoop",
        SIDECAR_PRESET_UNREGISTERED="forward",
        SIDECAR_WORKERS="4",
        SIDECAR_ACCOUNTS__URL="redis://redis/0",
        SIDECAR_ISSUERS__0__ISSUER="https://idp.example/",
        SIDECAR_ISSUERS__0__AUDIENCES="api",
    )

    assert settings.worker_count() == 4


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SIDECAR_LISTN__PORT", "1", "SIDECAR_LISTN__PORT): is no setting; did you mean listen?"),
        ("SIDECAR_LISTEN__PRT", "1", "did you mean listen.port?"),
        ("SIDECAR_LISTEN__PORT", "x", "(SIDECAR_LISTEN__PORT): 'x'"),
        ("SIDECAR_ISSUERS__7__ISSUER", "x", "no entry 7"),
        ("SIDECAR_ISSUERS__X", "x", "two underscores"),
        ("SIDECAR_UPSTREAM__URL__MORE", "x", "two underscores"),
        ("SIDECAR_TOLERATE", "[broken", "YAML list"),
        ("SIDECAR_", "x", "two underscores"),
    ],
)
def test_a_variable_that_sets_nothing_is_no_secret(
    desk: Desk, name: str, value: str, says: str
) -> None:
    assert any(says in problem for problem in desk.problems(GOOD, **{name: value}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("upstream: {url: a\n", "is not YAML"),
        ("- a\n- b\n", "mapping of names"),
        ("just text", "mapping of names"),
        ("workers: 1\nworkers: 2\n", "is there twice"),
        ("a: &x {b: 1}\nc: *x\n", "anchors"),
        ("? [a]\n: b\n", "a name has to be a text"),
        ("a: " + "[" * 50 + "]" * 50, "nesting"),
        ("a: !!python/object:os.system x", "is not YAML"),
        ("\x00", "is not YAML"),
        ("x" * 1048577, "larger than"),
    ],
)
def test_a_file_that_is_no_mapping_says_where(desk: Desk, text: str, says: str) -> None:
    assert any(says in problem for problem in desk.problems(text))


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblems, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.yaml", {})


def test_an_empty_file_lacks_what_must_be_there(desk: Desk) -> None:
    assert len(desk.problems("")) == 4


def test_no_problem_quotes_a_secret(desk: Desk) -> None:
    text = desk.problems(
        changed(accounts={"url": "http://:hunter2@a", "password": ["hunter2"]}, workers=0)
    )

    assert "hunter2" not in repr(text)
    assert "hunter2" not in repr(
        desk.load(changed(accounts={"url": "redis://a", "password": "hunter2"}))
    )


def test_a_password_comes_from_a_file_or_from_the_settings(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\n")
    url = "redis://a"

    def read(**accounts: Any) -> str | None:
        return desk.load(changed(accounts={"url": url, **accounts})).accounts.read_password()

    assert read() is None
    assert read(password="plain") == "plain"
    assert read(password_file=str(file)) == "from a file"
    both = {"url": url, "password": "a", "password_file": str(file)}
    assert "keep one" in desk.problems(changed(accounts=both))[0]


@pytest.mark.parametrize(
    ("version", "has_c_parser", "problems"),
    [
        ("3.14.5", True, 0),
        ("3.14.3", True, 0),
        ("4.0.0", True, 0),
        ("3.14.2", True, 1),
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
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "issuer", "path", "name", "host", "audiences", "x"]),
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
    desk.load_or_refuse(settings)


@given(st.binary(max_size=200))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_octets_are_loaded_or_refused(desk: Desk, octets: bytes) -> None:
    desk.file.write_bytes(octets)
    with pytest.raises(SettingsProblems):
        load(desk.file, {})


@given(
    name=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", max_size=30),
    value=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_variable_is_taken_or_refused(desk: Desk, name: str, value: str) -> None:
    desk.load_or_refuse(GOOD, **{f"SIDECAR_{name}": value})
