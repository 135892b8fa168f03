"""Programs may be started as another user while gRPC works in the same process, as PostgreSQL is."""

import asyncio
import os
import subprocess

import grpc
import grpc.aio

FORKS = 100  # without the root conftest.py one in eight crashes


async def test_no_child_crashes_in_the_fork_handlers_of_grpc() -> None:
    """Every child ends with 0 while four callers keep a server busy."""

    async def echo(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return request

    async def call_on() -> None:
        while True:
            await call(b"again", timeout=10)
            await asyncio.sleep(0.003)

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("test", {"Echo": grpc.unary_unary_rpc_method_handler(echo)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test/Echo")
        callers = [asyncio.create_task(call_on()) for _ in range(4)]
        codes = [
            (await asyncio.to_thread(subprocess.run, ["/bin/true"], user=os.getuid(), check=False)).returncode
            for _ in range(FORKS)
        ]
        assert not any(task.done() for task in callers)
        for task in callers:
            task.cancel()
    await server.stop(None)
    assert codes == [0] * FORKS
