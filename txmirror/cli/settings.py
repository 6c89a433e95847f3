"""The settings that all commands share: servers, credentials and timeouts."""

from __future__ import annotations

import attrs

from txmirror.access import Access
from txmirror.wire import DEFAULT_MAX_REPLY


# More than 7 parameters: a setting for each option.
@attrs.frozen
class Settings:
    """The settings of a connection to ZooKeeper. Times are in seconds."""

    servers: str = "localhost:2181"
    """As for :class:`txmirror.client.ZooKeeperClient`."""
    access: Access = attrs.field(factory=Access)
    """The credentials, and the TLS settings."""
    timeout: float = 5.0
    """The time without a session after which a command gives up."""
    session_timeout: float = 10.0
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply to accept, in bytes."""
    admin_port: int | None = None
    """The port of the servers' AdminServers, to ask them in place of four-letter words; None asks by words."""
    quiet: bool = False
    """True to write error messages only."""
    verbose: bool = False
    """True to write the log to stderr, too."""
    connects: bool = True
    """True to open a session before the command begins; otherwise it opens one itself, or none."""
    close_timeout: float = 2.0
    """The timeout for closing the session."""
