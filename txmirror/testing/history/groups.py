"""The rule of groups: the members that are listed are those that have joined and not left.

A member is not in the group for a moment when its session expires. So a member must be listed only if it has surely kept its session.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter, itemgetter

from txmirror.testing.history.calls import Children, Exists, Get, Join, Leave, Members, Names
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.intervals import Intervals
from txmirror.testing.history.operations import Operation, Outcome


class _Member:
    """The operations of one member of a group."""

    def __init__(self) -> None:
        #: Those that were done, or may have been.
        self.joins = Intervals()
        self.leaves = Intervals()
        #: Those that were done.
        self.joined: list[Operation] = []
        self.left: list[Operation] = []

    def add(self, operation: Operation) -> None:
        """Add an operation that was done, or may have been."""
        joins = isinstance(operation.call, Join)
        done = operation.outcome is Outcome.APPLIED and operation.end is not None
        (self.joins if joins else self.leaves).add(operation.begin, operation.end if done else None)
        if done:
            (self.joined if joins else self.left).append(operation)

    def close(self) -> None:
        """Sort all, after the last was added."""
        self.joined.sort(key=attrgetter("end"))
        self.left.sort(key=attrgetter("end"))

    def joined_before(self, moment: int) -> Operation | None:
        """Return the last time that it has joined before a moment."""
        return _last(self.joined, moment)

    def left_before(self, moment: int) -> Operation | None:
        """Return the last time that it has left before a moment."""
        return _last(self.left, moment)


def _last(operations: list[Operation], moment: int) -> Operation | None:
    index = bisect_left(operations, moment, key=lambda each: each.end or 0)
    return operations[index - 1] if index else None


class _Group:
    """The operations of one group."""

    def __init__(self) -> None:
        self.members: dict[str, _Member] = defaultdict(_Member)
        self.listings: list[Operation] = []


def check_members(operations: Iterable[Operation]) -> Iterator[Finding]:
    """Check each list of the members of a group."""
    groups: dict[str, _Group] = defaultdict(_Group)
    signs = _SignsOfLife()
    for operation in operations:
        call = operation.call
        if isinstance(call, (Get, Exists, Children)):
            signs.add(operation)
        elif isinstance(call, Members) and isinstance(operation.answer, Names) and operation.end is not None:
            groups[call.path].listings.append(operation)
        elif isinstance(call, (Join, Leave)) and operation.outcome is not Outcome.NOT_APPLIED:
            groups[call.path].members[call.name].add(operation)
    signs.close()
    for group in groups.values():
        for member in group.members.values():
            member.close()
        for listing in group.listings:
            yield from _check_listing(listing, group, signs)


def _check_listing(listing: Operation, group: _Group, signs: _SignsOfLife) -> Iterator[Finding]:
    names = listing.answer.names if isinstance(listing.answer, Names) else frozenset()
    end = listing.end or 0
    for name in sorted(names):
        member = group.members.get(name)
        if member is None or member.joins.first > end:
            yield find(Rule.MEMBERS, f"{name_of(listing)} shows {name!r}, which has not joined", listing)
            continue
        left = member.left_before(listing.begin)
        if left is not None and not member.joins.any_between(left.begin, end + 1):
            sentence = f"{name_of(listing)} shows {name!r}, which has left with {name_of(left)}"
            yield find(Rule.MEMBERS, sentence, listing, left)
    for name, member in sorted(group.members.items()):
        joined = None if name in names else member.joined_before(listing.begin)
        if joined is None or member.leaves.any_between(joined.begin, end + 1):
            continue
        if signs.kept_session(joined, end):
            sentence = f"{name_of(listing)} does not show {name!r}, which has joined with {name_of(joined)}"
            yield find(Rule.MEMBERS, sentence, listing, joined)


class _SignsOfLife:
    """The plain reads of clients, which show that a session has not ended at the servers."""

    def __init__(self) -> None:
        self._by_client: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def add(self, read: Operation) -> None:
        """Add a read."""
        if read.outcome is Outcome.APPLIED:
            self._by_client[read.client].append((read.begin, read.session))

    def close(self) -> None:
        """Sort all, after the last was added."""
        for each in self._by_client.values():
            each.sort()

    def kept_session(self, operation: Operation, until: int) -> bool:
        """Return whether a client certainly was in the session of an operation until a moment."""
        reads = self._by_client.get(operation.client, [])
        index = bisect_right(reads, until, key=itemgetter(0))
        return index < len(reads) and reads[index][1] == operation.session
