"""How ``import txzookeeper`` works under Python 3: a finder for that package alone, which translates what it finds."""

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
    """Loads a module of Python 2 by its translation. Nothing is read from ``__pycache__``, which has other code."""

    def get_code(self, fullname: str) -> CodeType:
        """Give the module's code."""
        path = self.get_filename(fullname)
        text = translated(self.get_data(path), path)
        code: CodeType = compile(text, path, "exec", dont_inherit=True)
        return code


class _Finder(MetaPathFinder):
    """Finds the modules of txzookeeper, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See ``importlib.abc.MetaPathFinder``."""
        if fullname.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


_finder = _Finder()


def install(reactor: IReactorTime | None = None) -> None:
    """From now on, ``import txzookeeper`` and ``import zookeeper`` work in this process.

    The first is the package of that name, translated as it is imported; the second is
    :mod:`txmirror.compat.zookeeper`, in place of the binding to the C library. It may be called again.

    :param reactor: the reactor of the connections that ``zookeeper`` makes; the global one if None. (txzookeeper itself
        always uses the global one.)
    :raises ImportError: txzookeeper or fissix is missing, txzookeeper is another version than the one that is known to
        translate, or another module by the name of ``zookeeper`` was imported already.
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
        raise ImportError(f"another module by the name of zookeeper was imported already: {there!r}", name="zookeeper")
    zookeeper.use(reactor)
    sys.modules["zookeeper"] = zookeeper
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
