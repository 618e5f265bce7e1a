"""The yardstick: the least proxy that aiohttp's server and client make together.

It checks nothing and buffers nothing. What the sidecar costs more than this is what the decision,
the header rules and the books cost.
"""

import asyncio
import sys

import aiohttp
import yarl
from aiohttp import web


async def main(upstream: str) -> None:
    async with aiohttp.ClientSession(
        auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
    ) as session:

        async def forward(request: web.BaseRequest) -> web.StreamResponse:
            url = yarl.URL(upstream + request.raw_path, encoded=True)
            async with session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(status=answer.status, headers=answer.headers)
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        server = await asyncio.get_running_loop().create_server(web.Server(forward), "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        print(f"listening on http://{host}:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
