"""Reading what is posted, bounded in size and in time."""

import asyncio

from aiohttp import web


class BodyRefused(Exception):
    """There is no body that could be read; the message says why."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


async def read_body(request: web.BaseRequest, most: int, seconds: float) -> bytes:
    """Return the body, of ``most`` bytes at most, that has come within ``seconds``.

    Raises:
        BodyRefused: it is larger (413), slower or broken.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > most:
                    raise BodyRefused("the body is too large", 413)
    except TimeoutError:
        raise BodyRefused("the body did not come in time", 408) from None
    except (web.RequestPayloadError, OSError):
        raise BodyRefused("the body broke off") from None
    return bytes(body)
