"""Networks as settings name them."""

from ipaddress import ip_network

import pytest

from sidecar.settings.networks import covers_everybody


@pytest.mark.parametrize(
    ("networks", "everybody"),
    [
        ([], False),
        (["10.0.0.0/8", "fd00::/8"], False),
        (["0.0.0.0/0"], True),
        (["10.0.0.0/8", "::/0"], True),
        (["0.0.0.0/1", "128.0.0.0/1"], True),
        (["::/1", "8000::/2", "c000::/2"], True),
        (["0.0.0.0/1", "8000::/1"], False),
    ],
)
def test_parts_of_a_family_may_be_all_of_it(networks: list[str], *, everybody: bool) -> None:
    assert covers_everybody(map(ip_network, networks)) is everybody
