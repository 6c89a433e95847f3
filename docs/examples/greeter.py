"""A web server that registers itself. Its argument is its name."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

# Listen at any free port of this machine, and register it below /services/greeter.
ENDPOINT = r"mirror:/services/greeter:listen=tcp\:0\:interface=127.0.0.1:session_timeout=4"


class Greeter(Resource):
    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def render_GET(self, request: Request) -> bytes:
        return f"Hello from {self.name}".encode()


async def main(reactor: IReactorCore, name: str = "Ada") -> None:
    port = await serverFromString(reactor, ENDPOINT).listen(Site(Greeter(name)))
    print(name, "listens at port", port.getHost().port)
    await Deferred()  # serve until Ctrl-C


if __name__ == "__main__":
    react(main, sys.argv[1:])
