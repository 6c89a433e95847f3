"""The provider: the public methods. The list, the marks, the pool and the strategies do the work."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from contextlib import AbstractContextManager
from random import Random

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.discovery.down_marks import DownMarks
from txmirror.discovery.judging import Judge, Where
from txmirror.discovery.listing import InstanceList, ListUser, is_same
from txmirror.discovery.omissions import Omissions
from txmirror.discovery.pending import PendingCounts
from txmirror.discovery.picking import make_strategy
from txmirror.discovery.pool import Pool
from txmirror.discovery.reasons import Reasons
from txmirror.discovery.waiting import WaitingCalls
from txmirror.durations import check_count, check_seconds
from txmirror.errors import NoInstanceException
from txmirror.interfaces import IPayloadCodec, IServiceProvider, IStrategy
from txmirror.observers import Observers
from txmirror.registry import ServiceRegistry
from txmirror.timers import Timer
from txmirror.types import Instance


@implementer(IServiceProvider)
class ServiceProvider:
    """The live instances of a service, and a strategy that picks one of them.

    It follows the service from the beginning until :meth:`close`, through outages of ZooKeeper and restarts of the registry. While
    ZooKeeper is away it uses the last known list, or that of the registry's cache file. In a forked child, and after a
    ``registry.rebuild(reactor)`` with another reactor, make a new one: it measures the times with the reactor that it began with.

    These are not picked: instances that are registered as down, that have the weight 0, that ``where`` leaves out, and those
    that are down after failures (:meth:`failed`). An instance without a weight has the weight 1.

    It provides :class:`~txmirror.interfaces.IServiceProvider`, which documents its methods.

    :param registry: the registry.
    :param path: the path of the service; its children are the instances.
    :param pick: the strategy, or its name: ``round-robin``, ``random``, ``weighted``, ``sticky`` or ``least-pending``.
    :param where: the instances to use: the wanted values by label or key of the data, or a function that returns whether an
        instance may be used. It is called once for each change of a node. If it raises, the instance is left out.
    :param codec: decodes the nodes, or the name of a codec; None recognises the format of each node.
    :param zone: the preferred zone: instances with this ``zone`` among their labels or data are picked alone.
    :param least_in_zone: the number of available instances in the zone below which all instances are picked.
    :param hold_for: the number of seconds for which the former instances are kept beside the new ones after an outage, if the list
        has shrunk to less than half; the registry's if None.
    :param wait: the longest wait for an instance, in seconds.
    :param down_after: the number of failures in a row that marks an instance down.
    :param down_for: the number of seconds for which it is down. Then one request probes it.
    :param random: makes random choices; one of its own if None.
    :param reactor: measures the times; the registry's if None.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises TypeError: likewise.
    :raises LookupError: there is no codec of this name.
    """

    # It has more than 7 parameters, all but two of which are optional, and more than 12 attributes, most of which are its parts.

    _log = Logger()

    def __init__(
        self,
        registry: ServiceRegistry[bool],
        path: str,
        *,
        pick: str | IStrategy = "round-robin",
        where: Where | None = None,
        codec: str | IPayloadCodec | None = None,
        zone: str | None = None,
        least_in_zone: int = 1,
        hold_for: float | None = None,
        wait: float = 5.0,
        down_after: int = 2,
        down_for: float = 30.0,
        random: Random | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        check_seconds("wait", wait)
        check_limits(least_in_zone, hold_for, down_after, down_for)
        path = paths.normalise(path)
        self.path: str = path
        self._wait = wait
        self._closed = False
        self._reactor = reactor = registry.reactor if reactor is None else reactor
        self._pending = PendingCounts()
        self._strategy = make_strategy(pick, self._pending, Random() if random is None else random)
        self._marks = DownMarks(down_after, down_for, self._changed, reactor)
        user = ListUser(Judge(path, where, codec).judge, self._marks.forget, self._changed)
        self._list = InstanceList(path, registry.hold_for if hold_for is None else hold_for, user, reactor)
        self._pool = Pool(self._list, self._marks.all_withheld, zone, least_in_zone)
        self._reasons = Reasons(path, self._list, self._pool, self._marks, where, registry.reactor.seconds)
        self._omissions = Omissions(self._log, path, "the list")
        self._waiting = WaitingCalls(self._pick, self._none, self._set_watched)
        self._timer = Timer(reactor, self._notify)
        self._known: Waiters[None] = Waiters()
        #: The instances that the observers were notified of last; None if there were changes since without observers.
        self._notified: tuple[Instance, ...] | None = ()
        self._observers: Observers[tuple[Instance, ...]] = Observers(
            lambda function, _: self._log.failure(
                "A watcher of the instances of {path}, {function}, failed.", path=path, function=function
            )
        )
        self._set_watched()
        self._unfollow = registry.follow_nodes(path, self._list)

    @property
    def omitted(self) -> dict[str, str]:
        """The nodes that cannot be read or lack an address, or on which ``where`` has raised: the reason by name."""
        return dict(self._list.omitted)

    def instance(
        self, key: Hashable | None = None, *, avoid: Collection[Instance] = (), wait: float | None = None
    ) -> Deferred[Instance]:
        """Pick an instance. See :meth:`~txmirror.interfaces.IServiceProvider.instance`."""
        if wait is None:
            wait = self._wait
        else:
            check_seconds("wait", wait)
        try:
            instance = self._pick(key, avoid)
        except Exception:
            # The strategy's own, for instance for a key that it cannot use.
            return fail()
        if instance is not None:
            return succeed(instance)
        if self._closed or not wait:
            return fail(self._none(avoid, wait))
        return self._waiting.add(key, avoid, wait, self._reactor)

    def instances(self) -> list[Instance]:
        """Return those that may be picked. See :meth:`~txmirror.interfaces.IServiceProvider.instances`."""
        return list(self.pickable)

    @property
    def pickable(self) -> tuple[Instance, ...]:
        """The instances that may be picked, in order of their names: the same object until they change.

        :meta private:
        """
        self._marks.expire()
        return self._pool.pickable

    @property
    def known(self) -> bool:
        """True if there is a list: from the servers, or an earlier one.

        :meta private:
        """
        return self._list.known

    def when_known(self) -> Deferred[None]:
        """Wait until there is a list, which may be empty, or until :meth:`close`. Cancelling ends the wait.

        :meta private:
        """
        return succeed(None) if self.known or self._closed else self._known.wait()

    # Feedback.

    def failed(self, instance: Instance) -> None:
        """Note a failure. See :meth:`~txmirror.interfaces.IServiceProvider.failed`."""
        if self._knows(instance) and not self._closed:
            self._marks.failed(instance.name)

    def succeeded(self, instance: Instance) -> None:
        """Note a success. See :meth:`~txmirror.interfaces.IServiceProvider.succeeded`."""
        if self._knows(instance):
            self._marks.succeeded(instance.name)

    def using(self, instance: Instance) -> AbstractContextManager[Instance]:
        """Count a request as pending. See :meth:`~txmirror.interfaces.IServiceProvider.using`."""
        return self._pending.counted(instance)

    def _knows(self, instance: Instance) -> bool:
        listed = self._list.nodes.get(instance.name)
        # Another program may have taken over the name since.
        return listed is not None and listed.instance is not None and is_same(listed.instance, instance)

    # Changes.

    def watch(self, function: Callable[[list[Instance]], object]) -> None:
        """Call a function at changes. See :meth:`~txmirror.interfaces.IServiceProvider.watch`."""
        if self._notified is None and not self._timer.running:
            self._notified = self._pool.pickable
        self._observers.add(function, lambda instances: function(list(instances)))
        self._set_watched()

    def unwatch(self, function: Callable[[list[Instance]], object]) -> None:
        """Call a function no longer. See :meth:`~txmirror.interfaces.IServiceProvider.unwatch`."""
        self._observers.remove(function)
        self._set_watched()

    def close(self) -> None:
        """Follow the service no longer. See :meth:`~txmirror.interfaces.IServiceProvider.close`."""
        if self._closed:
            return
        self._closed = True
        self._unfollow()
        self._list.leave()
        self._marks.stop()
        self._timer.stop()
        self._waiting.fail_all()
        self._known.fire(None)

    def _set_watched(self) -> None:
        # A provider that nobody watches has no timer.
        self._marks.watched = not self._closed and bool(self._waiting or self._observers)

    def _changed(self) -> None:
        self._pool.invalidate()
        if not self._timer.running and not self._closed:
            # Other changes of this reactor turn are notified together with this one.
            self._timer.start(0)

    def _notify(self) -> None:
        self._omissions.note(self.omitted)
        if self.known:
            self._known.fire(None)
        self._waiting.serve()
        if not self._observers:
            # Nobody may ask for the instances before the next change.
            self._notified = None
            return
        instances = self._pool.pickable
        # A callback may have closed the provider.
        if instances != self._notified and not self._closed:
            self._notified = instances
            self._observers.notify(instances)

    # Picking.

    def _pick(self, key: Hashable | None, avoid: Collection[Instance]) -> Instance | None:
        self._marks.expire()
        instances = self._pool.without(avoid) if avoid else self._pool.pickable
        if not instances or self._closed:
            return None
        instance = self._strategy.pick(instances, key)
        if self._marks.probes:
            self._marks.picked(instance.name)
        return instance

    def _none(self, avoid: Collection[Instance], wait: float) -> NoInstanceException:
        if self._closed:
            return NoInstanceException(f"there is no instance of {self.path!r}: the provider is closed")
        reasons = self._reasons.explain(avoid)
        return NoInstanceException(f"there is no instance of {self.path!r} within {wait:.3g} s: {reasons}")


def check_limits(least_in_zone: int, hold_for: float | None, down_after: int, down_for: float) -> None:
    """Check arguments of a provider.

    :raises ValueError: one is invalid; the message quotes it.
    :raises TypeError: likewise.
    """
    check_count("least_in_zone", least_in_zone)
    check_seconds("hold_for", hold_for, optional=True)
    check_count("down_after", down_after)
    check_seconds("down_for", down_for)
