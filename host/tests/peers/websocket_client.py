"""A WebSocket client by `websockets`: `websocket_client.py CASE URL [CA]`. Prints `ok` if all was well."""

import asyncio
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus


def open_socket(path="/", **options):
    return connect(url + path, proxy=None, max_size=None, ssl=context, **options)


async def echo():
    async with open_socket(subprotocols=["other", "chat"]) as socket:
        assert socket.subprotocol == "chat", socket.subprotocol
        assert "permessage-deflate" in socket.response.headers["sec-websocket-extensions"]
        for message in ["text, grüße", "", b"\x00\xff binary", b""]:
            await socket.send(message)
            assert await socket.recv() == message


async def large():
    for compression in ["deflate", None]:
        async with open_socket(compression=compression) as socket:
            for message in [os.urandom(1 << 20), "ü" * (1 << 20), os.urandom(5 << 20)]:
                await socket.send(message)
                assert await socket.recv() == message
            # In fragments.
            parts = [os.urandom(1 << 16) for _ in range(20)]
            await socket.send(parts)
            assert await socket.recv() == b"".join(parts)


async def pings():
    async with open_socket("/ping") as socket:
        await (await socket.ping(b"from the client"))
        assert await socket.recv() == "the client has answered"


async def closed_by_service():
    for code, reason, kind in [
        (1000, "done", ConnectionClosedOK),
        (4001, "grüße", ConnectionClosedError),
    ]:
        async with open_socket(f"/close?code={code}&reason={reason}") as socket:
            try:
                await socket.recv()
                raise AssertionError("it is open")
            except kind as closed:
                assert (closed.rcvd.code, closed.rcvd.reason) == (code, reason), closed
                assert closed.rcvd_then_sent


async def closes():
    async with open_socket() as socket:
        await socket.close(4002, "enough")
        assert socket.close_code == 4002, socket.close_code


async def many():
    async def one(number):
        async with open_socket() as socket:
            for turn in range(10):
                message = f"{number} {turn} " + "x" * 10_000
                await socket.send(message)
                assert await socket.recv() == message

    await asyncio.gather(*(one(number) for number in range(25)))


async def guarded():
    try:
        async with open_socket():
            raise AssertionError("the policy lets it pass")
    except InvalidStatus as refused:
        assert refused.response.status_code == 401, refused.response
    async with open_socket(additional_headers={"x-key": "1"}) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"


async def vanishes():
    async with open_socket("/vanish") as socket:
        await socket.send("go")
        try:
            await socket.recv()
            raise AssertionError("it is open")
        except ConnectionClosedError as closed:
            assert closed.rcvd is None, closed


case, url, *ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca[0]) if ca else None
asyncio.run(globals()[case]())
print("ok")
