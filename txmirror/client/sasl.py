"""SASL: proving who the client is, before a server does anything else for it.

ZooKeeper speaks the mechanism DIGEST-MD5 (RFC 2831), whose words the package pure-sasl finds.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.calls import Call
from txmirror.client.connection import Connection
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    ProtocolError,
    SessionClosedRequireSaslAuthException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.wire import Cursor, SaslRequest, SaslResponse


@attrs.frozen
class DigestMD5:
    """A name and a password for the mechanism DIGEST-MD5. It needs ``pip install txmirror[sasl]``.

    :raises ValueError: one of them is no string, or is empty.
    :raises ImportError: the package pure-sasl is missing.
    """

    username: str
    password: str = attrs.field(repr=False)
    service: str = "zookeeper"
    """What the server calls its service."""
    host: str = "zk-sasl-md5"
    """What the server calls itself; all ZooKeeper servers use this name."""

    def __attrs_post_init__(self) -> None:
        if not all(isinstance(each, str) and each for each in attrs.astuple(self)):
            raise ValueError("a name, a password, a service and a host are strings with something in them")
        if importlib.util.find_spec("puresasl") is None:
            raise ImportError("SASL needs the package pure-sasl: pip install 'txmirror[sasl]'")


class SaslExchange:
    """What is said to one server, word by word.

    :param credentials: who the client is.
    """

    def __init__(self, credentials: DigestMD5) -> None:
        from puresasl.client import SASLClient  # noqa: PLC0415 - an extra

        self._mechanism: Any = SASLClient(
            credentials.host,
            credentials.service,
            mechanism="DIGEST-MD5",
            username=credentials.username,
            password=credentials.password,
            # What follows is not to be signed or sealed: ZooKeeper cannot.
            qops=[b"auth"],
        )

    def initial_response(self) -> bytes:
        """Give what to begin with: nothing, so that the server makes its challenge."""
        return b""

    def respond(self, challenge: bytes | None) -> bytes | None:
        """Give what to say next; None if all is said, and the server has proved that it knows the password too.

        :raises AuthFailedException: the server has not.
        :raises ProtocolError: it says what makes no sense.
        """
        from puresasl import SASLError, SASLProtocolException  # noqa: PLC0415 - an extra

        if challenge is None:
            raise AuthFailedException("the server does not do SASL")
        try:
            said: bytes | None = self._mechanism.process(challenge)
        except (SASLError, SASLProtocolException) as error:
            raise AuthFailedException(f"SASL failed: {error}") from None
        except Exception as error:
            # pure-sasl raises whatever its parser stumbles over.
            raise ProtocolError(f"a SASL challenge cannot be read: {type(error).__name__}: {error}") from None
        if said is None and not self._mechanism.complete:
            raise AuthFailedException("SASL failed: the server's challenge is empty")
        return said


class SaslAuthenticator:
    """Proves to servers who the client is, as the first thing on each connection.

    :param credentials: who it is; None if nobody in particular, which needs no proof.
    :param unauthorised: told that a server does not believe it.
    """

    _log = Logger()

    def __init__(self, credentials: DigestMD5 | None, unauthorised: Callable[[AuthFailedException], None]) -> None:
        self._credentials = credentials
        self._unauthorised = unauthorised

    def authenticate(self, connection: Connection, authenticated: Callable[[], None]) -> None:
        """Prove it to one server. Where that breaks off, the connection ends, and the next begins anew.

        :param authenticated: called once the server believes it.
        """
        if self._credentials is None:
            authenticated()
            return

        def failed(failure: Failure) -> None:
            if isinstance(failure.value, AuthFailedException):
                self._unauthorised(failure.value)
                return
            connection.end(ConnectionLossException(f"SASL broke off: {failure.getErrorMessage()}"))
            if not isinstance(failure.value, ZooKeeperException):
                self._log.failure("SASL failed.", failure=failure)

        proof = Deferred.fromCoroutine(_authenticate(SaslExchange(self._credentials), connection.send))
        proof.addCallbacks(lambda _: authenticated(), failed)
        proof.addErrback(lambda failure: self._log.failure("A session could not begin.", failure=failure))


async def _authenticate(exchange: SaslExchange, send: Callable[[Call[Any]], None]) -> None:
    """Say word after word until all is said.

    :raises AuthFailedException: the server does not believe it, or does not know the password itself.
    :raises ZooServerProblem: it was cut off, or the server is in trouble.
    """
    word: bytes | None = exchange.initial_response()
    while word is not None:
        call = Call(SaslRequest(word), None, _decode_token)
        heard = call.waited_for()
        send(call)
        try:
            word = exchange.respond(await heard)
        except (AuthFailedException, ClosingException):
            raise
        except ZooKeeperException as error:
            if isinstance(error, ZooServerProblem) and not isinstance(error, SessionClosedRequireSaslAuthException):
                # The server is the trouble, and not who we are.
                raise
            raise AuthFailedException(f"SASL was refused: {error}") from None


def _decode_token(cursor: Cursor, zxid: int) -> bytes | None:
    return SaslResponse.decode(cursor).token
