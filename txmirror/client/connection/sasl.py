"""SASL: authenticate the client before any other request on a connection.

ZooKeeper uses the mechanism DIGEST-MD5 (RFC 2831), which the package pure-sasl implements.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call, RequestKind
from txmirror.client.connection.connection import Connection
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    ProtocolError,
    SessionClosedRequireSaslAuthException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.wire import SaslRequest, SaslResponse

#: One step of the exchange. The value is the server's token.
SASL = RequestKind(SaslRequest, lambda cursor, call: SaslResponse.decode(cursor).token)


@attrs.frozen
class DigestMD5:
    """A name and a password for the mechanism DIGEST-MD5. It needs ``pip install txmirror[sasl]``.

    :raises ValueError: one of them is not a string, or is empty.
    :raises ImportError: the package pure-sasl is missing.
    """

    username: str
    """The user's name."""
    password: str = attrs.field(repr=False)
    """The user's password."""
    service: str = "zookeeper"
    """The name of the server's service."""
    host: str = "zk-sasl-md5"
    """The server's name in SASL; all ZooKeeper servers use this one."""

    def __attrs_post_init__(self) -> None:
        if not all(isinstance(each, str) and each for each in attrs.astuple(self)):
            raise ValueError("a name, a password, a service and a host are strings that are not empty")
        if importlib.util.find_spec("puresasl") is None:
            raise ImportError("SASL needs the package pure-sasl: pip install 'txmirror[sasl]'")


class SaslExchange:
    """The SASL exchange with one server: challenges and responses.

    :param credentials: the client's name and password.
    """

    def __init__(self, credentials: DigestMD5) -> None:
        from puresasl.client import SASLClient  # noqa: PLC0415 - an extra

        self._mechanism: Any = SASLClient(
            credentials.host,
            credentials.service,
            mechanism="DIGEST-MD5",
            username=credentials.username,
            password=credentials.password,
            # Authentication only: ZooKeeper supports neither integrity nor privacy protection of later packets.
            qops=[b"auth"],
        )

    def initial_response(self) -> bytes:
        """Return the initial response, which is empty: the server then sends its challenge."""
        return b""

    def respond(self, challenge: bytes | None) -> bytes | None:
        """Return the response to a challenge; None at the end, when the server has shown that it knows the password too.

        :raises AuthFailedException: the server does not know the password, or has refused the client.
        :raises ProtocolError: the challenge is malformed.
        """
        from puresasl import SASLError, SASLProtocolException  # noqa: PLC0415 - an extra

        if challenge is None:
            raise AuthFailedException("the server does not support SASL")
        try:
            response: bytes | None = self._mechanism.process(challenge)
        except (SASLError, SASLProtocolException) as error:
            raise AuthFailedException(f"SASL failed: {error}") from None
        except Exception as error:
            # pure-sasl raises any exception of its parser.
            raise ProtocolError(f"a SASL challenge cannot be read: {type(error).__name__}: {error}") from None
        if response is None and not self._mechanism.complete:
            raise AuthFailedException("SASL failed: the server's challenge is empty")
        return response


class SaslAuthenticator:
    """Authenticates the client by SASL, as the first thing on each connection.

    :param credentials: the client's name and password; None does not authenticate.
    :param unauthorised: called if a server refuses them.
    """

    _log = Logger()

    def __init__(self, credentials: DigestMD5 | None, unauthorised: Callable[[AuthFailedException], None]) -> None:
        self._credentials = credentials
        self._unauthorised = unauthorised

    def authenticate(self, connection: Connection, authenticated: Callable[[], None]) -> None:
        """Authenticate on one connection. If the exchange fails otherwise than by a refusal, abort the connection.

        :param authenticated: called when the server has accepted the credentials; at once if there are none.
        """
        if self._credentials is None:
            authenticated()
            return

        def failed(failure: Failure) -> None:
            if isinstance(failure.value, AuthFailedException):
                self._unauthorised(failure.value)
                return
            connection.abort(ConnectionLossException(f"SASL was interrupted: {failure.getErrorMessage()}"))
            if not isinstance(failure.value, ZooKeeperException):
                self._log.failure("The SASL authentication failed because of a bug.", failure=failure)

        proof = Deferred.fromCoroutine(_authenticate(SaslExchange(self._credentials), connection.send))
        proof.addCallbacks(lambda _: authenticated(), failed)
        proof.addErrback(
            lambda failure: self._log.failure("A session could not begin because of a bug.", failure=failure)
        )


async def _authenticate(exchange: SaslExchange, send: Callable[[Call[Any]], None]) -> None:
    """Send responses to the server's challenges until the exchange is complete.

    :raises AuthFailedException: the server refuses the client, or does not know the password itself.
    :raises ZooServerProblem: the connection was lost, or the server has failed.
    """
    response: bytes | None = exchange.initial_response()
    while response is not None:
        call = Call(SASL, SaslRequest(response))
        challenge = call.result()
        send(call)
        try:
            response = exchange.respond(await challenge)
        except (AuthFailedException, ClosingException):
            raise
        except ZooKeeperException as error:
            if isinstance(error, ZooServerProblem) and not isinstance(error, SessionClosedRequireSaslAuthException):
                # The server has failed; it has not refused the client.
                raise
            raise AuthFailedException(f"SASL was refused: {error}") from None
