"""The module ``zookeeper`` that old programs import, without the C library: its calls with handles, on the native client.

:func:`txmirror.compat.install` puts it in the place of the binding (zkpython). What it has is what txzookeeper calls: the
calls that answer by a callback. All of them belong to the reactor's thread, and so do the callbacks. A value is a ``str``,
which is stored in UTF-8; bytes that are not UTF-8 come and go as surrogates (``surrogateescape``). A stat is a dict, an entry
of an ACL one of ``perms``, ``scheme`` and ``id``.

A callback gets the handle, a number of ``zerror``, and the result; a watcher the handle, the event's type, the
connection's state and the path. A call raises what says that nothing was asked: one of the exceptions here, all of them
``ZooKeeperException``; ``BadArgumentsException`` for what is no path, ``InvalidStateException`` where the session has
ended.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, TextIO, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher, textFileLogObserver
from zope.interface import provider

from txmirror.compat.codes import CONSTANTS, EXCEPTIONS, ZooKeeperException, zerror
from txmirror.compat.handles import Callback, Entries, Handle

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

#: What else the binding can do, and why this cannot.
_WAITING = ("create", "delete", "exists", "get", "get_acl", "get_children", "set", "set_acl")
_MISSING = {
    **{name: f"it waits for the answer, which nobody can in the reactor's thread; use a{name}" for name in _WAITING},
    "set2": "it waits for the answer, which nobody can in the reactor's thread; use aset",
    "init_ssl": "use txmirror.client.ZooKeeperClient, which speaks TLS",
}

_handles: dict[int, Handle] = {}
_numbers = count()
_settings: dict[str, Any] = {"reactor": None, "in_order": False, "level": CONSTANTS["LOG_LEVEL_INFO"], "observer": None}


def _missing(name: str, why: str) -> Callable[..., Any]:
    def missing(*_: object, **__: object) -> Any:
        raise NotImplementedError(f"zookeeper.{name} is not there without the C library: {why}")

    missing.__name__ = name
    return missing


globals().update({name: _missing(name, why) for name, why in _MISSING.items()})


def use(reactor: IReactorTime | None) -> None:
    """Let the connections that are made from now on use a reactor; None stands for the global one."""
    _settings["reactor"] = reactor


def handle_of(handle: int) -> Handle:
    """Give what a handle stands for.

    :raises ZooKeeperException: there is no such handle, or it was closed.
    """
    if isinstance(handle, bool) or not isinstance(handle, int):
        raise TypeError(f"a handle is a number, not {handle!r}")
    if handle not in _handles:
        raise ZooKeeperException(f"there is no handle {handle}, or it was closed")
    return _handles[handle]


def find(handle: int | None) -> Handle | None:
    """Give what a handle stands for; None if it stands for nothing, or not any more."""
    return None if handle is None else _handles.get(handle)


def end(handle: int) -> Deferred[None]:
    """Close a connection, as :func:`close`; fires when all of it is gone."""
    there = _handles.pop(handle, None)
    return succeed(None) if there is None else there.close()


# Connections.


def init(
    host: str,
    watcher: Callback | None = None,
    recv_timeout: int = 10000,
    clientid: tuple[int, str] | None = None,
) -> int:
    """Begin to connect.

    :param host: the servers and the chroot, as in ``host:port,host:port/chroot``.
    :param watcher: told of each step of the session.
    :param recv_timeout: the session timeout to ask for, in milliseconds.
    :param clientid: of a session to take over, what :func:`client_id` gave.
    :returns: a handle.
    :raises ZooKeeperException: an argument will not do.
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
    """Close a connection; what was asked before is still answered.

    With a server there, its session ends; otherwise it is left to its timeout. The call returns before all of that has
    happened, and the reactor does not stop before.
    """
    handle_of(handle)
    end(handle)
    return 0


def state(handle: int) -> int:
    """Give the connection's state."""
    return handle_of(handle).state


def client_id(handle: int) -> tuple[int, str]:
    """Give the session's id and password."""
    return handle_of(handle).client_id


def recv_timeout(handle: int) -> int:
    """Give the session's timeout in milliseconds: as negotiated, or as asked for before that."""
    return round(handle_of(handle).client.session_timeout * 1000)


def is_unrecoverable(handle: int) -> bool:
    """Tell whether the session has ended, or the servers refused an identity."""
    return handle_of(handle).unrecoverable


def set_watcher(handle: int, watcher: Callback) -> None:
    """Let somebody else be told of the session."""
    handle_of(handle).watcher = watcher


def add_auth(handle: int, scheme: str, cert: str | None, callback: Callback) -> int:
    """Add an identity; the callback gets no result."""
    return handle_of(handle).add_auth(scheme, cert, callback)


# Nodes.


def aget(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Ask for a node's value and stat."""
    return handle_of(handle).get(path, watcher, callback)


def aexists(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Ask for a node's stat; for a node that does not exist, the callback gets ``NONODE`` and None."""
    return handle_of(handle).exists(path, watcher, callback)


def aget_children(handle: int, path: str, watcher: Callback | None, callback: Callback) -> int:
    """Ask for the names of a node's children, a list."""
    return handle_of(handle).get_children(path, watcher, callback)


def acreate(handle: int, path: str, value: str | None, acl: Entries, flags: int, callback: Callback) -> int:
    """Create a node; the callback gets its path.

    :param flags: a sum of ``EPHEMERAL`` and ``SEQUENCE``.
    """
    return handle_of(handle).create(path, value, acl, flags, callback)


def adelete(handle: int, path: str, version: int, callback: Callback) -> int:
    """Delete a node; the callback gets no result."""
    return handle_of(handle).delete(path, version, callback)


def aset(handle: int, path: str, value: str | None, version: int, callback: Callback) -> int:
    """Replace a node's value; the callback gets the new stat."""
    return handle_of(handle).set(path, value, version, callback)


def aget_acl(handle: int, path: str, callback: Callback) -> int:
    """Ask for a node's ACL and stat."""
    return handle_of(handle).get_acl(path, callback)


def aset_acl(handle: int, path: str, version: int, acl: Entries, callback: Callback) -> int:
    """Replace a node's ACL; the callback gets no result."""
    return handle_of(handle).set_acl(path, version, acl, callback)


def _async(handle: int, path: str, callback: Callback) -> int:
    """Wait until the server has caught up with its leader; the callback gets the path."""
    return handle_of(handle).sync(path, callback)


# A keyword by now.
_async.__name__ = _async.__qualname__ = "async"
globals()["async"] = _async


# All connections.


def deterministic_conn_order(yes: int) -> None:
    """Let connections that are made from now on try their servers in the order given, or in any."""
    _settings["in_order"] = bool(yes)


def set_debug_level(level: int) -> None:
    """Let only so much be written to the stream of :func:`set_log_stream`.

    :param level: one of the ``LOG_LEVEL`` constants; 0 for nothing.
    """
    _settings["level"] = level


def set_log_stream(stream: TextIO) -> None:
    """Write what connections log to a file too, in place of the one before."""
    if _settings["observer"] is not None:
        globalLogPublisher.removeObserver(_settings["observer"])
    write = textFileLogObserver(stream)
    _settings["observer"] = observer = _observer(write)
    globalLogPublisher.addObserver(observer)


_LEVELS = {LogLevel.critical: 1, LogLevel.error: 1, LogLevel.warn: 2, LogLevel.info: 3, LogLevel.debug: 4}


def _observer(write: ILogObserver) -> ILogObserver:
    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        ours = str(event.get("log_namespace")).startswith("txmirror.client")
        if ours and _LEVELS.get(event.get("log_level"), 0) <= _settings["level"]:
            write(event)

    return cast(ILogObserver, observe)
