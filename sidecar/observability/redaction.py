"""No token in a log, ever: also not through an exception that quotes what it could not read."""

import re

# A compact JWS, or what is left of one: "eyJ" is how base64url of '{"' begins.
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic|dpop)\s+[A-Za-z0-9\-._~+/]{8,}=*")
# The "\b" matters: without it one long word is tried from each of its letters, in square time.
# Without a scheme it is a whole text, such as a request's host.
_SECRET_IN_URL = re.compile(r"((?:^|\b\w+://)[^\s/:@]*):[^\s/@]+@")
_LONGEST = 4000


def redact(text: str) -> str:
    """Return ``text`` without credentials, and no longer than a log line should be."""
    text = _CREDENTIAL.sub(r"\1 [redacted]", text)
    text = _TOKEN.sub("[redacted]", text)
    text = _SECRET_IN_URL.sub(r"\1:[redacted]@", text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " [cut]"


def harmless(part: str) -> str:
    """Return a part of a request line or of its head without credentials; quick where none can be.

    Some clients put a token into the path or an audience, and some send a whole URL, its password
    included.
    """
    return redact(part) if "eyJ" in part or "@" in part else part
