"""The types of a registry's answers: the type checker reads these tests too, and fails where a type is another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import assert_type

from txmirror.interfaces import IServiceRegistry
from txmirror.registry import ServiceRegistry
from txmirror.testing import World
from txmirror.types import Answer


class AnswerTypeTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A registry that is not lazy returns an answer, which can be used as it is."""
        with World() as world:
            found = world.result(world.registry().get("/services"))
            self.assertEqual(found["children"], {})
            assert_type(found, Answer)

    def test_lazy(self) -> None:
        """A lazy registry returns an answer or False, and the type checker requires a test for that."""
        with World() as world:
            registry = world.registry(lazy=True)
            world.disconnect()
            asked = registry.get("/services")
            world.pass_time(6.0)
            found = world.result(asked)
            self.assertIs(found, False)
            if TYPE_CHECKING:
                found["children"]  # type: ignore[index]
                assert found is not False
                assert_type(found, Answer)

    def test_any(self) -> None:
        """A registry of which that is not known may be lazy: by the interface, by ``bool``, or by an argument."""
        clock = Clock()
        plain, lazy = ServiceRegistry(reactor=clock), ServiceRegistry(lazy=True, reactor=clock)
        for registry in (plain, lazy, ServiceRegistry(lazy=bool(clock.seconds()), reactor=clock)):
            assert_type(registry, ServiceRegistry[bool])
            provider: IServiceRegistry = registry
            if TYPE_CHECKING:
                assert_type(registry.get("/"), Deferred[Answer | Literal[False]])
                assert_type(provider.get("/"), Deferred[Answer | Literal[False]])
            self.assertIs(provider.lazy, registry is lazy)
        if TYPE_CHECKING:
            annotated: ServiceRegistry = plain
            assert_type(annotated.get("/"), Deferred[Answer])
            annotated = lazy  # type: ignore[assignment]
