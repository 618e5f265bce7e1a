"""The client's certificate as proxies write it into a header."""

import hashlib
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.client_certificate import CertificateForm, read_thumbprint, thumbprint_of

# RFC 8705, appendix A.
BODY = (
    "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx\n"
    "ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG\n"
    "SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ\n"
    "/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID\n"
    "SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV\n"
    "bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=\n"
)
PEM = f"-----BEGIN CERTIFICATE-----\n{BODY}-----END CERTIFICATE-----\n"
THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
BASE64 = BODY.replace("\n", "")
HASH = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd"

F = CertificateForm


def test_the_rfcs_certificate_has_the_rfcs_thumbprint() -> None:
    assert read_thumbprint(F.RFC9440, [f":{BASE64}:"]) == THUMBPRINT


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (F.NGINX_ESCAPED_PEM, quote(PEM)),
        (F.NGINX_ESCAPED_PEM, quote(PEM, safe="")),
        (F.TRAEFIK, BASE64),
        (F.TRAEFIK, quote_plus(BASE64)),
        (F.TRAEFIK, f"{BASE64},{b64encode(b'0of the authority').decode()}"),
        (F.ENVOY_XFCC, f"Hash={HASH}"),
        (F.ENVOY_XFCC, f"By=spiffe://a;Hash={HASH.upper()};URI=spiffe://b"),
        (F.ENVOY_XFCC, f'By=x;Hash={HASH};Subject="CN=a\\"b,O=c;Hash={"0" * 64}";URI='),
    ],
)
def test_each_form_is_read(form: CertificateForm, value: str) -> None:
    assert read_thumbprint(form, [value]) == THUMBPRINT


@pytest.mark.parametrize(
    ("form", "value"),
    [
        (F.ENVOY_XFCC, ""),
        (F.ENVOY_XFCC, f"Hash={HASH},Hash={HASH}"),
        (F.ENVOY_XFCC, f"By=x;Hash={HASH},By=y;URI=z"),
        (F.ENVOY_XFCC, f"Hash={HASH};Hash={HASH}"),
        (F.ENVOY_XFCC, f'Subject="CN=a";Hash={HASH[:-1]}'),
        (F.ENVOY_XFCC, f'Hash="{HASH}"'),
        (F.ENVOY_XFCC, f'Subject="CN=a;Hash={HASH}'),
        (F.ENVOY_XFCC, "By=x;URI=y"),
        (F.ENVOY_XFCC, HASH),
        (F.NGINX_ESCAPED_PEM, quote(PEM + PEM)),
        (F.NGINX_ESCAPED_PEM, BASE64),
        (F.NGINX_ESCAPED_PEM, quote(PEM[:-10])),
        (F.NGINX_ESCAPED_PEM, quote("-----BEGIN CERTIFICATE-----!!-----END CERTIFICATE-----")),
        (F.RFC9440, BASE64),
        (F.RFC9440, f":{BASE64}:, :{BASE64}:"),
        (F.RFC9440, f":{BASE64}:;a=1"),
        (F.RFC9440, ":AAAA:"),
        (F.RFC9440, "::"),
        (F.TRAEFIK, ""),
        (F.TRAEFIK, "x"),
        (F.TRAEFIK, f",{BASE64}"),
        (F.TRAEFIK, "A" * 40_000),
    ],
)
def test_what_is_not_one_certificate_proves_nothing(form: CertificateForm, value: str) -> None:
    assert read_thumbprint(form, [value]) is None


@pytest.mark.parametrize("form", list(CertificateForm))
def test_no_line_and_two_prove_nothing(form: CertificateForm) -> None:
    """The second one may be the client's own, which the proxy left in place."""
    line = {
        F.ENVOY_XFCC: f"Hash={HASH}",
        F.NGINX_ESCAPED_PEM: quote(PEM),
        F.RFC9440: f":{BASE64}:",
        F.TRAEFIK: BASE64,
    }[form]

    assert read_thumbprint(form, [line]) == THUMBPRINT
    assert read_thumbprint(form, [line, line]) is None
    assert read_thumbprint(form, []) is None


@given(st.sampled_from(CertificateForm), st.lists(st.text(max_size=200), max_size=2))
def test_whatever_stands_there_is_read_or_proves_nothing(
    form: CertificateForm, lines: list[str]
) -> None:
    found = read_thumbprint(form, lines)

    assert found is None or len(found) == 43


@given(st.binary(min_size=1, max_size=100))
def test_a_thumbprint_is_the_hash_of_the_octets(octets: bytes) -> None:
    der = b"\x30" + octets

    assert read_thumbprint(F.RFC9440, [f":{b64encode(der).decode()}:"]) == thumbprint_of(der)
    assert read_thumbprint(
        F.ENVOY_XFCC, [f"Hash={hashlib.sha256(der).hexdigest()}"]
    ) == thumbprint_of(der)
