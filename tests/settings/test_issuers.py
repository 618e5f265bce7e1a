"""An issuer that would let in whom nobody meant is refused."""

from typing import Any

import pytest

from sidecar.core.groups import GroupRules
from sidecar.core.issuer import Issuer
from tests.settings.desk import GOOD, Desk, changed, issuer


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (changed(issuers=[]), "at least one issuer"),
        (changed(issuers=[dict(GOOD["issuers"][0]), dict(GOOD["issuers"][0], realm="x")]), "twice"),
        (issuer(issuer="http://idp.example/"), "expected https (or set insecure_http: true"),
        (issuer(issuer="https://user@idp.example/"), "without user"),
        (issuer(issuer="https://idp.example/#a"), "without user"),
        (issuer(issuer="https:///realm"), "expected a host"),
        (issuer(issuer="https://idp.example/?a"), "without a query"),
        (issuer(issuer="https://[idp/"), "expected a URL"),
        (issuer(issuer="https://idp.example/ "), "expected a URL"),
        (issuer(issuer="idp.example"), "begins with https://"),
        (issuer(jwks_url="http://idp.example/keys"), "insecure_http"),
        (issuer(jwks_url="file:///keys"), "begins with https://"),
        (issuer(audiences=[]), "set client_claim and clients"),
        (issuer(audiences=[""]), "empty; leave it out"),
        (issuer(audiences="api"), "a list of strings, for example ['api']"),
        (issuer(client_claim="azp", clients=[""]), "empty; leave it out"),
        (issuer(clients=["a"]), "belong together"),
        (issuer(client_claim="azp"), "belong together"),
        (issuer(algorithms=[]), 'at least one algorithm, for example ["RS256"]'),
        (issuer(algorithms=["HS256"]), "must not be able to sign. Expected some of ES256"),
        (issuer(algorithms=["none"]), "must not be able to sign"),
        (issuer(algorithms=["rs256"]), "must not be able to sign"),
        (issuer(realm="a:b"), "letters, digits, dots"),
        (issuer(realm=""), "1 to 64"),
        (issuer(realm="a" * 65), "1 to 64"),
        (issuer(leeway=-1), "greater than or equal to 0"),
        (issuer(leeway=float("nan")), "less than or equal to 300"),
        (issuer(leeway=301), "less than or equal to 300"),
        (issuer(required_claims={"a": 1}), "valid string"),
        (issuer(ca="/nowhere/ca.pem"), "cannot be read: No such file"),
        (issuer(insecure_any_audience=True), "is no setting"),
        (issuer(groups_from="token"), "'account' or 'claim'"),
        (issuer(groups_claim="groups"), "set groups_from: claim, or leave it out"),
        (issuer(groups_from="claim", groups_claim=""), "at least 1 character"),
        (issuer(group_names={"a": "b,admin"}), "'b,admin' is no group"),
        (issuer(group_names={"a": ""}), "'' is no group"),
        (issuer(group_names={"a": "a\r\nb"}), "is no group"),
    ],
)
def test_a_dangerous_issuer_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_plain_http_is_let_through_by_the_setting_that_names_the_danger(desk: Desk) -> None:
    settings = desk.load(
        issuer(issuer="http://idp.example/", jwks_url="http://idp.example/k", insecure_http=True)
    )

    assert "http://idp.example/" in settings.issuer_rules()


def test_the_rules_say_what_the_settings_say(desk: Desk) -> None:
    settings = desk.load(
        issuer(
            realm="corp",
            algorithms=["ES256"],
            audiences=["api", "api://x"],
            client_claim="azp",
            clients=["robot"],
            token_types=["AT+JWT"],
            type_required=True,
            kid_optional=True,
            leeway=2,
            required_claims={"token_use": "access"},
        )
    )

    assert settings.issuer_rules() == {
        "https://idp.example/": Issuer(
            name="https://idp.example/",
            realm="corp",
            algorithms=frozenset({"ES256"}),
            audiences=frozenset({"api", "api://x"}),
            client_claim="azp",
            clients=frozenset({"robot"}),
            token_types=frozenset({"at+jwt"}),
            type_required=True,
            kid_optional=True,
            leeway=2.0,
            required_claims={"token_use": "access"},
        )
    }


def test_an_issuer_without_audiences_is_known_by_its_clients(desk: Desk) -> None:
    settings = desk.load(issuer(audiences=[], client_claim="client_id", clients=["robot"]))

    assert settings.issuer_rules()["https://idp.example/"].audiences == frozenset()


def test_what_is_not_set_is_strict(desk: Desk) -> None:
    assert desk.load(GOOD).issuer_rules()["https://idp.example/"] == Issuer(
        name="https://idp.example/", audiences=frozenset({"api"})
    )


def test_an_issuer_is_kept_byte_for_byte(desk: Desk) -> None:
    assert list(desk.load(issuer(issuer="https://IDP.example")).issuer_rules()) == [
        "https://IDP.example"
    ]


@pytest.mark.parametrize(
    ("members", "rules"),
    [
        ({"groups_from": "claim"}, GroupRules("groups")),
        (
            {"groups_from": "claim", "groups_claim": "https://app.hoop.dev/groups"},
            GroupRules("https://app.hoop.dev/groups"),
        ),
        ({"group_names": {"Süd, 1": "ops"}}, GroupRules(None, {"Süd, 1": "ops"})),
        ({"groups_from": "account"}, GroupRules()),
    ],
)
def test_groups_come_from_where_the_settings_say(
    desk: Desk, members: dict[str, Any], rules: GroupRules
) -> None:
    assert desk.load(issuer(**members)).issuer_rules()["https://idp.example/"].groups == rules
