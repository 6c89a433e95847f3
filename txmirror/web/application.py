"""The web application: routes that others add, and one place each for answers, errors and the end of a request.

It knows neither listeners nor rules of access: see :mod:`txmirror.web.site`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, TypeVar, cast

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.iweb import IRenderable
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from txmirror.errors import NoAuthException, NoNodeException, ZooServerProblem
from txmirror.web.calls import Answer, Call, InvalidRequest, quoted
from txmirror.web.reading import PathConverter, SegmentConverter, read_body, read_query, read_target
from txmirror.web.writing import write_head

#: It takes the call, and the parts of the path by their names. It returns a value for JSON, an :class:`Answer`, or a resource of
#: ``twisted.web`` that writes the answer itself, as a stream does; also by a Deferred or as a coroutine.
Handler = Callable[..., Any]

#: It gets the rule of an answer, its status, and its time in seconds.
Replied = Callable[[str, int, float], object]
_T = TypeVar("_T")

#: Others than these are refused without a look at the path. werkzeug would ignore the case.
_METHOD: Final = re.compile("[A-Z]{1,20}")
_BUG: Final = "The request has failed because of a bug; the log has more."


class Application:
    """Routes, and the handlers that answer them.

    Rules are those of werkzeug: ``/v1/services/<name>``, and ``<path:name>`` for the rest of a path. The parts are passed decoded, as
    keyword arguments.

    A handler refuses a request with :exc:`~txmirror.web.InvalidRequest`. Failures of ZooKeeper become the status 404 (no such node),
    403 (no permission) or 503 (out of reach). If the client goes before the answer, the handler's Deferred or coroutine is cancelled.

    :param replied: called with the rule (empty for a path without a route), the status and the seconds of each answer, for counts; None
        for no function. An answer that is a stream has taken the time until it begins.
    :param seconds: returns the time in seconds.
    """

    _log = Logger()

    def __init__(self, replied: Replied | None = None, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._replied = replied
        self._seconds = seconds
        self._klein = Klein()
        rules = self._klein.url_map
        # A znode's path may be refused for two slashes, but must not become another one.
        rules.merge_slashes = False
        rules.converters = {"default": SegmentConverter, "path": PathConverter}
        self._klein.handle_errors(HTTPException)(self._refuse_route)

    def get(self, rule: str, handler: Handler, *, query: Collection[str] | None = ()) -> None:
        """Answer GET and HEAD.

        :param query: the keys that the query may have. One that ends in a dot stands for all keys that begin with it. A request with
            another key is refused. With None, all keys are ignored.
        """
        self._add("GET", rule, handler, query)

    def post(self, rule: str, handler: Handler, *, query: Collection[str] | None = ()) -> None:
        """Answer POST. See :meth:`get`."""
        self._add("POST", rule, handler, query)

    def put(self, rule: str, handler: Handler, *, query: Collection[str] | None = ()) -> None:
        """Answer PUT. See :meth:`get`."""
        self._add("PUT", rule, handler, query)

    def delete(self, rule: str, handler: Handler, *, query: Collection[str] | None = ()) -> None:
        """Answer DELETE. See :meth:`get`."""
        self._add("DELETE", rule, handler, query)

    def resource(self) -> IResource:
        """Return the resource of all routes, for a site of ``twisted.web``."""
        return cast(IResource, _Root(self._klein.resource()))

    def _add(self, method: str, rule: str, handler: Handler, query: Collection[str] | None) -> None:
        def answer(request: Request, **parts: str) -> Deferred[Any]:
            began = self._seconds()
            answering = Deferred.fromCoroutine(self._answer(request, handler, query, parts))
            return answering.addCallback(self._count, request, rule, began)

        self._klein.route(rule, methods=[method], endpoint=f"{method} {rule}")(answer)

    def _count(self, value: _T, request: Request, rule: str, began: float) -> _T:
        if self._replied is not None:
            self._replied(rule, request.code, self._seconds() - began)
        return value

    def _refuse_route(self, request: Any, failure: Failure) -> bytes:
        """Answer a request that no route matches."""
        return self._count(_refuse_route(request, failure), request, "", self._seconds())

    async def _answer(
        self, request: Request, handler: Handler, query: Collection[str] | None, parts: dict[str, str]
    ) -> Any:
        """Call a handler. It never fails."""
        try:
            call = Call(
                request,
                {} if query is None else read_query(read_target(request.uri)[1], query),
                {} if request.method in (b"GET", b"HEAD") else read_body(request),
            )
            value = handler(call, **parts)
            if isinstance(value, Awaitable):
                value = await value
            if IResource.providedBy(value) or IRenderable.providedBy(value):
                return value
            return write_head(request, value if isinstance(value, Answer) else Answer.of(value))
        except Exception as error:
            # If the client is gone, nothing is written.
            return write_head(request, self._refuse(error))

    def _refuse(self, error: Exception) -> Answer:
        if isinstance(error, InvalidRequest):
            return Answer.of_errors(*error.lines, status=error.status, headers=error.headers)
        if isinstance(error, NoNodeException):
            return Answer.of_errors(str(error), status=404)
        if isinstance(error, NoAuthException):
            return Answer.of_errors(str(error), status=403)
        if isinstance(error, ZooServerProblem):
            return Answer.of_errors(str(error), status=503)
        if isinstance(error, CancelledError):
            return Answer.of_errors("the request was cancelled", status=503)
        self._log.failure("A request failed because of a bug.", failure=Failure(error))
        return Answer.of_errors(_BUG, status=500)


#: It adds the routes of one part.
Mount = Callable[[Application], object]


def make_application(
    *mounts: Mount, replied: Replied | None = None, seconds: Callable[[], float] = lambda: 0.0
) -> Application:
    """Return the application with the routes of some parts.

    :param mounts: each adds the routes of its part to the application.
    :param replied: as for :class:`Application`.
    :param seconds: as for :class:`Application`.
    """
    application = Application(replied, seconds)
    for mount in mounts:
        mount(application)
    return application


class _Root(Resource):
    """Passes requests to klein, with their paths as they were sent."""

    isLeaf = True

    def __init__(self, routes: Resource) -> None:
        super().__init__()
        self._routes = routes

    def render(self, request: HTTPRequest) -> Any:
        """Answer a request."""
        assert isinstance(request, Request)
        method = request.method.decode("latin-1")
        if _METHOD.fullmatch(method) is None:
            return write_head(request, Answer.of_errors(f"the method {quoted(method)} is unknown", status=501))
        try:
            path, _ = read_target(request.uri)
        except InvalidRequest as error:
            return write_head(request, Answer.of_errors(*error.lines, status=error.status))
        if path.startswith(b"//"):
            # werkzeug would ignore a slash.
            return write_head(request, _missing(request))
        # Twisted has decoded the segments, so that a %2F in one would look like a slash.
        request.prepath, request.postpath = [], path[1:].split(b"/")
        # klein refuses some names with a traceback, and no route depends on it.
        request.requestHeaders.setRawHeaders(b"host", [b"localhost"])
        return self._routes.render(request)


def _refuse_route(request: Any, failure: Failure) -> bytes:
    """Answer a request that no route matches."""
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        line = f"only {allowed} is allowed here"
        return write_head(request, Answer.of_errors(line, status=405, headers={"Allow": allowed}))
    return write_head(request, _missing(request))


def _missing(request: Request) -> Answer:
    return Answer.of_errors(f"there is no such resource: {quoted(request.uri.decode('latin-1'))}", status=404)
