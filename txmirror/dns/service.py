"""The DNS server of a program, as a service of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.names import dns
from zope.interface import implementer

from txmirror.catalog import Catalog
from txmirror.dns.answering import Answering
from txmirror.dns.directory import Directory
from txmirror.dns.forwarding import Forwarder
from txmirror.dns.responding import DatagramServer, Replied, Responder, StreamFactory
from txmirror.dns.settings import DNSSettings
from txmirror.dns.wire import Query, Reply
from txmirror.printable import host_and_port
from txmirror.retrying import RetryTimer

#: The first and the longest pause before it is tried again to listen, in seconds.
_FIRST, _LONGEST = 10.0, 600.0
#: The longest datagram that is read, in bytes.
_LONGEST_DATAGRAM = 4096


class _Listener:
    """The two ports at one address. If one cannot be opened, that is logged once, and tried again at growing intervals."""

    _log = Logger()

    def __init__(self, responder: Responder, address: tuple[str, int], reactor: Any) -> None:
        self.address = address
        self.problem: str | None = None
        self._reactor = reactor
        self._datagrams = DatagramServer(responder)
        self._streams = StreamFactory(responder, reactor)
        self._udp: IListeningPort | None = None
        self._tcp: IListeningPort | None = None
        self._failed = False
        self._again = RetryTimer(reactor, self.listen, first=_FIRST, longest=_LONGEST)

    def listen(self) -> None:
        """Open the ports. It never fails."""
        host, port = self.address
        name = host_and_port(host, port)
        try:
            if self._udp is None:
                self._udp = self._reactor.listenUDP(port, self._datagrams, host, _LONGEST_DATAGRAM)
            if self._tcp is None:
                self._tcp = self._reactor.listenTCP(port, self._streams, interface=host)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            self.problem = reason
            if not self._failed:
                self._failed = True
                self._log.error("DNS cannot be served at {address}: {reason}. Retrying.", address=name, reason=reason)
            self._again.start()
        else:
            self.problem = None
            self._log.info("DNS is at {address}.", address=name)

    def close(self) -> Deferred[Any]:
        """Close the ports and the connections."""
        self._again.stop()
        ports, self._udp, self._tcp = (self._udp, self._tcp), None, None
        self._streams.close()
        return DeferredList([maybeDeferred(each.stopListening) for each in ports if each is not None])


@implementer(IService)
class DNSService(Service):
    """Answers questions of DNS, by UDP and TCP, from the catalog that it is given.

    Before it has one, and while the services were not read yet, it answers with SERVFAIL.

    :param random: shuffles the instances; one of its own if None.
    :param replied: called with the code of each reply, whether it was truncated, and its time in seconds; None for no function.
    :param reactor: the reactor.
    :ivar forwarded: the number of questions that other resolvers were asked.
    """

    def __init__(self, *, random: Random | None = None, replied: Replied | None = None, reactor: Any) -> None:
        self.forwarded = 0
        self._random = Random() if random is None else random
        self._reactor = reactor
        self._settings: DNSSettings | None = None
        self._address: tuple[str, int] | None = None
        self._catalog: Catalog | None = None
        self._directory: Directory | None = None
        self._listener: _Listener | None = None
        self._responder = Responder(_refuse, replied=replied, seconds=reactor.seconds)
        self._closing: set[Deferred[Any]] = set()

    @property
    def address(self) -> tuple[str, int] | None:
        """The IP address and port to listen at; None if there is none."""
        return self._address

    @property
    def problem(self) -> str | None:
        """The reason why it does not listen; None if it does, or has no address."""
        return None if self._listener is None else self._listener.problem

    @property
    def waiting(self) -> int:
        """The number of questions that wait for the services to be read, or for other resolvers."""
        return self._responder.waiting

    def use(self, catalog: Catalog | None) -> None:
        """Answer from this catalog from now on; fail all questions if it is None. It must stay open until the stop, or another call."""
        if catalog is self._catalog:
            return
        self._catalog = catalog
        if self.running:
            self._set_up()

    def apply(self, settings: DNSSettings | None, address: tuple[str, int] | None) -> None:
        """Answer with these settings, at this address, from now on; nowhere if they are None. A port that stays the same stays open."""
        changed = settings != self._settings
        self._settings, self._address = settings, address
        if self.running:
            if changed:
                self._set_up()
            self._listen()

    def startService(self) -> None:
        """Begin to listen. It never fails."""
        super().startService()
        self._set_up()
        self._listen()

    def stopService(self) -> Deferred[None]:
        """Stop listening, and follow nothing any longer.

        :returns: fires then; it never fails.
        """
        super().stopService()
        self._tear_down()
        self._close_listener()
        return DeferredList(list(self._closing)).addCallback(lambda _: None)

    def _set_up(self) -> None:
        self._tear_down()
        settings, catalog = self._settings, self._catalog
        if settings is not None and catalog is not None:
            self._directory = Directory(catalog, settings.zone)
            forward = self._make_forward(settings.forward) if settings.forward else None
            self._responder.answer = Answering(settings, self._directory, forward, self._random).answer

    def _make_forward(self, servers: Sequence[tuple[str, int]]) -> Callable[[Query], Deferred[Reply]]:
        forwarder = Forwarder(servers, self._reactor)

        def forward(query: Query) -> Deferred[Reply]:
            self.forwarded += 1
            return forwarder.ask(query)

        return forward

    def _tear_down(self) -> None:
        self._responder.answer = _refuse
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def _listen(self) -> None:
        listener, address = self._listener, self._address
        if listener is not None and listener.address == address:
            return
        self._close_listener()
        if address is not None:
            self._listener = _Listener(self._responder, address, self._reactor)
            self._listener.listen()

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._await(listener.close())

    def _await(self, closing: Deferred[Any]) -> None:
        self._closing.add(closing)
        closing.addBoth(lambda _: self._closing.discard(closing))


def _refuse(query: Query) -> Reply:
    return Reply(dns.ESERVER)
