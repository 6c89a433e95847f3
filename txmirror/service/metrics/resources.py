"""The resources ``/metrics``, ``/healthz`` and ``/readyz``, which only answer: nothing there changes the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txmirror.service.daemon import Daemon
from txmirror.service.json_resource import Missing, respond
from txmirror.service.metrics.collector import make_registry
from txmirror.service.metrics.exposition import Exposition
from txmirror.service.metrics.readiness import faults, obstacles

_PLAIN = "text/plain; charset=utf-8"
#: The most samples that are read and encoded at once: some milliseconds.
_AT_ONCE = 100


class _Page(Resource):
    """Answers GET with a text.

    :param answer: takes the request; it returns a Deferred that fires with the content type and the content.
    """

    _log = Logger()

    def __init__(self, answer: Callable[[Request], Deferred[tuple[str, bytes]]]) -> None:
        super().__init__()
        self._answer = answer

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a path that there is not."""
        return Missing()

    def render(self, request: Request) -> int:
        """Answer a request."""
        if request.method not in (b"GET", b"HEAD"):
            request.setResponseCode(405)
            request.setHeader(b"allow", b"GET, HEAD")
            respond(request, _PLAIN, b"Only GET is allowed here.\n")
            return NOT_DONE_YET
        answered = maybeDeferred(self._answer, request)
        request.notifyFinish().addErrback(lambda _: answered.cancel())
        answered.addErrback(self._failed, request)
        answered.addCallback(lambda answer: respond(request, *answer))
        answered.addErrback(lambda failure: self._log.failure("A request could not be answered.", failure=failure))
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: Request) -> tuple[str, bytes]:
        if not failure.check(CancelledError):
            self._log.failure("A request has failed because of a bug.", failure=failure)
        request.setResponseCode(500)
        return _PLAIN, b"The request has failed because of a bug; the log has more.\n"


def add_pages(root: Resource, daemon: Daemon) -> None:
    """Add the three resources to a root.

    :param daemon: the daemon that they describe.
    """
    exposition = Exposition(make_registry(daemon, _AT_ONCE), daemon.registrations.reactor)

    def metrics(request: Request) -> Deferred[tuple[str, bytes]]:
        accept: Any = request.getHeader(b"accept")
        return exposition.encode("" if accept is None else accept.decode("latin-1"))

    root.putChild(b"metrics", _Page(metrics))
    root.putChild(b"healthz", _Page(lambda request: _judge(request, faults(daemon))))
    root.putChild(b"readyz", _Page(lambda request: _judge(request, obstacles(daemon))))


def make_metrics_root(daemon: Daemon) -> Resource:
    """Return a root with ``/metrics``, ``/healthz`` and ``/readyz`` alone, for a site of another program too.

    They answer GET. ``/metrics`` has the metrics in the format of Prometheus or OpenMetrics, as the header ``Accept`` asks for. The
    other two have the status 200, or 503 with a sentence for each reason.
    """
    root = Missing()
    add_pages(root, daemon)
    return root


def _judge(request: Request, reasons: Iterable[str]) -> Deferred[tuple[str, bytes]]:
    """Return an answer with the status 200, or 503 if there are reasons."""
    lines = list(reasons)
    request.setResponseCode(503 if lines else 200)
    text = "".join(f"{line}\n" for line in lines or ["ok"])
    return succeed((_PLAIN, text.encode("utf-8", "backslashreplace")))
