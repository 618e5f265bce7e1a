"""What is published of us to clients without a token (RFC 9728)."""

import pytest

from sidecar.settings.resource import Resource
from tests.settings.desk import Desk, changed


@pytest.mark.parametrize(
    ("identifier", "path", "url"),
    [
        ("https://a.example", "", "https://a.example"),
        ("https://a.example/", "", "https://a.example"),
        ("https://a.example:8443/v1/api", "/v1/api", "https://a.example:8443"),
        ("https://a.example/v1/", "/v1", "https://a.example"),
    ],
)
def test_the_metadata_are_between_host_and_path(identifier: str, path: str, url: str) -> None:
    """RFC 9728, 3.1."""
    resource = Resource(identifier=identifier)

    assert resource.path == f"/.well-known/oauth-protected-resource{path}"
    assert resource.metadata_url == url + resource.path


@pytest.mark.parametrize(
    "identifier",
    [
        "http://a.example",
        "https://",
        "https://a.example?x",
        "https://a.example/#x",
        "https://u@a.example",
        "https://a.example/../b",
        "https://a.example//b",
        "https://a.example/.",
        'https://a.example/"',
        "https://a.example/%2e",
        "https://a.example/é",
        "https://a.example/a b",
        "https://a.example/a\r\nX: y",
        "a.example",
    ],
)
def test_what_cannot_be_an_identifier_is_refused(desk: Desk, identifier: str) -> None:
    problem = desk.the_problem(changed(resource={"identifier": identifier}))

    assert problem.startswith("resource.identifier")
    assert "expected an https URL" in problem


def test_a_page_has_to_be_one(desk: Desk) -> None:
    resource = {"identifier": "https://a.example", "documentation": "javascript:alert(1)"}

    assert "begins with https://" in desk.the_problem(changed(resource=resource))


def test_issuers_and_scopes_are_named_unless_others_are_set() -> None:
    plain = Resource(identifier="https://a.example")
    told = Resource(
        identifier="https://a.example",
        authorization_servers=("https://other.example/",),
        scopes=("c",),
        name="Reports",
        documentation="https://a.example/docs",
    )

    assert plain.members(["https://idp.example/"], {"b", "a"}) == {
        "resource": "https://a.example",
        "authorization_servers": ["https://idp.example/"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a", "b"],
    }
    assert told.members(["https://idp.example/"], {"b", "a"}) == {
        "resource": "https://a.example",
        "authorization_servers": ["https://other.example/"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["c"],
        "resource_name": "Reports",
        "resource_documentation": "https://a.example/docs",
    }


def test_what_would_be_empty_is_left_out() -> None:
    """RFC 9728, 3.2: parameters with zero values MUST be omitted."""
    silent = Resource(identifier="https://a.example", scopes=())

    assert "scopes_supported" not in silent.members(["https://idp.example/"], {"a"})
    assert "scopes_supported" not in Resource(identifier="https://a.example").members(["i"], ())
