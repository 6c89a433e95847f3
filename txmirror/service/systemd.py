"""systemd's protocol for services (``sd_notify(3)``): the variables that it sets, and the datagrams that it reads.

Twisted has only the other direction, sockets that systemd opens. The libraries on PyPI send with a socket that blocks (``sdnotify``),
or need a compiler and ``libsystemd`` (``systemd-python``, ``cysystemd``).
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import MutableMapping

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.timers import Timer

#: The variables that systemd sets for a service.
_SOCKET, _WATCHDOG, _WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
#: The pause before a message is sent again that had no room, in seconds.
_PAUSE = 0.2
#: The most messages that wait for room. There are not so many that must not be lost.
_MOST_WAITING = 16

_log = Logger()


@attrs.frozen
class SystemdVariables:
    """The variables that systemd has set for this process."""

    address: str | None = None
    """The socket to send messages to; None if the service is not of the type ``notify``, or not started by systemd."""
    watchdog: float | None = None
    """The time in seconds after which systemd ends this process, if it is not notified; None without a watchdog."""

    @classmethod
    def take(cls, environment: MutableMapping[str, str], pid: int) -> SystemdVariables:
        """Read the variables, and remove them from the environment, so that no child process can notify systemd.

        An invalid variable is logged, and counts as not set.

        :param pid: the pid of this process. A watchdog for another process is none of ours.
        """
        address = environment.pop(_SOCKET, None) or None
        if address is not None and address[0] not in "/@":
            text = "systemd is not notified: {name} is {text!r}, neither an absolute path nor an abstract name."
            _log.warn(text, name=_SOCKET, text=address[:100])
            address = None
        watchdog = _microseconds(environment.pop(_WATCHDOG, None))
        watched = environment.pop(_WATCHDOG_PID, None) or str(pid)
        return cls(address, watchdog if watched == str(pid) and address is not None else None)


def _microseconds(text: str | None) -> float | None:
    """Return a variable's time in seconds; None if it is not set, or invalid."""
    if not text:
        return None
    # The largest number that systemd can write has 20 digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= 20 and int(text)):
        _log.warn(
            "The watchdog is not notified: {name} is {text!r}, which is not a number of microseconds above 0.",
            name=_WATCHDOG,
            text=text[:100],
        )
        return None
    return int(text) / 1e6


class Notifier:
    """Sends messages to systemd, each in one datagram. It never blocks, and never raises.

    If the socket cannot be used, that is logged once for each reason.

    :param address: the socket: an absolute path, or ``@`` and a name in the abstract namespace.
    :param clock: runs the timer.
    """

    _log = Logger()

    def __init__(self, address: str, clock: IReactorTime) -> None:
        self._address = address
        self._encoded = os.fsencode(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._again = Timer(clock, self._send_waiting)
        self._logged: set[str] = set()

    def send(self, *assignments: str, keep: bool = False) -> None:
        """Send a message.

        :param assignments: the variables, such as ``READY=1``. They have no line ends.
        :param keep: whether to send the message again if the socket has no room now. Otherwise it is lost then.
        """
        message = "\n".join(assignments).encode(errors="replace")
        if self._waiting and keep:
            self._waiting.append(message)
        elif not self._try(message) and keep:
            self._waiting.append(message)
            self._again.start(_PAUSE)

    def close(self) -> None:
        """Close the socket, and forget the messages that wait."""
        self._again.stop()
        self._waiting.clear()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send_waiting(self) -> None:
        while self._waiting:
            if not self._try(self._waiting[0]):
                self._again.start(_PAUSE)
                return
            self._waiting.popleft()

    def _try(self, message: bytes) -> bool:
        """Send a message, unless the socket cannot be used.

        :returns: False if the socket has no room.
        """
        try:
            if self._socket is None:
                # Child processes do not inherit it. It stays open, so that the watchdog is also notified when no file can be opened.
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(message, self._encoded)
        except OSError as error:
            reason = error.strerror or str(error)
            if reason not in self._logged:
                self._logged.add(reason)
                self._log.warn(
                    "systemd could not be notified at {address}: {reason}.", address=self._address, reason=reason
                )
            return not isinstance(error, BlockingIOError) and error.errno != errno.ENOBUFS
        return True
