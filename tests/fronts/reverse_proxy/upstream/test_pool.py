"""A full pool makes room for what its idle connections cannot serve."""

from sidecar.fronts.reverse_proxy.upstream import Upstream, UpstreamPolicy
from tests.fakes.upstream import scripted_upstream


async def test_a_full_pool_closes_an_idle_connection_to_ask_another_address() -> None:
    async with (
        scripted_upstream() as one,
        scripted_upstream() as other,
        Upstream(UpstreamPolicy(one.url, more=(other.url,), max_connections=1)) as upstream,
    ):
        answer = await upstream.ask("GET", "/", [(b"Host", b"a")], None)
        answer.at_hand()
        upstream._addresses.reverse()
        again = await upstream.ask("GET", "/", [(b"Host", b"a")], None)

        assert again.status == 200
        assert (one.connections, other.connections) == (1, 1)
