"""Discovery for programs: a provider of the live instances of a service, and the strategies that pick one of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from contextlib import AbstractContextManager

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from txmirror.types import Instance


class IStrategy(Interface):
    """A way to pick one of several instances. An object of it serves one provider."""

    def pick(instances: Sequence[Instance], key: Hashable | None) -> Instance:
        """Return one of the instances.

        :param instances: at least one, sorted by name; those that are down, avoided or filtered out are not among them. It is a
            tuple, the same object until the instances change; or a list if the caller avoids some. It is not to be changed.
        :param key: the key of the request, for strategies that send equal keys to the same instance; None if it has none.
        """


class IServiceProvider(Interface):
    """The live instances of a service, and feedback about them from the program that uses them."""

    path: str = Attribute("The path of the service in the registry.")

    def instance(
        key: Hashable | None = None, *, avoid: Collection[Instance] = (), wait: float | None = None
    ) -> Deferred[Instance]:
        """Pick an instance. If there is none, wait for one.

        :param key: the key of the request, for a strategy that sends equal keys to the same instance.
        :param avoid: instances to leave out, as those that the caller has already tried.
        :param wait: the longest wait in seconds; None for the provider's default.
        :returns: fails with :exc:`~txmirror.errors.NoInstanceException`, which says why, if there is no instance in time, and
            if the provider is closed. Cancelling ends the wait.
        """

    def instances() -> list[Instance]:
        """Return the instances that may be picked now, sorted by name: known, not filtered out, not down."""

    def failed(instance: Instance) -> None:
        """Note that an instance has refused or lost a connection, or has failed a request. After some failures in a row it is down
        for some time, and is not picked.
        """

    def succeeded(instance: Instance) -> None:
        """Note that an instance works: its failures are forgotten."""

    def using(instance: Instance) -> AbstractContextManager[Instance]:
        """Count a request to an instance as pending, until the context ends; the strategy ``least-pending`` reads the counts."""

    def watch(function: Callable[[list[Instance]], object]) -> None:
        """Call a function with :meth:`instances` whenever that has changed. Adding it calls nothing."""

    def unwatch(function: Callable[[list[Instance]], object]) -> None:
        """Call a function no longer; do nothing if it was not added."""

    def close() -> None:
        """Follow the service no longer. Waits for an instance fail with :exc:`~txmirror.errors.NoInstanceException`."""
