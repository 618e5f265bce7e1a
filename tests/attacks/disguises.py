"""Disguises of a header, by which one of two programs does not know it and the other does.

The classes are those by which HTTP Request Smuggler (github.com/PortSwigger/http-request-smuggler)
changes any header over HTTP/1.1.
"""

from collections.abc import Iterator

_BLANKS = (b"\x00", b"\t", b"\x0b", b"\x0c", b"\r", b"\x7f")


def disguises(name: bytes, value: bytes) -> Iterator[bytes]:
    """Yield the 38 ways to write a header, as lines without the last one's end."""
    line = b"%b: %b" % (name, value)
    yield line
    yield name.replace(b"-", b"_") + b": " + value
    yield name.replace(b"-", b" ") + b": " + value
    yield name.replace(b"-", b"\\") + b": " + value
    yield name.upper() + b": " + value
    yield name[:1].lower() + name[1:].upper() + b": " + value
    yield name[:3] + b"\r" + name[3:] + b": " + value
    for before_colon in (b" ", b"\n ", b" x"):
        yield name + before_colon + b": " + value
    for before_value in (b"", b"  ", b"\n ", b" \n\x0b", b" \r\n\t", b"\xff", b"\xa0"):
        yield name + b":" + before_value + value
    for before_line in (b"\r\n ", b"\r\n\t", b"\r", b"\n", b"\r\n\r"):
        yield b"Foo: bar" + before_line + line
    yield b"Connection: " + name + b"\r\n" + line
    yield line + b"\r\n " + line
    yield line + b"\r\n" + name + b": other"
    yield name + b": other\r\n" + line
    yield from (name + b":" + blank + value for blank in _BLANKS)
    yield from (name + b": " + blank + value for blank in _BLANKS)
