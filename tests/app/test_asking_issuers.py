"""Settings become questions to issuers: a real list over a socket, verified with its keys."""

from pathlib import Path

import pytest

from sidecar.adapters.clock import SystemClock
from sidecar.app.asking_issuers import open_services
from sidecar.introspection import NoIntrospection
from sidecar.observability.introspection_metrics import UnheardIntrospection
from sidecar.status_lists import NoStatusLists, StatusListUnavailable
from tests.app.test_parts import settings
from tests.fakes.answering import answering, ok
from tests.fakes.keys import FakeKeySource
from tests.fakes.status_lists import list_claims, list_token
from tests.fakes.tokens import key_set, rsa_key

ISSUER = "https://idp.example/"


async def test_without_settings_nobody_is_asked(tmp_path: Path) -> None:
    async with open_services(
        settings(tmp_path), FakeKeySource(), SystemClock(), UnheardIntrospection()
    ) as services:
        assert isinstance(services.introspector, NoIntrospection)
        assert isinstance(services.status_lists, NoStatusLists)


async def test_a_list_is_fetched_and_verified_with_the_issuers_keys(tmp_path: Path) -> None:
    clock, keys = SystemClock(), FakeKeySource()
    keys.publish(ISSUER, key_set([rsa_key()]))
    async with answering(None) as server:
        uri = f"{server.url}/lists/1"
        now = clock.now()
        server.answer = ok(list_token(list_claims(b"\x02", sub=uri, iat=now, exp=now + 60)))
        issuer = {
            "issuer": ISSUER,
            "audiences": ["api"],
            "insecure_http": True,
            "status_list": {"uris": [f"{server.url}/lists/"]},
        }
        wanted = settings(tmp_path, issuers=[issuer])
        async with open_services(wanted, keys, clock, UnheardIntrospection()) as services:
            found = await services.status_lists.read(ISSUER, uri)
            keys.publish(ISSUER, key_set([rsa_key("another")]))
            with pytest.raises(StatusListUnavailable):
                await services.status_lists.read(ISSUER, f"{server.url}/lists/2")

    assert [found.status(place) for place in range(3)] == [0, 1, 0]
    assert "application/statuslist+jwt" in server.requests[0]
