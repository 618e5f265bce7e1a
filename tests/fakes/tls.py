"""TLS between two ends on this machine."""

import ssl

import trustme


def tls_ends() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the server's end, and that of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client
