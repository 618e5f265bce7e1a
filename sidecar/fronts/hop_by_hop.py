"""Which fields of a message end here (RFC 9110, 7.6.1), as tables.

Names are compared as bytes in lower case, the way they come off the wire.
"""

from collections.abc import Iterable

# RFC 9110, 7.6.1 names Connection, Proxy-Connection, Keep-Alive, TE, Transfer-Encoding and Upgrade;
# the rest are a proxy's own (11.7) or only make sense with trailers, which are not passed on.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-authentication-info",
    }
)

# RFC 9110, 7.6.1: "A sender MUST NOT send a connection option corresponding to a field that is
# intended for all recipients of the content". Whoever names one of these wants it lost on the way.
END_TO_END = frozenset({b"authorization", b"content-length", b"cookie", b"host"})


def read_options(connection: Iterable[bytes]) -> frozenset[bytes]:
    """Return the options that all ``Connection`` values name, in lower case."""
    return frozenset(
        option
        for value in connection
        for word in value.split(b",")
        if (option := word.strip(b" \t").lower())
    )
