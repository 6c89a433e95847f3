"""Send answers as fast as their clients read, so that slow clients cost little memory."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from txmirror.timers import Timer

#: The most bytes of an answer that are written at a time.
PIECE: Final = 64 * 1024
#: The seconds after which a client that reads nothing is disconnected.
_STALLED: Final = 60.0
#: The most bytes of answers that wait for their clients, on all connections of a site together.
MOST_WAITING: Final = 256 * 2**20


class WaitingAnswers:
    """Counts the bytes of long answers that wait for their clients. One answer to many clients counts once.

    :param most: the most bytes. One answer is always allowed.
    :ivar size: the bytes at the moment.
    """

    def __init__(self, most: int = MOST_WAITING) -> None:
        self.size: int = 0
        self._most = most
        #: By identity: the content is kept by those who wait.
        self._users: dict[int, int] = {}

    def add(self, content: bytes) -> bool:
        """Note that a client waits for a content; return False if there are too many bytes already."""
        count = self._users.get(id(content), 0)
        if not count:
            if self._users and self.size + len(content) > self._most:
                return False
            self.size += len(content)
        self._users[id(content)] = count + 1
        return True

    def remove(self, content: bytes) -> None:
        """End an :meth:`add`."""
        self._users[id(content)] -= 1
        if not self._users[id(content)]:
            del self._users[id(content)]
            self.size -= len(content)


@implementer(IPushProducer)
class Sender:
    """Writes contents to a request piece by piece, and the next piece when the client has read the former ones.

    :param request: the request: it must have a method ``write_now`` for pieces, and ``sent`` is called when all were written.
    :param waiting: counts the long contents.
    :param reactor: measures the time.
    """

    def __init__(self, request: Any, waiting: WaitingAnswers, reactor: IReactorTime) -> None:
        self._request = request
        self._waiting = waiting
        self._contents: deque[tuple[bytes, int]] = deque()
        self._paused = self._stopped = False
        self._stalled = Timer(reactor, self._abort)

    def add(self, content: bytes) -> bool:
        """Write a content after the former ones; return False if too many bytes wait already: then it is not written."""
        if self._stopped or not content:
            return True
        if len(content) > PIECE and not self._waiting.add(content):
            return False
        self._contents.append((content, 0))
        return True

    def pauseProducing(self) -> None:
        """Write nothing: the client does not read."""
        self._paused = True
        if not self._stopped and not self._stalled.running:
            self._stalled.start(_STALLED)

    def resumeProducing(self) -> None:
        """Write on: the client reads."""
        self._stalled.stop()
        self._paused = False
        self.resume()

    def resume(self) -> None:
        """Write on, until the client does not read any more, or everything is written."""
        while self._contents and not (self._paused or self._stopped):
            content, start = self._contents.popleft()
            end = start + PIECE
            if end < len(content):
                self._contents.appendleft((content, end))
            else:
                self._note_sent(content)
            self._request.write_now(content[start:end] if len(content) > PIECE else content)
        if not (self._contents or self._stopped):
            # It may write more.
            self._request.sent()

    def stopProducing(self) -> None:
        """Write nothing any more: the client is gone, or all is written."""
        self._stopped = True
        self._stalled.stop()
        while self._contents:
            self._note_sent(self._contents.popleft()[0])

    def _note_sent(self, content: bytes) -> None:
        if len(content) > PIECE:
            self._waiting.remove(content)

    def _abort(self) -> None:
        self._request.channel.forceAbortClient()
