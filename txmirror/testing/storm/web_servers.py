"""Web servers in a storm: they answer at once, late, in parts or not at all, and close connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txmirror.testing.storm.arrivals import CALM, NUMBER, answer_to
from txmirror.testing.storm.listening import SITE
from txmirror.testing.storm.parts import Scene
from txmirror.testing.storm.serving import ServerPart

_STATUSES = (404, 500, 502, 503)
_DELAYS = (0.0, 0.1, 1.0, 4.0)


class _Arriving(Request):
    """A request that reports its arrival.

    :ivar number: its number.
    :ivar lost: whether its connection is lost.
    """

    channel: Any

    def __init__(self, scene: Scene, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scene = scene
        self.number = -1
        self.lost = False

    def gotLength(self, length: int | None) -> None:
        """Note that the headers have arrived."""
        super().gotLength(length)
        self.number = int((self.requestHeaders.getRawHeaders(NUMBER) or [b"-1"])[0])
        host, peer = self.channel.getHost(), self.channel.getPeer()
        self._scene.arrivals.arrived(self.number, (host.host, host.port), peer.port)

    def connectionLost(self, reason: Failure) -> None:
        """Note that the connection is lost."""
        self.lost = True
        super().connectionLost(reason)


class _Answers(Resource):
    """Answers requests in ways that are chosen at random.

    :param scene: the world.
    :param random: chooses.
    """

    isLeaf = True

    def __init__(self, scene: Scene, random: Random) -> None:
        super().__init__()
        self._reactor = scene.world.reactor
        self._random = random
        self._calls: dict[IDelayedCall, None] = {}
        #: Some servers do something much more often than others.
        self._weights = [weight * random.choice((1, 1, 4)) for weight in (8, 2, 2, 1, 1, 1, 1)]

    def render(self, request: Any) -> int:
        """Begin an answer."""
        host = request.getHost()
        answer = answer_to(request.number, (host.host, host.port), request.content.read())
        ways = [self._at_once, self._late, self._in_parts, self._cut, self._none, self._refuse, self._close]
        way = self._at_once
        if not request.requestHeaders.hasHeader(CALM):
            way = self._random.choices(ways, self._weights)[0]
        way(request, answer)
        return NOT_DONE_YET

    def stop(self) -> None:
        """Begin nothing any more."""
        for call in self._calls:
            call.cancel()
        self._calls.clear()

    def _later(self, request: Any, function: Callable[[], object]) -> None:
        """Call a function after some time, unless the connection of a request is lost."""

        def begin() -> None:
            del self._calls[call]
            if not request.lost:
                function()

        call = self._reactor.callLater(self._random.choice(_DELAYS), begin)
        self._calls[call] = None

    def _at_once(self, request: Any, answer: bytes) -> None:
        request.setHeader(b"Content-Length", b"%d" % len(answer))
        self._end(request, answer)

    def _end(self, request: Any, rest: bytes) -> None:
        request.write(rest)
        request.finish()

    def _late(self, request: Any, answer: bytes) -> None:
        self._later(request, lambda: self._at_once(request, answer))

    def _in_parts(self, request: Any, answer: bytes) -> None:
        if self._random.random() < 0.5:
            request.setHeader(b"Content-Length", b"%d" % len(answer))
        size = self._random.randrange(1, len(answer))
        request.write(answer[:size])
        self._later(request, lambda: self._end(request, answer[size:]))

    def _cut(self, request: Any, answer: bytes) -> None:
        """Close the connection in the middle of the answer."""
        request.setHeader(b"Content-Length", b"%d" % len(answer))
        request.write(answer[: self._random.randrange(1, len(answer))])
        self._later(request, partial(self._abort, request))

    def _none(self, request: Any, answer: bytes) -> None:
        """Close the connection in place of an answer."""
        self._later(request, partial(self._abort, request))

    def _abort(self, request: Any) -> None:
        channel = request.channel
        (channel.transport.abortConnection if self._random.random() < 0.5 else channel.loseConnection)()

    def _refuse(self, request: Any, answer: bytes) -> None:
        request.setResponseCode(self._random.choice(_STATUSES))
        self._at_once(request, answer)

    def _close(self, request: Any, answer: bytes) -> None:
        """Answer, and close the connection some time later, whether or not it is idle."""
        channel = request.channel
        self._at_once(request, answer)
        self._later(request, lambda: None if channel.transport is None else channel.loseConnection())


class StormSite(Site):
    """The factory of web servers.

    :param scene: the world.
    :param random: chooses the answers.
    """

    service = SITE
    noisy = False

    def __init__(self, scene: Scene, random: Random) -> None:
        self._answers = _Answers(scene, random)
        super().__init__(
            self._answers,
            partial(_Arriving, scene),
            timeout=random.choice((5.0, 20.0, 60.0)),
            reactor=scene.world.reactor,
        )

    def startFactory(self) -> None:
        """Do nothing: there is no access log, and no timer for it."""

    def stopFactory(self) -> None:
        """Do nothing, likewise."""

    def stop(self) -> None:
        """Begin nothing any more."""
        self._answers.stop()


def make_web_server(scene: Scene, name: str, random: Random) -> ServerPart:
    """Return a program that serves HTTP at a few ports. See :class:`ServerPart`."""
    return ServerPart(scene, name, random, StormSite(scene, Random(f"{name} {random.random()}")))
