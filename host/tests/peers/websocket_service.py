"""A WebSocket service by `websockets`: echoes, pings, closes as asked, and prints how clients close.

`websocket_service.py [CERTIFICATE KEY]`
"""

import asyncio
import os
import ssl
import sys
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def handle(socket):
    url = urlsplit(socket.request.path)
    if url.path == "/close":
        query = parse_qs(url.query)
        await socket.close(int(query["code"][0]), query["reason"][0])
    elif url.path == "/ping":
        await (await socket.ping(b"from the service"))
        await socket.send("the client has answered")
    elif url.path == "/vanish":
        await socket.recv()
        os._exit(0)
    try:
        async for message in socket:
            await socket.send(message)
    except ConnectionClosed:
        pass
    print(f"closed {socket.close_code} {socket.close_reason}", flush=True)


def choose(_, offered):
    return "chat" if "chat" in offered else None


async def main():
    options = {"max_size": None, "subprotocols": ["chat"], "select_subprotocol": choose}
    if len(sys.argv) == 3:
        options["ssl"] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        options["ssl"].load_cert_chain(*sys.argv[1:])
    async with serve(handle, "127.0.0.1", 0, **options) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


asyncio.run(main())
