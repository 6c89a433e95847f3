"""The services that registries want to be registered, some of them at the same path."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from txmirror.registry import CODECS
from txmirror.testing.storm.truth import Truth


@attrs.frozen
class _Wish:
    """A registration that one registry wants."""

    number: int
    """The number in its data."""
    session: Callable[[], int]
    """Returns the session of the registry."""


class Services:
    """The registrations that registries want, by path.

    One of those who want a path has it in the end, and the others wait. Nobody has a path that nobody wants.

    :param truth: the data.
    """

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._wanted: dict[str, dict[str, _Wish]] = {}

    def want(self, path: str, name: str, number: int, session: Callable[[], int]) -> None:
        """Note that a registry wants a registration.

        :param name: the name of the registry.
        :param number: the number in the data.
        :param session: returns the session of the registry.
        """
        self._wanted.setdefault(path, {})[name] = _Wish(number, session)

    def abandon(self, path: str, name: str) -> None:
        """Note that a registry does not want a registration any more."""
        self._wanted.get(path, {}).pop(name, None)

    def complaint(self, path: str) -> str | None:
        """Return the difference between the node of a path and that which is wanted; None if there is none."""
        wishes = [(each.number, each.session()) for each in self._wanted.get(path, {}).values()]
        node = self._truth.tree.nodes.get(path)
        if node is None:
            return f"{path} is not there, and {_numbers(wishes)} wanted" if wishes else None
        facts = CODECS["ndsr"].decode(node.data or b"")
        found = facts.get("n") if isinstance(facts, dict) else facts
        if (found, node.owner) in wishes:
            return None
        return f"{path} is {found} of the session {node.owner:#x}, and {_numbers(wishes)} wanted"


def _numbers(wishes: Collection[tuple[int, int]]) -> str:
    texts = [f"{number} of the session {session:#x}" for number, session in wishes]
    return f"{' or '.join(texts)} is" if texts else "nothing is"
