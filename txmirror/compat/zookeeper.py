"""A replacement for the module ``zookeeper`` (zkpython) without the C library: its calls with handles, on the native client.

:func:`txmirror.compat.install` installs it under that name. It has the calls that txzookeeper uses: those that answer by a
callback. Call them in the reactor's thread; the callbacks run there too. A value is a ``str``, stored in UTF-8; bytes that are
not UTF-8 are surrogates in it (``surrogateescape``). A stat is a dict. An entry of an ACL is a dict of ``perms``, ``scheme`` and
``id``.

A callback receives the handle, a number for ``zerror``, and the result. A watcher receives the handle, the event's type, the
connection's state and the path. If a call raises, no request was sent. All exceptions here are subclasses of
``ZooKeeperException``: ``BadArgumentsException`` for an invalid path, ``InvalidStateException`` after the session's end.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TextIO, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, textFileLogObserver
from zope.interface import provider

from twisted import logger
from txmirror.compat.codes import CONSTANTS, EXCEPTIONS, ZooKeeperException, zerror
from txmirror.compat.handles import Callback, Handle
from txmirror.compat.values import Entries

__all__ = [  # noqa: F822, PLE0604 - the rest of the names are in tables
    "ZooKeeperException",
    "acreate",
    "add_auth",
    "adelete",
    "aexists",
    "aget",
    "aget_acl",
    "aget_children",
    "aset",
    "aset_acl",
    "async",
    "client_id",
    "close",
    "deterministic_conn_order",
    "init",
    "is_unrecoverable",
    "recv_timeout",
    "set_debug_level",
    "set_log_stream",
    "set_watcher",
    "state",
    "zerror",
    *CONSTANTS,
    *(exception.__name__ for exception in EXCEPTIONS.values()),
]

globals().update(CONSTANTS)
globals().update({exception.__name__: exception for exception in EXCEPTIONS.values()})

#: The binding's other calls, each with the reason why this module does not have it.
_BLOCKING = ("create", "delete", "exists", "get", "get_acl", "get_children", "set", "set_acl")
_MISSING = {
    **{name: f"it would block the reactor's thread; use a{name}" for name in _BLOCKING},
    "set2": "it would block the reactor's thread; use aset",
    "init_ssl": "use txmirror.client.ZooKeeperClient, which speaks TLS",
}

_handles: dict[int, Handle] = {}
_numbers = count()
_settings: dict[str, Any] = {"reactor": None, "in_order": False, "level": CONSTANTS["LOG_LEVEL_INFO"], "observer": None}


def _missing(name: str, reason: str) -> Callable[..., Any]:
    def missing(*_: object, **__: object) -> Any:
        raise NotImplementedError(f"zookeeper.{name} is not available without the C library: {reason}")

    missing.__name__ = name
    return missing


globals().update({name: _missing(name, reason) for name, reason in _MISSING.items()})


def use(reactor: IReactorTime | None) -> None:
    """Set the reactor of new connections; None is the global one."""
    _settings["reactor"] = reactor


def handle_of(handle: int) -> Handle:
    """Return the connection of a handle.

    :raises ZooKeeperException: there is no such handle, or it was closed.
    """
    if isinstance(handle, bool) or not isinstance(handle, int):
        raise TypeError(f"a handle is a number, not {handle!r}")
    if handle not in _handles:
        raise ZooKeeperException(f"there is no handle {handle}, or it was closed")
    return _handles[handle]


def find(handle: int | None) -> Handle | None:
    """Return the connection of a handle; None if there is no such handle, or it was closed."""
    return None if handle is None else _handles.get(handle)


def end(handle: int) -> Deferred[None]:
    """Close a connection, as :func:`close`. The Deferred fires when all is closed."""
    there = _handles.pop(handle, None)
    return succeed(None) if there is None else there.close()


# Connections.


def init(
    host: str,
    watcher: Callback | None = None,
    recv_timeout: int = 10000,
    clientid: tuple[int, str] | None = None,
) -> int:
    """Start to connect.

    :param host: the servers and the chroot, as in ``host:port,host:port/chroot``.
    :param watcher: called with each session event.
    :param recv_timeout: the session timeout to request, in milliseconds.
    :param clientid: the :func:`client_id` of a session to take over.
    :returns: a handle.
    :raises ZooKeeperException: an argument is invalid.
    """
    reactor = _settings["reactor"]
    if reactor is None:
        from twisted.internet import reactor
    number = next(_numbers)
    try:
        made = Handle(number, host, watcher, recv_timeout, clientid, _settings["in_order"], reactor)
    except ValueError as error:
        raise ZooKeeperException(str(error)) from None
    _handles[number] = made
    return number


def close(handle: int) -> int:
    """Close a connection. Requests that were made before are still answered.

    With a connection, the session ends; without one, it is left to its timeout. The call returns before that; the reactor does
    not stop before it is done.
    """
    handle_of(handle)
    end(handle)
    return 0


def state(handle: int) -> int:
    """Return the connection's state."""
    return handle_of(handle).state


def client_id(handle: int) -> tuple[int, str]:
    """Return the session's id and password."""
    return handle_of(handle).client_id


def recv_timeout(handle: int) -> int:
    """Return the session timeout in milliseconds: negotiated, or requested before that."""
    return round(handle_of(handle).client.session_timeout * 1000)


def is_unrecoverable(handle: int) -> bool:
    """Return whether the session has expired, or the servers refused an identity."""
    return handle_of(handle).unrecoverable


def set_watcher(handle: int, watcher: Callback) -> None:
    """Set the watcher of the session, in place of the former one."""
    handle_of(handle).watcher = watcher


def add_auth(handle: int, scheme: str, cert: str | None, callback: Callback) -> int:
    """Add an identity; the callback receives no result."""
    return handle_of(handle).add_auth(scheme, cert, callback)


# Nodes.


def aget(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Read a node's value and stat."""
    return handle_of(handle).get(path, watcher, callback)


def aexists(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Read a node's stat; if the node does not exist, the callback receives ``NONODE`` and None."""
    return handle_of(handle).exists(path, watcher, callback)


def aget_children(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Read the names of a node's children, a list."""
    return handle_of(handle).get_children(path, watcher, callback)


def acreate(handle: int, path: str, value: str | None, acl: Entries, flags: int, callback: Callback) -> int:
    """Create a node; the callback receives its path.

    :param flags: a sum of ``EPHEMERAL`` and ``SEQUENCE``.
    """
    return handle_of(handle).create(path, value, acl, flags, callback)


def adelete(handle: int, path: str, version: int, callback: Callback) -> int:
    """Delete a node; the callback receives no result."""
    return handle_of(handle).delete(path, version, callback)


def aset(handle: int, path: str, value: str | None, version: int, callback: Callback) -> int:
    """Replace a node's value; the callback receives the new stat."""
    return handle_of(handle).set(path, value, version, callback)


def aget_acl(handle: int, path: str, callback: Callback) -> int:
    """Read a node's ACL and stat."""
    return handle_of(handle).get_acl(path, callback)


def aset_acl(handle: int, path: str, version: int, acl: Entries, callback: Callback) -> int:
    """Replace a node's ACL; the callback receives no result."""
    return handle_of(handle).set_acl(path, version, acl, callback)


def _async(handle: int, path: str, callback: Callback) -> int:
    """Wait until the server has caught up with its leader; the callback receives the path."""
    return handle_of(handle).sync(path, callback)


# ``async`` is a keyword since Python 3.7.
_async.__name__ = _async.__qualname__ = "async"
globals()["async"] = _async


# All connections.


def deterministic_conn_order(yes: int) -> None:
    """Set whether new connections try their servers in the order of ``host``, or in a random one."""
    _settings["in_order"] = bool(yes)


def set_debug_level(level: int) -> None:
    """Set the level of messages for the stream of :func:`set_log_stream`.

    :param level: one of the ``LOG_LEVEL`` constants; 0 for none.
    """
    _settings["level"] = level


def set_log_stream(stream: TextIO) -> None:
    """Write the log messages of connections to a stream too, in place of the former stream."""
    if _settings["observer"] is not None:
        logger.globalLogPublisher.removeObserver(_settings["observer"])
    write = textFileLogObserver(stream)
    _settings["observer"] = observer = _observer(write)
    logger.globalLogPublisher.addObserver(observer)


_LEVELS = {LogLevel.critical: 1, LogLevel.error: 1, LogLevel.warn: 2, LogLevel.info: 3, LogLevel.debug: 4}


def _observer(write: ILogObserver) -> ILogObserver:
    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        ours = str(event.get("log_namespace")).startswith("txmirror.client")
        if ours and _LEVELS.get(event.get("log_level"), 0) <= _settings["level"]:
            write(event)

    return cast(ILogObserver, observe)
