"""Find the objects that a program has left open in a world, and the places in its code that made them.

From the first world of a process on, the constructors of clients, mirrors, trees, registries and recipes note their callers.
Programs in production have no world, and no such cost.
"""

from __future__ import annotations

import functools
import gc
import sys
from collections.abc import Callable, Iterable
from types import CoroutineType, FrameType, FunctionType, GeneratorType, MethodType, ModuleType, TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror, Tree
from txmirror.recipes import Election, Lock, Semaphore
from txmirror.registry import Registration, ServiceRegistry

#: The classes with constructors that note their callers.
_KINDS = (ServiceRegistry, Registration, Lock, Semaphore, Election, Mirror, Tree, ZooKeeperClient)
#: The file and line of a program that made each object. Objects that the product has made are parts of others, and not noted.
_origins: WeakKeyDictionary[object, str] = WeakKeyDictionary()


@functools.cache
def note_origins() -> None:
    """Let the constructors note their callers from now on."""
    for kind in _KINDS:
        kind.__init__ = _noting(kind.__init__)  # type: ignore[method-assign]


def _noting(construct: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(construct)
    def noting(self: object, *arguments: Any, **options: Any) -> None:
        construct(self, *arguments, **options)
        caller: FrameType | None = sys._getframe(1)
        while caller is not None and isinstance(self, Tree) and _module_of(caller).startswith("txmirror.mirror."):
            # A mirror has made it, at somebody's request.
            caller = caller.f_back
        if caller is None or not _is_ours(_module_of(caller)) or _module_of(caller) == "txmirror.testing.world":
            _origins.setdefault(self, _outside(caller))

    return noting


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


def find_open(roots: Iterable[object], but: tuple[type, ...]) -> list[object]:
    """Return the objects of programs to which others refer, the earliest first.

    :param roots: those others: what is left of them, such as delayed calls and connections.
    :param but: the classes of objects to ignore, with all to which they refer.
    """
    left, seen = list(roots), dict[int, object]()
    while left:
        each = left.pop()
        if id(each) not in seen and not isinstance(each, but):
            seen[id(each)] = each
            left += _referents(each)
    return [opened for opened in list(_origins) if id(opened) in seen or id(_part_in_use(opened)) in seen]


def _part_in_use(opened: object) -> object:
    """Return the part of an object that is in use while it is open, if that part does not refer to the object."""
    return opened.session_key if isinstance(opened, ZooKeeperClient) else opened


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
    return ()


def _variables(frame: FrameType | None) -> Iterable[object]:
    return frame.f_locals.values() if frame is not None and _is_ours(_module_of(frame)) else ()
