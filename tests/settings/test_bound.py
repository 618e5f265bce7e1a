"""Settings of bound tokens: what could not work is refused, with the remedy."""

from typing import Any

import pytest

from sidecar.core.client_certificate import CertificateForm
from sidecar.core.confirmation import Binding, BindingRules
from sidecar.core.dpop import ProofRules
from tests.settings.desk import GOOD, Desk, changed

URLS = ["https://API.example:443", "http://b.example:8080/base/"]
HEADER = {"name": "Client-Cert", "format": "rfc9440"}


def bound(
    dpop: str = "off", mtls: str = "off", sections: dict[str, Any] | None = None, **members: Any
) -> dict[str, Any]:
    issuer = {**GOOD["issuers"][0], "dpop": dpop, "mtls": mtls}
    return changed(issuers=[issuer], bound_tokens=members, **(sections or {}))


def tls(desk: Desk, *, client_ca: bool) -> dict[str, str]:
    file = desk.write("x.pem", b"x")
    return {"certificate": file, "key": file, **({"client_ca": file} if client_ca else {})}


def test_nothing_is_bound_by_default(desk: Desk) -> None:
    settings = desk.load(GOOD)

    assert settings.issuers[0].rules().binding == BindingRules()
    assert settings.bound_tokens.read_nonce_secret() is None


def test_what_is_set_is_what_the_decision_gets(desk: Desk) -> None:
    secret = desk.write("nonces", b"0123456789abcdef0123456789abcdef\n")
    settings = desk.load(
        bound(
            "required",
            public_urls=URLS,
            algorithms=["ES256"],
            proof_window=30,
            proof_leeway=1,
            max_proof_bytes=2048,
            nonce_secret_file=secret,
        )
    )

    assert settings.issuers[0].rules().binding == BindingRules(Binding.REQUIRED)
    assert settings.bound_tokens.proof_rules() == ProofRules(
        ("https://api.example", "http://b.example:8080/base"), frozenset({"ES256"}), 30, 1, 2048
    )
    assert settings.bound_tokens.read_nonce_secret() == b"0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (bound("allowed"), "public_urls is missing, and an issuer has dpop"),
        (bound("sometimes"), "'off', 'allowed' or 'required'"),
        (bound(public_urls=["api.example"]), "expected a URL such as https://api.example.com"),
        (bound(public_urls=["ftp://api.example"]), "expected a URL such as"),
        (bound(public_urls=["https://a@api.example"]), "expected a URL such as"),
        (bound(public_urls=["https://api.example/?x"]), "without query and fragment"),
        (bound(public_urls="https://api.example"), "expected a list of strings"),
        (bound(algorithms=[]), "at least one algorithm"),
        (bound(algorithms=["HS256"]), "'HS256' is refused"),
        (bound(algorithms=["none"]), "'none' is refused"),
        (bound(proof_window=0), "1"),
        (bound(proof_window=6000), "600"),
        (bound(proof_leeway=-1), "0"),
        (bound(forward_as="dpop"), "does not go with preset: hoop, which knows Bearer only"),
        (bound(client_certificate_header=HEADER), "has no effect; set mtls for an issuer"),
        (bound(mtls="allowed"), "set listen.tls.client_ca, or client_certificate_header and"),
        (
            bound(mtls="required", client_certificate_header=HEADER),
            "no client could show its certificate at listen",
        ),
        (
            bound(client_certificate_header={**HEADER, "name": "Authorization"}),
            "has a meaning of its own",
        ),
        (bound(client_certificate_header={**HEADER, "name": "DPoP"}), "has a meaning of its own"),
        (
            bound(client_certificate_header={**HEADER, "name": "Client_Cert"}),
            "letters, digits and hyphens",
        ),
        (bound(client_certificate_header={**HEADER, "format": "pem"}), "'envoy_xfcc'"),
        (
            bound(mtls="allowed", sections={"forward_auth": {"dialect": "nginx"}}),
            "at forward_auth only the proxy knows the client's certificate",
        ),
    ],
)
def test_what_could_not_work_is_refused_with_a_remedy(
    desk: Desk, settings: dict[str, Any], says: str
) -> None:
    assert says in desk.the_problem(settings)


def test_a_bare_off_is_the_word_and_no_truth_value(desk: Desk) -> None:
    issuer = {**GOOD["issuers"][0], "dpop": False, "mtls": False}

    assert desk.load(changed(issuers=[issuer])).issuers[0].dpop is Binding.OFF
    assert "'off', 'allowed' or 'required'" in desk.the_problem(
        changed(issuers=[{**issuer, "mtls": True}])
    )


def test_a_problem_names_its_place(desk: Desk) -> None:
    assert desk.the_problem(bound("allowed")).startswith("bound_tokens")


def test_a_short_secret_is_refused(desk: Desk) -> None:
    settings = bound(nonce_secret_file=desk.write("nonces", b"short"))

    assert "expected 32 characters or more" in desk.the_problem(settings)


def test_a_header_of_trusted_proxies_is_one_way(desk: Desk) -> None:
    settings = desk.load(
        bound(
            mtls="required",
            client_certificate_header=HEADER,
            sections={"listen": {"trusted_proxies": ["10.0.0.0/8"]}},
        )
    )

    header = settings.bound_tokens.client_certificate_header
    assert header is not None
    assert (header.name, header.format) == ("client-cert", CertificateForm.RFC9440)


@pytest.mark.parametrize("client_ca", [True, False])
def test_a_handshake_of_our_own_is_another(desk: Desk, *, client_ca: bool) -> None:
    files = tls(desk, client_ca=client_ca)
    grpc = {"upstream": {"url": "grpc://127.0.0.1:8010"}, "tls": files}
    sections = {"listen": {"tls": tls(desk, client_ca=True)}, "grpc": grpc}
    settings = bound(mtls="allowed", sections=sections)

    if client_ca:
        assert desk.load(settings).issuers[0].mtls is Binding.ALLOWED
    else:
        assert "set grpc.tls.client_ca" in desk.the_problem(settings)
