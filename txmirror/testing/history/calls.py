"""The calls of clients, and the answers to them, as a history records them.

Data is text. Different writes of a history should write different data: then a read shows which write it has seen.
"""

from __future__ import annotations

import enum

import attrs

# Reads of nodes.


@attrs.frozen
class Get:
    """Read a node's data. The answer is :class:`Shown` or :class:`Absent`."""

    path: str
    """The node's path."""
    watch: bool = False
    """True if it sets a one-shot watch."""


@attrs.frozen
class Exists:
    """Read a node's stat. The answer is :class:`Shown` or :class:`Absent`."""

    path: str
    """The node's path."""
    watch: bool = False
    """True if it sets a one-shot watch."""


@attrs.frozen
class Children:
    """Read the names of a node's children. The answer is :class:`Names` or :class:`Absent`."""

    path: str
    """The node's path."""
    watch: bool = False
    """True if it sets a one-shot watch."""


@attrs.frozen
class Sync:
    """Make the server catch up with the leader. There is no answer."""

    path: str
    """The path that is synchronised."""


# Writes of nodes.


@attrs.frozen
class Create:
    """Create a node. The answer is :class:`Created`, or none: then the node has the path of the call."""

    path: str
    """The node's path; of a sequential node, without the digits."""
    data: str = ""
    """The node's data."""
    ephemeral: bool = False
    """True for an ephemeral node."""
    sequential: bool = False
    """True for a sequential node."""
    parents: bool = False
    """True if it first creates the missing nodes above it, without data. They may be there also if it was not applied."""


@attrs.frozen
class Set:
    """Set a node's data. The answer is :class:`Shown`, without data, or none."""

    path: str
    """The node's path."""
    data: str
    """The new data."""
    version: int = -1
    """The version that the node must be at; -1 for any."""


@attrs.frozen
class Delete:
    """Delete a node. There is no answer."""

    path: str
    """The node's path."""
    version: int = -1
    """The version that the node must be at; -1 for any."""
    recursive: bool = False
    """True if it first deletes all nodes below it."""


@attrs.frozen
class Check:
    """Check a node's version, as a part of a transaction."""

    path: str
    """The node's path."""
    version: int = -1
    """The version that the node must be at; -1 for any."""


@attrs.frozen
class Transaction:
    """Do several writes, or none of them. There is no answer."""

    parts: tuple[Part, ...]
    """The writes, in their order."""


# Recipes.


@attrs.frozen
class Put:
    """Put an item on a queue. There is no answer."""

    path: str
    """The queue's path."""
    item: str
    """The item."""


@attrs.frozen
class Take:
    """Take an item from a queue. The answer is :class:`Taken`."""

    path: str
    """The queue's path."""


@attrs.frozen
class Add:
    """Add to a counter. The answer is the :class:`Number` after that, or none."""

    path: str
    """The counter's path."""
    amount: int = 1
    """The number that is added; it may be negative."""


@attrs.frozen
class Count:
    """Read a counter. The answer is a :class:`Number`."""

    path: str
    """The counter's path."""


@attrs.frozen
class Change:
    """Replace a shared value by another one. The answer is :class:`Changed`; or :class:`Refused` if it had another value than
    the expected one.

    An unknown change may have an answer, too: then it has replaced that value, or nothing.
    """

    path: str
    """The node's path."""
    value: str
    """The new value, which no other change writes."""
    expected: str | None = None
    """The value that it must have; None for any."""


@attrs.frozen
class Look:
    """Read a shared value. The answer is a :class:`Value`."""

    path: str
    """The node's path."""


@attrs.frozen
class Block:
    """Put a barrier in place. There is no answer."""

    path: str
    """The barrier's path."""


@attrs.frozen
class Unblock:
    """Remove a barrier. There is no answer."""

    path: str
    """The barrier's path."""


@attrs.frozen
class Pass:
    """Wait at a barrier until it is gone. There is no answer."""

    path: str
    """The barrier's path."""


@attrs.frozen
class Join:
    """Become a member of a group, with a name that no other member has. There is no answer."""

    path: str
    """The group's path."""
    name: str
    """The member's name."""


@attrs.frozen
class Leave:
    """Be no member any more. There is no answer."""

    path: str
    """The group's path."""
    name: str
    """The member's name."""


@attrs.frozen
class Members:
    """Read the names of the members of a group. The answer is :class:`Names`."""

    path: str
    """The group's path."""


Read = Get | Exists | Children
Part = Create | Set | Delete | Check
Write = Create | Set | Delete | Transaction
Recipe = Put | Take | Add | Count | Change | Look | Block | Unblock | Pass | Join | Leave | Members
Call = Read | Sync | Part | Transaction | Recipe


# Answers.


@attrs.frozen
class Shown:
    """A node as a reply shows it. A field is None if the client does not return it."""

    mzxid: int | None
    """The transaction that last changed the data."""
    data: str | None = None
    """The data."""
    czxid: int | None = None
    """The transaction that created the node."""
    version: int | None = None
    """The number of changes of the data."""
    owner: int | None = None
    """The session that owns an ephemeral node; 0 for any other node."""


@attrs.frozen
class Absent:
    """There is no node."""


@attrs.frozen
class Names:
    """The names of a node's children, or of the members of a group."""

    names: frozenset[str]
    """The names."""


@attrs.frozen
class Created:
    """A new node."""

    path: str
    """Its path, with the sequence number if it has one."""


@attrs.frozen
class Taken:
    """An item of a queue."""

    item: str | None
    """The item; None if the queue was empty."""


@attrs.frozen
class Number:
    """The value of a counter."""

    value: int
    """The value."""


@attrs.frozen
class Value:
    """A shared value, which is empty at first."""

    value: str
    """The value."""


@attrs.frozen
class Changed:
    """A shared value was replaced."""

    former: str
    """The value that was replaced."""


class Refusal(enum.Enum):
    """The reason for which a write was refused."""

    BAD_VERSION = "bad version"
    NO_NODE = "no node"
    NODE_EXISTS = "node exists"
    NOT_EMPTY = "not empty"
    OTHER_VALUE = "other value"
    OTHER = "other"


@attrs.frozen
class Refused:
    """A server, or a recipe, has refused a write."""

    reason: Refusal
    """The reason."""


Answer = Shown | Absent | Names | Created | Taken | Number | Value | Changed | Refused
