"""A web server in aiohttp, which answers with the current data of a node. aiohttp runs the event loop, and the reactor is on it."""

import sys
from collections.abc import AsyncIterator

from aiohttp import web

from txmirror import aio
from txmirror.errors import NoNodeException

SERVERS = web.AppKey("SERVERS", str)
NODE = web.AppKey("NODE", aio.Node)


async def mirroring(app: web.Application) -> AsyncIterator[None]:
    async with aio.running_reactor(), aio.Mirror(app[SERVERS]) as mirror:
        app[NODE] = mirror.get("/greeting")
        yield


async def greet(request: web.Request) -> web.Response:
    try:
        data, stat = await request.app[NODE].value()  # from memory, once it is known
    except NoNodeException as error:
        return web.Response(status=404, text=str(error))
    return web.Response(body=data, headers={"ETag": f'"{stat.mzxid}"'})


def main(servers: str = "localhost:2181", port: str = "8080") -> None:
    app = web.Application()
    app[SERVERS] = servers
    app.cleanup_ctx.append(mirroring)
    app.router.add_get("/", greet)
    web.run_app(app, host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
