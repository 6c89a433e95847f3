"""The HTTP connections of a site, and their requests: limits of size and time, and the headers of every answer."""

from __future__ import annotations

import io
from http import HTTPStatus
from typing import Any, Final, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request

from txmirror.web.calls import Answer, InvalidRequest
from txmirror.web.reading import LONGEST_BODY, longest_body
from txmirror.web.site.sending import PIECE, Sender
from txmirror.web.writing import finish_with, write_head

#: A browser runs only the page's own files, does not show them within pages of other sites, and sends no referrer.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: The bytes of a body that are ignored before the connection is closed: then the client can read why it is refused.
_IGNORED: Final = 2**20
#: The most bodies of more than 64 KiB at a time, on all connections together.
_LARGE: Final = 16
#: The most requests that are answered in one turn of the reactor. A client that sends more at once is disconnected.
_AT_ONCE: Final = 16


class SiteRequest(Request):
    """One request. Its body is kept in memory, up to a limit. The site's rules decide before its resource answers.

    A long answer, and any answer to a client that does not read, is written as fast as the client reads.
    """

    _log = Logger()
    #: The bytes of the body that have arrived, and whether the request was refused before all of them.
    _received = 0
    _refused = False
    _longest = LONGEST_BODY
    #: Whether this body is one of the long ones.
    _large = False
    #: Writes the answer as fast as the client reads; None if that is not needed. And whether the whole answer was passed to it.
    _sender: Sender | None = None
    _complete = False
    #: Whether the answer was replaced by an error.
    _replaced = False

    def gotLength(self, length: int | None) -> None:
        """Prepare for the body."""
        self.content: io.BytesIO | None = io.BytesIO()
        # A channel of twisted.web passes the method only with the whole body.
        self._longest = longest_body(cast(Any, self.channel)._command)
        if length is not None and length > self._longest and self.requestHeaders.hasHeader(b"expect"):
            # The client waits for permission to send the body.
            self.requestHeaders.removeHeader(b"expect")
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body. One byte above the limit shows that it is too long."""
        assert self.content is not None
        self.content.write(data[: max(0, self._longest + 1 - self._received)])
        self._received += len(data)
        if not self._large and self._received > LONGEST_BODY:
            self._take_room()
        if self._received > self._longest + _IGNORED:
            self._refuse_body()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer the request. In contrast to ``twisted.web``, nothing parses the query and the body as a form."""
        if self._refused:
            return
        assert self.content is not None
        self.content.seek(0)
        self.args: dict[bytes, list[bytes]] = {}
        self.method: bytes = command
        self.uri: bytes = path
        self.clientproto: bytes = version
        self.path: bytes = path.partition(b"?")[0]
        self.process()

    def process(self) -> None:
        """Ask the site's rules, and then the resource."""
        for name, value in HEADERS.items():
            self.setHeader(name, value)
        self.site: Any = cast(Any, self.channel).site
        judged: Deferred[None] = cast(Any, self.site).rules.judge(self)
        self.notifyFinish().addErrback(lambda _: judged.cancel())
        judged.addCallbacks(lambda _: cast(Any, self.site).turns.run(self._serve), self._deny)
        judged.addErrback(
            lambda failure: self._log.failure("A request could not be answered because of a bug.", failure=failure)
        )

    def _serve(self) -> None:
        """Let the resource answer. It never fails."""
        if self._disconnected:
            return
        try:
            super().process()
        except Exception:
            self._log.failure("A request could not be answered because of a bug.")

    def _deny(self, failure: Failure) -> None:
        failure.trap(InvalidRequest, CancelledError)
        if isinstance(failure.value, InvalidRequest):
            error = failure.value
            finish_with(self, Answer.of_errors(*error.lines, status=error.status, headers=error.headers))

    def write(self, data: bytes) -> None:
        """Write a part of the answer."""
        if self._sender is not None:
            if self._replaced:
                return
            if self._sender.add(data):
                self._sender.resume()
            else:
                cast(SiteChannel, self.channel).forceAbortClient()
        elif self._must_wait(data):
            self._write_slowly(data)
        else:
            super().write(data)

    def finish(self) -> None:
        """End the answer, when all of it is written."""
        if self._sender is None or self._disconnected:
            super().finish()
        else:
            self._complete = True
            self._sender.resume()

    def write_now(self, data: bytes) -> None:
        """Write a piece. See :class:`Sender`."""
        super().write(data)

    def sent(self) -> None:
        """Note that all was written. See :class:`Sender`."""
        sender = self._sender
        if self._complete and sender is not None and not self._disconnected:
            self._sender = None
            sender.stopProducing()
            self.unregisterProducer()
            super().finish()

    def _must_wait(self, data: bytes) -> bool:
        # A stream of events writes at the pace of its client by itself.
        if self.producer is not None or self.method == b"HEAD" or self._disconnected:
            return False
        return len(data) > PIECE or cast(SiteChannel, self.channel).full

    def _write_slowly(self, data: bytes) -> None:
        site = cast(Any, self.site)
        self._sender = sender = Sender(self, site.waiting_answers, site.reactor)
        self.notifyFinish().addErrback(lambda _: sender.stopProducing())
        if not sender.add(data):
            # Nothing was written yet if this is the whole answer, as long ones are.
            self._replaced = True
            line = "too many long answers wait for slow clients at the moment"
            headers = {"Retry-After": "5"}
            sender.add(write_head(self, Answer.of_errors(line, status=503, headers=headers)))
        self.registerProducer(sender, True)
        if cast(SiteChannel, self.channel).full:
            sender.pauseProducing()
        sender.resume()

    def _take_room(self) -> None:
        """Count a long body. There are at most some at a time, so that many clients cannot fill the memory."""
        site = cast(Any, self.channel).site
        self._large = True
        if site.large_bodies >= _LARGE:
            self._refused = True
            line = "there are too many long bodies at the moment"
            cast(SiteChannel, self.channel).refuse(HTTPStatus.SERVICE_UNAVAILABLE, line)
            return
        site.large_bodies += 1
        self.notifyFinish().addBoth(self._leave_room, site)

    def _leave_room(self, _: object, site: Any) -> None:
        site.large_bodies -= 1

    def _refuse_body(self) -> None:
        if not self._refused:
            self._refused = True
            cast(SiteChannel, self.channel).refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {self._longest} bytes"
            )


class SiteChannel(HTTPChannel):
    """One connection.

    A request must be complete within the time limit after its first byte, and the next one must begin within the time limit after the
    answer. There is no limit for the answer, as long as the client reads it.

    :ivar full: whether the client reads more slowly than answers were written.
    """

    totalHeadersSize = 16 * 1024
    maxHeaders = 100
    #: Whether a request has begun, and the number of those that were answered in this turn.
    _begun = False
    _answered = 0
    full: bool = False
    #: Whether the connection ends with the answer that is being written.
    _closing = False

    def connectionMade(self) -> None:
        """Begin. Dead connections are found by TCP."""
        super().connectionMade()
        keep_alive = getattr(self.transport, "setTcpKeepAlive", None)
        if keep_alive is not None:
            keep_alive(True)

    def dataReceived(self, data: bytes) -> None:
        """Read bytes."""
        self._answered = 0
        super().dataReceived(data)

    def resetTimeout(self) -> None:
        """Restart the time limit at the first byte of a request. Further bytes do not extend it."""
        if not self._begun:
            self._begun = True
            super().resetTimeout()

    def requestDone(self, request: Request) -> None:
        """Begin to wait for the next request."""
        self._begun = False
        self._answered += 1
        if self._answered >= _AT_ONCE:
            self.persistent = False
        if not self.persistent:
            # The connection ends when the answer is read, or after this time.
            self._closing = True
            self.setTimeout(self._savedTimeOut)
        super().requestDone(request)

    def pauseProducing(self) -> None:
        """Note that the client does not read."""
        self.full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Note that the client reads again."""
        self.full = False
        super().resumeProducing()

    def timeoutConnection(self) -> None:
        """Close the connection after the time limit: an answer that is still written has some more seconds."""
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        if not self._closing:
            self.loseConnection()

    def forceAbortClient(self) -> None:
        """Abort the connection: the client does not read."""
        self._abortingCall = None
        cast(Any, self.transport).abortConnection()

    def refuse(self, status: int, line: str) -> None:
        """Answer a request that is not complete, and close the connection."""
        answer = Answer.of_errors(line, status=status)
        phrase = HTTPStatus(status).phrase
        length = str(len(answer.content))
        headers = {**HEADERS, "Content-Type": answer.content_type, "Content-Length": length, "Connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        cast(Any, self.transport).write(f"HTTP/1.1 {status} {phrase}\r\n{head}\r\n".encode() + answer.content)
        self.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Answer a line that is too long."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Answer a malformed request. ``twisted.web`` calls this, and would send no headers."""
        self.refuse(HTTPStatus.BAD_REQUEST, "the request is malformed, or its headers are too long")
