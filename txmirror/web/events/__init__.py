"""Server-sent events: a snapshot of all services, and then each change."""

from txmirror.web.events.counts import EventCounts
from txmirror.web.events.log import EventLog
from txmirror.web.events.streams import EventStreams, mount_streams

__all__ = ["EventCounts", "EventLog", "EventStreams", "mount_streams"]
