"""What a request shows beside its token, and whose word counts."""

import pytest

from sidecar.core.client_certificate import CertificateForm
from sidecar.core.confirmation import Shown
from sidecar.fronts.shown import NOTHING_SHOWN, CertificateHeader, ShownRules
from tests.core.test_client_certificate import BASE64, THUMBPRINT

HEADER = CertificateHeader("client-cert", CertificateForm.RFC9440)
RULES = ShownRules(takes_certificates=True, header=HEADER)
TOLD = (f":{BASE64}:",)


def test_where_nothing_is_taken_nothing_is_shown() -> None:
    assert NOTHING_SHOWN.shown(["x"], TOLD, THUMBPRINT, by_proxy=True) is None
    assert not NOTHING_SHOWN.is_proof("dpop")


def test_the_handshake_counts_where_no_proxy_tells() -> None:
    assert RULES.shown((), (), THUMBPRINT, by_proxy=False) == Shown((), THUMBPRINT)
    assert ShownRules(takes_certificates=True).shown((), (), THUMBPRINT, by_proxy=True) == Shown(
        (), THUMBPRINT
    )


def test_a_header_counts_from_a_trusted_proxy_alone() -> None:
    assert RULES.shown((), TOLD, None, by_proxy=True) == Shown((), THUMBPRINT)
    assert RULES.shown((), TOLD, None, by_proxy=False) == Shown()


def test_a_proxys_own_certificate_is_never_its_clients() -> None:
    assert RULES.shown((), (), "the proxy's", by_proxy=True) == Shown()
    assert RULES.shown((), (*TOLD, *TOLD), "the proxy's", by_proxy=True) == Shown()


@pytest.mark.parametrize("name", ["Client_Cert", "client.cert", "CLIENT_CERT", "Client~Cert"])
def test_other_spellings_of_the_header_are_aliases(name: str) -> None:
    assert RULES.is_alias(name)
    assert not RULES.is_certificate(name.lower())


@pytest.mark.parametrize("name", ["client-cert", "Client-Cert", "clientcert", "client-cert-chain"])
def test_the_name_itself_and_other_names_are_none(name: str) -> None:
    assert not RULES.is_alias(name)


def test_upstream_gets_a_bearer_unless_it_verifies_proofs_itself() -> None:
    assert RULES.credential("DPoP x.y.z") == "Bearer x.y.z"
    assert RULES.credential("dpop x.y.z") == "Bearer x.y.z"
    assert RULES.credential("bearer x.y.z") == "Bearer x.y.z"
    keeps = ShownRules(takes_proofs=True, forwards_proofs=True)
    assert keeps.credential("DPoP x.y.z") == "DPoP x.y.z"
    assert keeps.credential("bearer x.y.z") == "Bearer x.y.z"
