"""What all commands are told: which servers, as whom, and for how long to try."""

from __future__ import annotations

import attrs

from txmirror.access import Access
from txmirror.wire import DEFAULT_MAX_REPLY


@attrs.frozen
class Settings:
    """How to reach ZooKeeper. Times are in seconds."""

    servers: str = "localhost:2181"
    """As for :class:`txmirror.client.ZooKeeperClient`."""
    access: Access = attrs.field(factory=Access)
    """Who to be, and whether to use TLS."""
    timeout: float = 5.0
    """How long ZooKeeper may be out of reach before a command gives up."""
    session_timeout: float = 10.0
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply to take, in bytes."""
    quiet: bool = False
