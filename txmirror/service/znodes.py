"""The znodes of one service of the daemon: its own, and the further ones, which are registered and withdrawn with it."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults

from txmirror.configuration import Service
from txmirror.registry import RegistrationState, ServiceNode
from txmirror.service.registrations import Offer, RegistrationsService


def znode_names(service: Service) -> dict[str, ServiceNode]:
    """Return the znodes of a service by their names for the registrations; the service's own, which is the first, has its id."""
    return {f"{service.id} {node.key}" if node.key else service.id: node for node in service.nodes}


def service_of(name: str) -> str:
    """Return the id of the service of a znode, by its name. An id has no spaces."""
    return name.partition(" ")[0]


class Znodes:
    """Registers and withdraws the znodes of a service.

    :param registrations: does it.
    :param service: the service.
    """

    def __init__(self, registrations: RegistrationsService, service: Service) -> None:
        self._registrations = registrations
        self._service = service
        self._nodes = znode_names(service)
        self._offered: frozenset[str] = frozenset()
        #: The latest offers, and what they were made of: most decisions change neither.
        self._offers: dict[str, Offer] = {}
        self._made_of: tuple[bool | None, int | None] | None = None

    @property
    def names(self) -> Sequence[str]:
        """The names of the znodes that may be registered."""
        return tuple(dict.fromkeys((*self._nodes, *sorted(self._offered))))

    @property
    def own_state(self) -> RegistrationState:
        """The state of the service's own znode."""
        return self._registrations.state(self._service.id)

    def replace(self, service: Service) -> None:
        """Use another configuration of the service from now on."""
        self._service = service
        self._nodes = znode_names(service)
        self._made_of = None

    def keep(self, *, warning: bool | None, pid: int | None) -> None:
        """Keep all znodes registered, and withdraw those that the service no longer has.

        :param warning: whether a check warns; None if that is not known, so that a mark of the last process stays.
        :param pid: the process number of the service's program; None if it is not known.
        """
        if self._made_of != (warning, pid):
            self._offers = {name: self._offer(node, warning, pid) for name, node in self._nodes.items()}
            self._made_of = warning, pid
        for name, offer in self._offers.items():
            self._registrations.keep(name, offer)
        for name in sorted(self._offered - self._nodes.keys()):
            self._registrations.withdraw(name, timeout=None)
        self._offered = frozenset(self._nodes)

    def _offer(self, node: ServiceNode, warning: bool | None, pid: int | None) -> Offer:
        service = self._service
        normal, marked = (node.facts(warning=each, warn_weight=service.warn_weight, pid=pid) for each in (False, True))
        return Offer(
            node.znode,
            marked if warning else normal,
            node.codec,
            tolerated=() if warning is not None else (marked,),
            wait=service.takeover == "wait",
        )

    def release(self) -> None:
        """Delete the znodes that the last process's session owns, if they are known to be there."""
        for node in self._nodes.values():
            self._registrations.release(node.znode)

    def withdraw(self, timeout: float | None = 5.0) -> Deferred[None]:
        """Withdraw all znodes.

        :param timeout: the number of seconds to wait; None waits without limit.
        :returns: fires when they are gone, or after the timeout, which is logged. It never fails.
        """
        names, self._offered = self.names, frozenset()
        gone = gatherResults([self._registrations.withdraw(name, timeout) for name in names])
        return gone.addCallback(lambda _: None)

    def missing(self) -> list[str]:
        """Return a clause for each further znode that is not in place."""
        clauses = []
        for name, node in self._nodes.items():
            state = self._registrations.state(name)
            if not node.key or state is RegistrationState.REGISTERED:
                continue
            refusal = self._registrations.refusal(name)
            reason = "another session has registered it" if state is RegistrationState.BLOCKED else "not yet registered"
            clauses.append(f"{node.znode} is not in place: {reason if refusal is None else refusal}")
        return clauses

    def describe(self) -> list[dict[str, str]]:
        """Return the znodes, for operators."""
        return [
            {"path": node.znode, "codec": node.codec.name, "state": self._registrations.state(name).value}
            for name, node in self._nodes.items()
        ]
