"""A gRPC server that sends back each message of whatever call; prints where it listens."""

import asyncio

from tests.fakes.grpc_front import grpc_upstream


async def main() -> None:
    async with grpc_upstream() as upstream:
        print(f"listening on {upstream.target}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
