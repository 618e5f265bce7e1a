"""A preset and what it is given: wrong combinations are problems with place and remedy."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.settings.presets import PRESETS
from tests.settings.desk import Desk, changed

TENANT = "aaaabbbb-0000-cccc-1111-dddd2222eeee"
V2 = f"https://login.microsoftonline.com/{TENANT}/v2.0"
V1 = f"https://sts.windows.net/{TENANT}/"


@pytest.mark.parametrize(
    ("members", "place", "says"),
    [
        ({"preset": "azure"}, "preset", "'entra', 'entra-v1'"),
        ({"preset": ["entra"]}, "preset", "'entra', 'entra-v1'"),
        ({"preset": "entra"}, "tenant", "is missing; expected the directory (tenant) id"),
        ({"preset": "entra", "tenant": None}, "tenant", "is missing; expected the directory"),
        ({"preset": "entra", "tenant": "common"}, "tenant", "ever stands in a token"),
        ({"preset": "entra", "tenant": "acme.onmicrosoft.com"}, "tenant", "neither a domain name"),
        ({"preset": "entra", "tenant": TENANT.upper()}, "tenant", "in lower case"),
        ({"preset": "entra", "tenant": 7}, "tenant", "a valid string"),
        ({"preset": "entra", "issuer": V1}, "issuer", "it looks like preset: entra-v1"),
        ({"preset": "entra-v2", "issuer": V1}, "issuer", "it looks like preset: entra-v1"),
        ({"preset": "entra-v1", "issuer": V2}, "issuer", "it looks like preset: entra-v2"),
        ({"preset": "entra-v1", "issuer": V1[:-1]}, "issuer", "with a slash at its end"),
        ({"preset": "entra-v2", "issuer": V2 + "/"}, "issuer", "without a slash at its end"),
        (
            {"preset": "entra-v2", "issuer": V2.replace("a", "c"), "tenant": TENANT},
            "issuer",
            "differs from what tenant of preset entra-v2 make",
        ),
        ({"preset": "okta"}, "domain", "is missing; expected a host name"),
        ({"preset": "okta", "domain": "https://acme.okta.com"}, "domain", "without https://"),
        ({"preset": "okta", "domain": "a.okta.com", "server": "a/b"}, "server", "such as default"),
        ({"preset": "okta", "domain": "a.okta.com", "pool": "x"}, "pool", "with preset cognito"),
        ({"preset": "okta", "issuer": "https://a.okta.com"}, "issuer", "preset: okta-org"),
        ({"preset": "auth0", "domain": "a.auth0.com/"}, "domain", "without https:// and path"),
        ({"preset": "auth0", "issuer": "https://a.auth0.com"}, "issuer", "with a slash at its end"),
        ({"preset": "cognito", "pool": "AbC", "clients": ["a"]}, "pool", "eu-west-1_AbCdEfGhI"),
        ({"preset": "cognito", "pool": "eu-west-1_A"}, "clients", "the client ids to let in"),
        ({"preset": "keycloak"}, "issuer", "is missing; set it, or a preset that makes it"),
        ({"preset": "keycloak", "issuer": "https://i/realms/a/"}, "issuer", "without a slash"),
        ({"preset": "google", "issuer": "https://google.com"}, "issuer", "https://accounts.google"),
        ({"preset": "jumpcloud"}, "clients", "the client ids to let in"),
        ({"issuer": "https://i/", "tenant": TENANT}, "tenant", "entra or entra-v1 or entra-v2"),
        ({}, "issuer", "is missing; set it, or a preset"),
        ({"issuer": "https://i/", "needed_claims": [""]}, "needed_claims", "name is empty"),
        ({"issuer": "https://i/", "profile": "rfc9000"}, "profile", "'jwt' or 'rfc9068'"),
    ],
)
def test_a_wrong_combination_is_a_problem_with_place_and_remedy(
    desk: Desk, members: dict[str, Any], place: str, says: str
) -> None:
    audiences = {} if "clients" in (place, *members) else {"audiences": ["api"]}

    problem = desk.the_problem(changed(issuers=[{**audiences, **members}]))

    assert problem.startswith(f"issuers[0].{place} (line ")
    assert says in problem


def test_a_provider_without_tls_is_refused_with_a_preset_too(desk: Desk) -> None:
    keycloak = {"preset": "keycloak", "issuer": "http://i/realms/a", "audiences": ["api"]}

    problems = desk.problems(changed(issuers=[keycloak]))

    assert all("expected https (or set insecure_http: true" in problem for problem in problems)
    assert (
        "http://i/realms/a"
        in desk.load(changed(issuers=[{**keycloak, "insecure_http": True}])).issuer_rules()
    )


def test_a_token_for_anybody_is_refused_with_a_preset_too(desk: Desk) -> None:
    problem = desk.the_problem(changed(issuers=[{"preset": "entra", "tenant": TENANT}]))

    assert problem.startswith("issuers[0]")
    assert "expected the `aud` of tokens for this API" in problem


def test_the_profile_of_rfc_9068_wants_an_audience(desk: Desk) -> None:
    problem = desk.the_problem(
        changed(
            issuers=[{"preset": "cognito", "pool": "eu-west-1_A", "clients": ["a"]}
                     | {"profile": "rfc9068"}]
        )
    )  # fmt: skip

    assert "RFC 9068 wants one in each token" in problem


def test_an_issuer_that_a_preset_means_as_well_is_not_listed_again(desk: Desk) -> None:
    issuers = [
        {"preset": "entra", "tenant": TENANT, "audiences": ["api"]},
        {"issuer": V1, "audiences": ["api"]},
    ]

    assert "is there twice; join the two" in desk.the_problem(changed(issuers=issuers))


def test_a_part_that_is_null_is_a_part_that_is_not_there(desk: Desk) -> None:
    okta = {"preset": "okta", "domain": "a.okta.com", "tenant": None, "server": None}

    loaded = desk.load(changed(issuers=[{**okta, "audiences": ["api"]}]))

    assert list(loaded.issuer_rules()) == ["https://a.okta.com/oauth2/default"]


def test_a_preset_can_be_set_in_the_environment(desk: Desk) -> None:
    loaded = desk.load(
        changed(issuers=[{"preset": "entra", "audiences": ["api"]}]),
        SIDECAR_ISSUERS__0__TENANT=TENANT,
    )

    assert list(loaded.issuer_rules()) == [V2, V1]


_ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.text(max_size=4))
    | st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)
    | st.sampled_from([TENANT, "a.okta.com", "eu-west-1_A", "rfc9068", V1, V2])
)  # fmt: skip
_MEMBERS = st.sampled_from(
    ["tenant", "domain", "server", "pool", "issuer", "clients", "required_claims", "profile",
     "audiences", "client_claim", "needed_claims", "token_types", "jwks_url"]
)  # fmt: skip


@given(st.sampled_from([*PRESETS, "x"]), st.dictionaries(_MEMBERS, _ANYTHING, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_set_beside_a_preset_is_loaded_or_a_problem(
    desk: Desk, preset: str, members: dict[str, Any]
) -> None:
    desk.load_or_refuse(changed(issuers=[{"preset": preset, **members}]))
