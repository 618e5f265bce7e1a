"""Where status lists are is said by the settings, never by a token alone."""

from typing import Any

import pytest

from sidecar.core.issuer import StatusListRules
from tests.settings.desk import Desk, issuer

URI = "https://idp.example/statuslists/"


def test_little_has_to_be_said(desk: Desk) -> None:
    settings = desk.load(issuer(status_list={"uris": [URI]}))

    rules = settings.issuer_rules()["https://idp.example/"]
    assert rules.status_list == StatusListRules(frozenset({URI}), required=False)
    assert desk.load(issuer()).issuer_rules()["https://idp.example/"].status_list is None


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"uris": []}, "expected where the lists are"),
        ({"uris": ["https://idp.example"]}, "no slash at its end"),
        ({"uris": ["https://idp.example/lists"]}, "no slash at its end"),
        ({"uris": ["http://idp.example/lists/"]}, "set insecure_http: true for this issuer"),
        ({"uris": ["https://user@idp.example/lists/"]}, "without user"),
        ({"uris": ["https://idp.example/lists/?a=/"]}, "without user, query"),
        ({"uris": ["file:///lists/"]}, "begins with https://"),
        ({"uris": URI}, "a list of strings"),
        ({"uris": [URI], "max_age": 1}, "greater than or equal to 5"),
        ({"uris": [URI], "any": True}, "is no setting"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(
    desk: Desk, members: dict[str, Any], says: str
) -> None:
    problem = desk.the_problem(issuer(status_list=members))

    assert says in problem
    assert "issuers[0].status_list" in problem
