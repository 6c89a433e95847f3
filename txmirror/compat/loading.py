"""The import of ``txzookeeper`` under Python 3: a finder for that package alone, which translates its modules."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from twisted.internet.interfaces import IReactorTime

from txmirror.compat import zookeeper
from txmirror.compat.translation import translated

_PACKAGE = "txzookeeper"
#: The one release whose translation is known to work.
_VERSION = "0.9.8"
_REMEDY = "pip install 'txmirror[txzookeeper]'"


class _Loader(SourceFileLoader):
    """A loader that translates modules of Python 2. It does not use ``__pycache__``, which may contain other code."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the compiled translation of the module."""
        path = self.get_filename(fullname)
        text = translated(self.get_data(path), path)
        code: CodeType = compile(text, path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    """A finder of txzookeeper's modules only."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of txzookeeper, and None for others. See ``importlib.abc.MetaPathFinder``."""
        if fullname.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


_finder = _Finder()


def install(reactor: IReactorTime | None = None) -> None:
    """Make ``import txzookeeper`` and ``import zookeeper`` work in this process from now on.

    The first is the package of that name, translated when it is imported. The second is :mod:`txmirror.compat.zookeeper`, in
    place of the binding to the C library. Further calls only change the reactor.

    :param reactor: the reactor of the connections of ``zookeeper``; the global one if None. (txzookeeper itself always uses
        the global one.)
    :raises ImportError: txzookeeper or fissix is not installed, txzookeeper is another version than the one that is known to
        translate, or another module with the name ``zookeeper`` was imported before.
    """
    for name in (_PACKAGE, "fissix"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise ImportError(f"{name} is not installed: {_REMEDY}", name=name) from None
        if name == _PACKAGE and version != _VERSION:
            raise ImportError(
                f"txzookeeper {version} is not known to translate to Python 3, {_VERSION} is: {_REMEDY}", name=name
            )
    there = sys.modules.get("zookeeper")
    if there not in (None, zookeeper):
        raise ImportError(f"another module with the name zookeeper was imported before: {there!r}", name="zookeeper")
    zookeeper.use(reactor)
    sys.modules["zookeeper"] = zookeeper
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
