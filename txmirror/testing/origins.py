"""Find the objects and calls that a program has left open in a world, and the places in its code that made them.

From the first world of a process on, clients, mirrors, trees, registries and recipes note their origin, and when they are opened
and closed; and so do calls that wait for other programs. Programs in production have no world, and no such cost.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from types import CoroutineType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType, TracebackType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror, Tree
from txmirror.recipes import (
    Barrier,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    MultiLock,
    Partitioner,
    Party,
    Queue,
    Semaphore,
    TakenEntry,
)
from txmirror.registry import Registration, ServiceRegistry


class _Life(NamedTuple):
    """The methods that open and close the objects of a class."""

    opening: Sequence[str]
    closing: Sequence[str]


_LIVES: dict[type, _Life] = {
    ZooKeeperClient: _Life(("__init__",), ("close", "leave")),
    Mirror: _Life(("__init__",), ("close",)),
    Tree: _Life(("__init__",), ("close",)),
    ServiceRegistry: _Life(("__init__", "start"), ("stop",)),
    Registration: _Life(("start", "keep"), ("stop",)),
    Lock: _Life(("acquire",), ("release",)),
    Semaphore: _Life(("acquire",), ("release",)),
    Election: _Life(("run",), ("stop",)),
    MultiLock: _Life(("acquire",), ("release",)),
    DoubleBarrier: _Life(("enter",), ("leave",)),
    Party: _Life(("join",), ("leave",)),
    Members: _Life(("join",), ("leave",)),
    Partitioner: _Life(("start",), ("stop",)),
    # The call that takes it notes its origin.
    TakenEntry: _Life((), ("consume", "release")),
}
#: The calls that may wait for ever for another program. Each is open until its Deferred has fired.
_WAITING: Sequence[tuple[type, str]] = ((Queue, "get"), (LockingQueue, "get"), (Barrier, "wait"))


class _Call:
    """A call that waits."""

    def __init__(self, recipe: object, name: str) -> None:
        self._recipe = recipe
        self._name = name

    def __repr__(self) -> str:
        return f"<a pending {self._name}() of {self._recipe!r}>"


#: The file and line of a program that made each object. Objects that the product has made are parts of others, and not noted.
_origins: WeakKeyDictionary[object, str] = WeakKeyDictionary()
_open: WeakSet[object] = WeakSet()


@functools.cache
def note_origins() -> None:
    """Let objects note their origins, and when they are opened and closed, from now on."""
    for kind, life in _LIVES.items():
        for name in life.opening:
            _extend(kind, name, _open.add)
        for name in life.closing:
            _extend(kind, name, _open.discard)
        _extend(kind, "__init__", _note_origin)
    for kind, name in _WAITING:
        _follow(kind, name)


def _follow(kind: type, name: str) -> None:
    """Let the calls of a method note their origin while they wait, and then that of an entry that they have taken."""
    method = getattr(kind, name)

    @functools.wraps(method)
    def extended(self: object, *arguments: Any, **options: Any) -> Any:
        caller = sys._getframe(1)
        waiting: Deferred[Any] = method(self, *arguments, **options)
        if _is_ours(_module_of(caller)):
            return waiting
        call, place = _Call(self, name), _outside(caller)
        _origins[call] = place
        _open.add(call)

        def ended(outcome: object) -> object:
            _open.discard(call)
            if isinstance(outcome, TakenEntry):
                _origins[outcome] = place
                _open.add(outcome)
            return outcome

        return waiting.addBoth(ended)

    setattr(kind, name, extended)


def _extend(kind: type, name: str, note: Callable[[object], object]) -> None:
    """Let a method call a function with the object, too, when it has returned."""
    method = getattr(kind, name)

    @functools.wraps(method)
    def extended(self: object, *arguments: Any, **options: Any) -> Any:
        result = method(self, *arguments, **options)
        note(self)
        return result

    setattr(kind, name, extended)


def _note_origin(made: object) -> None:
    # Beyond this function and the constructor.
    caller: FrameType | None = sys._getframe(2)
    while caller is not None and isinstance(made, Tree) and _module_of(caller).startswith("txmirror.mirror."):
        # A program has called Mirror.tree.
        caller = caller.f_back
    if caller is None or not _is_ours(_module_of(caller)) or _module_of(caller) == "txmirror.testing.world":
        _origins.setdefault(made, _outside(caller))


def _is_ours(module: str) -> bool:
    """Return whether a module belongs to the product or to Twisted. The product's own tests are programs."""
    return module.startswith(("txmirror.", "twisted.")) and not module.startswith("txmirror.test.")


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__"))


def _outside(frame: FrameType | None) -> str:
    """Return the innermost place that belongs to a program."""
    while frame is not None and _is_ours(_module_of(frame)):
        frame = frame.f_back
    return "an unknown place" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def describe(opened: object) -> str:
    """Return a description of an object, with the place that made it."""
    kind = type(opened)
    name = f"<{kind.__name__}>" if kind.__repr__ is object.__repr__ else repr(opened)
    return f"{name}, made at {_origins[opened]}"


def find_open(left: Iterable[object], ignored: tuple[type, ...]) -> list[object]:
    """Return the open objects of programs that use a client to which the reactor still refers, the earliest first.

    :param left: the delayed calls and the connections of the reactor.
    :param ignored: the classes of objects to ignore, with all to which they refer.
    """
    alive = _reached_from(left, ignored)
    if not alive:
        # Nearly always. To find all that each object reaches takes some time.
        return []

    def uses_live_client(opened: object) -> bool:
        reached = _reached_from([opened], ignored).values()
        return any(id(each.session_key) in alive for each in reached if isinstance(each, ZooKeeperClient))

    return [each for each in list(_origins) if each in _open and uses_live_client(each)]


def _reached_from(roots: Iterable[object], ignored: tuple[type, ...]) -> dict[int, object]:
    """Return all objects to which the roots refer, also indirectly, by their ids."""
    left, reached = list(roots), dict[int, object]()
    while left:
        each = left.pop()
        if id(each) not in reached and not isinstance(each, ignored):
            reached[id(each)] = each
            left += _referents(each)
    return reached


def _referents(thing: object) -> Iterable[object]:
    """Return the objects to which an object refers.

    Classes, modules and the globals of functions are left out, because they lead to everything. Objects of programs are left out
    because they may also refer to closed objects.
    """
    if isinstance(thing, MethodType):
        return thing.__self__, thing.__func__
    if isinstance(thing, FunctionType):
        return (*(thing.__closure__ or ()), *(thing.__defaults__ or ())) if _is_ours(thing.__module__) else ()
    if isinstance(thing, CoroutineType):
        return (*_variables(thing.cr_frame), thing.cr_await)
    if isinstance(thing, GeneratorType):
        return (*_variables(thing.gi_frame), thing.gi_yieldfrom)
    if isinstance(thing, (type, ModuleType, TracebackType, FrameType)):
        return ()
    module = type(thing).__module__
    if module in ("builtins", "collections", "functools") or _is_ours(module):
        return gc.get_referents(thing)
    # A program may have a class that extends one of ours.
    return gc.get_referents(thing) if isinstance(thing, tuple(_LIVES)) else ()


def _variables(frame: FrameType | None) -> Iterable[object]:
    return frame.f_locals.values() if frame is not None and _is_ours(_module_of(frame)) else ()
