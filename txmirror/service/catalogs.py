"""The catalogs of services that readers share: one for each mirror and root."""

from __future__ import annotations

from collections import Counter

import attrs

from txmirror import paths
from txmirror.catalog import Catalog
from txmirror.mirror import Mirror
from txmirror.service.mirrors import MirrorSource


@attrs.frozen(eq=False)
class CatalogUse:
    """A use of a catalog, and of its mirror, until :meth:`release`."""

    mirror: Mirror
    catalog: Catalog
    _source: MirrorSource
    _catalogs: Catalogs

    def release(self) -> None:
        """End this use. The last one closes the catalog."""
        self._catalogs.release(self.catalog)
        self._source.release()


class Catalogs:
    """Makes a catalog when it is used for the first time. All that read the same services by the same mirror share it."""

    def __init__(self) -> None:
        self._catalogs: dict[tuple[Mirror, str], Catalog] = {}
        self._users: Counter[Catalog] = Counter()

    def acquire(self, source: MirrorSource, root: str) -> CatalogUse | None:
        """Use the catalog of the services below ``root``, by the mirror of ``source``; None if there is no mirror yet."""
        mirror = source.acquire()
        if mirror is None:
            return None
        key = mirror, paths.normalise(root)
        catalog = self._catalogs.get(key)
        if catalog is None:
            catalog = self._catalogs[key] = Catalog(mirror, root)
        self._users[catalog] += 1
        return CatalogUse(mirror, catalog, source, self)

    def release(self, catalog: Catalog) -> None:
        """End one use of a catalog; see :class:`CatalogUse`."""
        self._users[catalog] -= 1
        if not self._users[catalog]:
            del self._users[catalog]
            self._catalogs = {key: each for key, each in self._catalogs.items() if each is not catalog}
            catalog.close()
