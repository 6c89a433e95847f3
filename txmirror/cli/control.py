"""A client of the daemon's control socket. It blocks: a command has nothing else to do."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import Any

from txmirror.cli.statuses import CommandError, Status


class _Connection(http.client.HTTPConnection):
    """A connection to a UNIX socket."""

    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, method: str, resource: str, body: object = None, *, timeout: float | None = 10.0) -> Any:
    """Send a request to the daemon, and return the decoded answer.

    :param path: the control socket.
    :param resource: the path of the resource, percent-encoded.
    :param timeout: the time limit in seconds; None waits without limit.
    :raises CommandError: the daemon cannot be reached, does not answer in time, or refuses the request.
    """
    return _send(path, method, resource, body, timeout, json.loads)


def read_text(path: str, resource: str, *, timeout: float | None = 10.0) -> str:
    """Read a page of the daemon, and return its text. See :func:`ask`."""
    return str(_send(path, "GET", resource, None, timeout, bytes.decode))


def _send(
    path: str, method: str, resource: str, body: object, timeout: float | None, decode: Callable[[bytes], Any]
) -> Any:
    connection = _Connection(path, timeout)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, resource, content, {"content-type": "application/json"})
        response = connection.getresponse()
        status, answer = response.status, response.read()
        failed = status >= http.HTTPStatus.BAD_REQUEST
        decoded = json.loads(answer) if failed else decode(answer)
    except FileNotFoundError:
        raise CommandError(f"there is no control socket {path!r}: is the daemon running?", Status.UNAVAILABLE) from None
    except ConnectionRefusedError:
        raise CommandError(f"no daemon listens at {path!r}", Status.UNAVAILABLE) from None
    except PermissionError:
        raise CommandError(f"you may not use the control socket {path!r}", Status.NOT_PERMITTED) from None
    except TimeoutError:
        raise CommandError(f"the daemon at {path!r} did not answer in time", Status.UNAVAILABLE) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise CommandError(f"the daemon at {path!r} cannot be asked: {error}", Status.UNAVAILABLE) from None
    finally:
        connection.close()
    if failed:
        errors = decoded.get("errors") if isinstance(decoded, dict) else None
        raise CommandError("; ".join(map(str, errors or [f"status {status}"])), Status.REFUSED)
    return decoded
