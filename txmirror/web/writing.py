"""Write answers to requests of ``twisted.web``."""

from __future__ import annotations

from twisted.web.server import Request

from txmirror.web.calls import Answer

#: These statuses have no content.
_EMPTY = (204, 304)


def write_head(request: Request, answer: Answer) -> bytes:
    """Set the status and the headers of an answer, and return its content for ``twisted.web`` or klein to write."""
    request.setResponseCode(answer.status)
    headers = {"Content-Type": answer.content_type, "Cache-Control": "no-store", **answer.headers}
    for name, value in headers.items():
        request.setHeader(name, value)
    if answer.status not in _EMPTY:
        request.setHeader("Content-Length", str(len(answer.content)))
    return answer.content


def finish_with(request: Request, answer: Answer) -> None:
    """Write a whole answer, unless the client is gone."""
    if not request._disconnected:
        request.write(write_head(request, answer))
        request.finish()
