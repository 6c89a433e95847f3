"""A resource of Twisted's web server that answers with JSON, also later, and refuses requests with reasons."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from txmirror.configuration import ConfigurationError

#: The longest body of a request, in bytes.
_LONGEST_BODY: Final = 64 * 1024


class InvalidRequest(ValueError):
    """A request is invalid. The message says why.

    :param status: the status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class JSONResource(Resource):
    """Answers requests with JSON.

    :param methods: a function for each method; it takes the decoded body, and returns a value for JSON, also by a Deferred.
    """

    _log = Logger()

    def __init__(self, **methods: Callable[[Any], Any]) -> None:
        super().__init__()
        self._methods = methods

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a path that there is not."""
        return Missing()

    def render(self, request: Request) -> int:
        """Answer a request."""
        answered = maybeDeferred(self._answer, request)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: answered.cancel())
        answered.addErrback(self._failed, request)
        answered.addCallback(lambda value: self._respond(request, value))
        answered.addErrback(lambda failure: self._log.failure("A request could not be answered.", failure=failure))
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        method = self._methods.get(request.method.decode("ascii", "replace"))
        if method is None:
            raise InvalidRequest(f"only {', '.join(self._methods)} is allowed here", 405)
        return method(_body(request))

    def _failed(self, failure: Failure, request: Request) -> Any:
        error = failure.value
        if isinstance(error, InvalidRequest):
            request.setResponseCode(error.status)
            return {"errors": [str(error)]}
        if isinstance(error, ConfigurationError):
            request.setResponseCode(422)
            return {"errors": list(error.lines)}
        self._log.failure("A request has failed because of a bug.", failure=failure)
        request.setResponseCode(500)
        return {"errors": ["The request has failed because of a bug; the log has more."]}

    def _respond(self, request: Request, value: Any) -> None:
        respond(request, "application/json", json.dumps(value).encode() + b"\n")


class Missing(JSONResource):
    """Answers that there is no such resource."""

    def _answer(self, request: Request) -> Any:
        raise InvalidRequest("there is no such resource", 404)


def respond(request: Request, content_type: str, content: bytes) -> None:
    """Write a response that no cache keeps, unless the client is gone."""
    if request._disconnected:
        return
    request.setHeader(b"content-type", content_type.encode("latin-1"))
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-length", b"%d" % len(content))
    request.write(content)
    request.finish()


def _body(request: Request) -> Any:
    assert request.content is not None
    content = request.content.read(_LONGEST_BODY + 1)
    if len(content) > _LONGEST_BODY:
        raise InvalidRequest(f"the body has more than {_LONGEST_BODY} bytes", 413)
    if not content:
        return {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body is not a JSON object")
    return body
