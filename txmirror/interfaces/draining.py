"""Servers that end their connections in order."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface


class IDraining(Interface):
    """The protocol of a server that knows when its connection may be closed, as after its last answer.

    A :class:`~txmirror.endpoints.RegisteringEndpoint` looks for it at the protocols that the server's factory makes.
    """

    def drain() -> Deferred[None]:
        """Answer the requests that were received, and ask the client to send no more, if the protocol can say that.

        It is called once, a second after the instance was withdrawn, or when the port stops listening if the connection is newer. The
        stop waits for it no longer than the endpoint's ``drain``.

        :returns: fires when the connection may be closed, which happens in the next turn of the reactor. Cancelled if the
            connection is lost. If it fails, that is logged, and the connection stays.
        """
