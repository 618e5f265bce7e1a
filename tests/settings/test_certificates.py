"""Each certificate of ours that settings name is found, wherever it stands."""

from pathlib import Path

from sidecar.settings.certificates import certificate_files
from tests.app.test_parts import settings
from tests.app.test_tls import Certificates


def test_every_place_that_names_one_is_found_by_its_name(tmp_path: Path) -> None:
    ours = Certificates(tmp_path, "ours")

    def tls() -> dict[str, str]:
        return {"certificate": str(ours.certificate), "key": str(ours.key)}

    issuer = {
        "issuer": "https://login.example.com/",
        "audiences": ["a"],
        "introspection": {
            "client_id": "sidecar",
            "authentication": "tls_client_auth",
            "certificate": str(ours.certificate),
            "certificate_key": str(ours.key),
        },
    }
    read = settings(
        tmp_path,
        listen={"tls": tls()},
        admin={"tls": tls()},
        upstream={"url": "https://localhost:1", "tls": tls()},
        issuers=[{"issuer": "https://other.example.com/", "audiences": ["a"]}, issuer],
    )

    assert dict(certificate_files(read)) == dict.fromkeys(
        ("listen.tls", "admin.tls", "upstream.tls", "issuers[1].introspection"), ours.certificate
    )


def test_where_none_is_named_there_is_none(tmp_path: Path) -> None:
    assert dict(certificate_files(settings(tmp_path))) == {}
