"""Checks of a configuration that concern several services or tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from txmirror.configuration.errors import Place, Problems
from txmirror.configuration.model import KEEP_SESSION, Daemon, Service, ZooKeeper
from txmirror.configuration.probes import Alias
from txmirror.configuration.watches import Watch
from txmirror.durations import show_seconds
from txmirror.placeholders import Placeholders, shown
from txmirror.printable import quote, suggest
from txmirror.registry import ServiceNode

#: A service, and its place in the files.
Placed = tuple[Place, Service]


@attrs.frozen
class Outline:
    """The parts of a service that other services must agree with."""

    place: Place
    id: str | None
    nodes: tuple[ServiceNode, ...]
    """Its znodes."""
    references: tuple[tuple[str, str], ...]
    """The ids of other services that it names, each with its place in the service."""

    @classmethod
    def of_service(cls, place: Place, service: Service) -> Outline:
        """Return the outline of a service."""
        references = [(f".depends[{index}]", other) for index, other in enumerate(service.depends)]
        for index, check in enumerate(service.checks):
            if isinstance(check.probe, Alias):
                references.append((f".check[{index}].service", check.probe.service))
        return cls(place, service.id, service.nodes, tuple(references))

    @classmethod
    def of_table(cls, place: Place, table: Mapping[str, Any], placeholders: Placeholders) -> Outline:
        """Return the outline of a table that is no service, because it has errors."""

        def text(value: object) -> str | None:
            try:
                return placeholders.expand(value) if isinstance(value, str) else None
            except ValueError:
                return None

        depends = table.get("depends")
        others = enumerate(map(text, depends)) if isinstance(depends, list) else ()
        references = tuple((f".depends[{index}]", other) for index, other in others if other is not None)
        return cls(place, text(table.get("id", table.get("name"))), (), references)


def check_services(outlines: Sequence[Outline], problems: Problems) -> None:
    """Check that ids and znodes are unique, that the services exist which others name, and that none depends on itself."""
    ids: dict[str, Outline] = {}
    znodes = _Znodes(problems)
    for outline in outlines:
        if outline.id is not None and ids.setdefault(outline.id, outline) is not outline:
            problems.add(outline.place, f"its id, {quote(outline.id)}, is also that of {ids[outline.id].place}")
        for node in outline.nodes:
            znodes.add(outline.place.below(f".{node.key}" if node.key else ""), node)
    for outline in outlines:
        for relative, other in outline.references:
            if other not in ids:
                problems.add(outline.place.below(relative), f"there is no service {quote(other)}{suggest(other, ids)}")
    for cycle in _find_cycles({key: [other for _, other in each.references] for key, each in ids.items()}):
        problems.add(
            ids[cycle[0]].place, f"the service depends on itself: {' -> '.join(map(shown, (*cycle, cycle[0])))}"
        )


class _Znodes:
    """Compares znodes with each other.

    :param problems: collects the errors.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._places: dict[str, Place] = {}
        #: One znode of each codec, by the parent and the codec's name.
        self._formats: dict[str, dict[str, tuple[Place, ServiceNode]]] = {}

    def add(self, place: Place, node: ServiceNode) -> None:
        """Compare a znode with the former ones."""
        first = self._places.setdefault(node.znode, place)
        if first is not place:
            self._problems.add(place, f"its znode, {quote(node.znode)}, is also that of {first}")
        formats = self._formats.setdefault(node.path, {})
        for other_place, other in formats.values():
            both = (node.codec, other.codec)
            if node.codec.name != other.codec.name and not all(each.shares_parent for each in both):
                alone, guest = both if not node.codec.shares_parent else both[::-1]
                self._problems.add(
                    place,
                    f"the codec {alone.name!r} needs a path of its own, because its readers fail at znodes of {guest.name!r};"
                    f" {other_place} has the same path",
                )
        formats.setdefault(node.codec.name, (place, node))


def check_outputs(watches: Sequence[tuple[Place, Watch]], others: Mapping[str, str | None], problems: Problems) -> None:
    """Check that each output file is written by one table only. Paths that lead to one file by symbolic links are the same.

    It looks at the file system, and may block.

    :param others: other files of the daemon, by their keys.
    """
    #: The key and the path of each file, by its resolved path.
    owners = {os.path.realpath(file): (key, file) for key, file in others.items() if file is not None}

    def check(place: Place, file: str) -> None:
        owner = owners.get(os.path.realpath(file))
        if owner is not None:
            key, other = owner
            same = f"{key} too" if other == file else f"the same file as {quote(other)}, which is {key}"
            problems.add(place, f"{quote(file)} is {same}")

    for place, watch in watches:
        check(place.below(".output"), watch.output)
        owners.setdefault(os.path.realpath(watch.output), (f"{place.path}.output", watch.output))
    for place, watch in watches:
        if watch.template is not None:
            check(place.below(".template"), watch.template)


def check_daemon(daemon: Daemon, services: Sequence[Placed], problems: Problems) -> None:
    """Check that a stop has the time to drain all services."""
    for place, service in services:
        if service.drain >= daemon.stop_timeout:
            reason = f"drain ({show_seconds(service.drain)}) is not less than daemon.stop_timeout"
            problems.add(place, f"{reason} ({show_seconds(daemon.stop_timeout)})")


def check_session(zookeeper: ZooKeeper, services: Sequence[Placed], problems: Problems) -> None:
    """Check that a session that is kept can be taken over."""
    if zookeeper.state_file is None:
        for place, service in services:
            if service.on_stop == KEEP_SESSION:
                problems.add(place, f"on_stop is {KEEP_SESSION!r}, which needs zookeeper.state_file")


def _find_cycles(needs: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return cycles such that without them there is none."""
    cycles: list[tuple[str, ...]] = []
    done: set[str] = set()
    for start in needs:
        path: dict[str, int] = {}
        # Not by recursion: a chain may be longer than Python can nest calls.
        pending = [(start, False)]
        while pending:
            each, left = pending.pop()
            if left:
                del path[each]
                done.add(each)
            elif each in path:
                cycles.append(tuple(path)[path[each] :])
            elif each in needs and each not in done:
                path[each] = len(path)
                pending.append((each, True))
                pending += [(other, False) for other in reversed(needs[each])]
    return cycles
