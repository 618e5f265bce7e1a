"""Settings from the environment go over the file's; a variable that sets nothing says so."""

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.settings.desk import GOOD, Desk, changed


def test_the_environment_goes_over_the_file(desk: Desk) -> None:
    settings = desk.load(
        GOOD,
        SIDECAR_UPSTREAM__URL="http://gateway:8009",
        SIDECAR_LISTEN__PORT="9000",
        SIDECAR_LISTEN__TRUSTED_PROXIES="10.0.0.0/8, 192.168.0.0/16",
        SIDECAR_ISSUERS__0__AUDIENCES="one,two",
        SIDECAR_ISSUERS__0__KID_OPTIONAL="true",
        SIDECAR_ISSUERS__1__ISSUER="https://other.example/",
        SIDECAR_ISSUERS__1__AUDIENCES='["a,b"]',
        SIDECAR_ISSUERS__1__REQUIRED_CLAIMS__TOKEN_USE="access",
        SIDECAR_ACCOUNTS__MAX_STALENESS="1.5",
    )

    assert settings.upstream is not None
    assert settings.upstream.url == "http://gateway:8009"
    assert settings.listen.port == 9000
    assert [str(each) for each in settings.listen.trusted_proxies] == [
        "10.0.0.0/8",
        "192.168.0.0/16",
    ]
    first, second = settings.issuers
    assert first.audiences == ("one", "two")
    assert first.kid_optional
    assert second.audiences == ("a,b",)
    assert second.required_claims == {"token_use": "access"}
    assert settings.accounts.url == GOOD["accounts"]["url"]
    assert settings.accounts.max_staleness == 1.5


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


def test_a_whole_section_can_be_one_variable(desk: Desk) -> None:
    settings = desk.load(GOOD, SIDECAR_LOG="{level: debug}", SIDECAR_LOG__DECISIONS="none")

    assert (settings.log.level, settings.log.decisions) == ("debug", "none")


@pytest.mark.parametrize("value", ["semicolon,double_slash", "[semicolon, double_slash]"])
def test_a_list_is_parted_at_commas_or_written_as_yaml(desk: Desk, value: str) -> None:
    assert desk.load(GOOD, SIDECAR_TOLERATE=value).tolerated() == {"semicolon", "double_slash"}


def test_null_is_nothing(desk: Desk) -> None:
    settings = desk.load(GOOD, SIDECAR_IDENTITY_HEADERS__NAME="null")

    assert "name" not in settings.identity().names


@pytest.mark.parametrize("password", ["[hunter2", "{}", "null", "a,b", "007", "true", " x "])
def test_a_password_is_always_text(desk: Desk, password: str) -> None:
    settings = desk.load(GOOD, SIDECAR_ACCOUNTS__PASSWORD=password)

    assert settings.accounts.read_password() == password


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SIDECAR_CONFIG", "/etc/sidecar.yaml"),
        ("SIDECAR_SERVICE_HOST", "10.0.0.1"),
        ("SIDECAR_SERVICE_PORT", "8080"),
        ("SIDECAR_SERVICE_PORT_HTTP", "8080"),
        ("SIDECAR_PORT", "tcp://10.0.0.1:8080"),
        ("SIDECAR_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("SIDECAR_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("SIDECAR_ADMIN_SERVICE_HOST", "10.0.0.1"),
        ("SIDECAR_ADMIN_PORT", "tcp://10.0.0.1:9090"),
        ("SIDECARS", "2"),
        ("HOME", "/root"),
    ],
)
def test_what_others_set_is_no_setting(desk: Desk, name: str, value: str) -> None:
    """Kubernetes names its variables after Services, and one may well be called ``sidecar``."""
    assert desk.load(GOOD, **{name: value}) == desk.load(GOOD)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SIDECAR_LISTN__PORT", "1", "SIDECAR_LISTN__PORT): is no setting; did you mean listen?"),
        ("SIDECAR_LISTEN__PRT", "1", "did you mean listen.port?"),
        ("SIDECAR_ISSUERS__0__AUDIENCE", "a", "did you mean issuers[0].audiences?"),
        ("SIDECAR_LISTEN_PORT", "8080", "SIDECAR_LISTEN_PORT): is no setting"),
        ("SIDECAR_PORT", "8080", "SIDECAR_PORT): is no setting"),
        ("SIDECAR_LISTEN__PORT", "x", "(SIDECAR_LISTEN__PORT): 'x'"),
        ("SIDECAR_LISTEN", "{port: x}", "listen.port (SIDECAR_LISTEN): 'x'"),
        ("SIDECAR_ISSUERS__7__ISSUER", "x", "no entry 7"),
        ("SIDECAR_ISSUERS__1000__ISSUER", "x", "two underscores"),
        ("SIDECAR_ISSUERS__X", "x", "two underscores"),
        ("SIDECAR_UPSTREAM__URL__MORE", "x", "two underscores"),
        ("SIDECAR_UPSTREAM__0", "x", "no entry 0"),
        ("SIDECAR_TOLERATE", "[broken", "SIDECAR_TOLERATE: begins like a YAML list or mapping;"),
        ("SIDECAR_LOG", "{level: info, level: info}", "is there twice"),
        ("SIDECAR_TOLERATE", "[&a [x], *a]", "anchors"),
        ("SIDECAR_TOLERATE", "[\udc80]", "is not YAML"),
        ("SIDECAR_", "x", "two underscores"),
        ("SIDECAR_ROUTES", "{}", "routes (SIDECAR_ROUTES): expected a list"),
    ],
)
def test_a_variable_that_sets_nothing_is_a_problem(
    desk: Desk, name: str, value: str, says: str
) -> None:
    settings = changed(listen={"port": 1})

    assert any(says in problem for problem in desk.problems(settings, **{name: value}))


@given(
    name=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", max_size=30)
    | st.sampled_from(["ISSUERS__0", "ROUTES__0__PATH", "LISTEN", "TOLERATE", "ACCOUNTS__URL"]),
    value=st.text(st.characters(exclude_characters="\x00"), max_size=30)
    | st.text("[]{}&*!:,'a1 ", max_size=30),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_variable_is_taken_or_refused(desk: Desk, name: str, value: str) -> None:
    desk.load_or_refuse(GOOD, **{f"SIDECAR_{name}": value})
