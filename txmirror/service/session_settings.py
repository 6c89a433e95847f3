"""The settings of the daemon's session."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs

from txmirror.access import Access
from txmirror.interfaces import IZooKeeperClient
from txmirror.registry import TokenBucket
from txmirror.service.counts import SessionCounts
from txmirror.service.state import StateService
from txmirror.service.state_file import Origin
from txmirror.types import SessionTicket

MakeClient = Callable[[SessionTicket | None], IZooKeeperClient]
"""Makes the client, which takes over a session, or opens one."""


@attrs.frozen
class SessionSettings:
    """The settings of a session. It has more than 7 parameters because the daemon's options pass through it as one value."""

    make_client: MakeClient
    """Makes the client, when the session starts."""
    servers: str
    """The connection string, for the state file."""
    access: Access = attrs.field(factory=Access)
    """The credentials, and the ACL of new znodes."""
    container: bool = False
    """True makes the nodes above those of services containers: the server deletes one some time after its last child."""
    state: StateService | None = None
    """The state file; None hands no session over. It starts before the registrations. Its stop waits for theirs."""
    origin: Origin = attrs.field(factory=lambda: Origin("", ""))
    """The machine and its boot, for the state file."""
    bucket: TokenBucket | None = None
    """Limits the rate of writes; None sets no limit. Withdrawals are not limited."""
    counts: SessionCounts | None = None
    """Counts the sessions; None counts none."""
    random: Random = attrs.field(factory=Random)
    """The random numbers of the mirror, and of the pause before the first write."""
