"""Load a configuration: read the files, fill in the defaults and placeholders, and check everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from txmirror.configuration.addresses import UNIXAddress
from txmirror.configuration.consistency import (
    Outline,
    Placed,
    check_daemon,
    check_outputs,
    check_services,
    check_session,
)
from txmirror.configuration.defaults import Defaults
from txmirror.configuration.dns import DNS
from txmirror.configuration.errors import InvalidValue, Place, Problems, unknown_keys
from txmirror.configuration.http import HTTPServer
from txmirror.configuration.model import Configuration, Daemon, Host, Service, ZooKeeper
from txmirror.configuration.sources import Source, SourceReader
from txmirror.configuration.structuring import Structurer
from txmirror.configuration.values import Values
from txmirror.configuration.watches import Watch
from txmirror.machine import Machine
from txmirror.placeholders import Placeholders
from txmirror.printable import quote

_SERVICE, _WATCH = "service", "watch"
#: The tables that only one file has.
_TABLES = ("zookeeper", "host", "daemon", "dns", "http", "defaults")
#: The keys at the top of a file, and of an included one.
_KEYS = ("version", "include", *_TABLES, _SERVICE, _WATCH)
_INCLUDED_KEYS = ("version", _SERVICE, _WATCH)


def load(path: str | Path, machine: Machine | None = None) -> Configuration:
    """Load a configuration from a file, or from the files ``*.toml`` of a folder.

    It reads files, and waits for nothing else.

    :param machine: the facts about this machine; found out if None.
    :raises ConfigurationError: it is invalid; the exception has all errors.
    """
    problems = Problems()
    reader = SourceReader(problems)
    reader.read(Path(path))
    return _Loader(reader.sources, Machine.this() if machine is None else machine, problems).load()


@attrs.frozen
class _Table:
    """A table that only one file has, empty if none has it."""

    place: Place
    folder: Path
    table: dict[str, Any]
    found: bool = True
    """True if a file has it."""


class _Loader:
    """Makes a configuration of the files that were read.

    :param problems: collects the errors; it may have some already.
    """

    def __init__(self, sources: list[Source], machine: Machine, problems: Problems) -> None:
        self._sources = sources
        self._machine = machine
        self._problems = problems
        self._structurer = Structurer()

    def load(self) -> Configuration:
        """Return the configuration.

        :raises ConfigurationError: it is invalid.
        """
        for source in self._sources:
            self._check_keys(source)
        tables = {name: self._find_table(name) for name in _TABLES}
        # Other strings may refer to [host], and the address to [zookeeper].
        values = Values(self._machine)
        named = {"name": self._machine.host_name, **tables["host"].table}
        host = self._build(attrs.evolve(tables["host"], table=named), Host, values.outside_services())
        values = attrs.evolve(values, host=host)
        zookeeper = self._build(tables["zookeeper"], ZooKeeper, values.outside_services())
        daemon = self._build(tables["daemon"], Daemon, values.outside_services())
        # Without the tables there are no servers; an empty table has the defaults.
        dns = self._build(tables["dns"], DNS, values.outside_services()) if tables["dns"].found else None
        http = self._build(tables["http"], HTTPServer, values.outside_services()) if tables["http"].found else None
        values = attrs.evolve(values, zookeeper=zookeeper)
        outlines: list[Outline] = []
        services = list(self._load_services(tables["defaults"], values, outlines))
        check_services(outlines, self._problems)
        if daemon is not None:
            check_daemon(daemon, services, self._problems)
        if zookeeper is not None:
            check_session(zookeeper, services, self._problems)
        watches = list(self._load_watches(values))
        sources = {f"the configuration file {source.name}": source.name for source in self._sources}
        check_outputs(watches, {**sources, **_own_files(zookeeper, daemon, http)}, self._problems)
        self._problems.raise_any()
        return Configuration(
            zookeeper=zookeeper,
            host=host,
            daemon=daemon,
            services=tuple(service for _, service in services),
            watches=tuple(watch for _, watch in watches),
            dns=dns,
            http=http,
            sources=tuple(source.name for source in self._sources),
        )

    def _check_keys(self, source: Source) -> None:
        version = source.table.get("version", 1)
        if type(version) is not int or version != 1:
            self._problems.add(source.place("version"), f"{quote(version)} is not 1, the only version there is")
        if source.included:
            for key in source.table:
                if key in _KEYS and key not in _INCLUDED_KEYS:
                    self._problems.add(source.place(key), f"an included file has only [[{_SERVICE}]] and [[{_WATCH}]]")
        self._problems.add_all(source.place(), InvalidValue(*unknown_keys(source.table, _KEYS)))
        for key in (_SERVICE, _WATCH):
            tables = source.table.get(key, [])
            if not isinstance(tables, list):
                self._problems.add(source.place(key), f"{quote(tables)} is no array of tables: write [[{key}]]")

    def _find_table(self, name: str) -> _Table:
        having = [source for source in self._sources if name in source.table and not source.included]
        for source in having[1:]:
            self._problems.add(source.place(name), f"{having[0].name} has this table too")
        if not having:
            return _Table(Place("", name), Path(), {}, found=False)
        place, table = having[0].place(name), having[0].table[name]
        if not isinstance(table, dict):
            self._problems.add(place, f"{quote(table)} is no table")
            table = {}
        return _Table(place, having[0].folder, table)

    def _build(self, found: _Table, kind: type[Any], placeholders: Placeholders) -> Any:
        """Return an instance of a class for a table; None if it has errors."""
        try:
            return self._structurer.structure(found.table, kind, found.folder, placeholders)
        except InvalidValue as error:
            self._problems.add_all(found.place, error)
            return None

    def _list_tables(self, source: Source, key: str) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Yield the tables of an array."""
        tables = source.table.get(key)
        for index, table in enumerate(tables if isinstance(tables, list) else []):
            place = source.place(f"{key}[{index}]")
            if isinstance(table, dict):
                yield place, table
            else:
                self._problems.add(place, f"{quote(table)} is no table")

    def _load_watches(self, values: Values) -> Iterator[tuple[Place, Watch]]:
        """Yield the watches without errors."""
        placeholders = values.outside_services()
        for source in self._sources:
            for place, table in self._list_tables(source, _WATCH):
                try:
                    yield place, self._structurer.structure(table, Watch, source.folder, placeholders)
                except InvalidValue as error:
                    self._problems.add_all(place, error)

    def _load_services(self, found: _Table, values: Values, outlines: list[Outline]) -> Iterator[Placed]:
        """Yield the services without errors, and add the outline of each service to ``outlines``."""
        defaults = Defaults(found.table)
        self._problems.add_all(found.place, InvalidValue(*defaults.errors))
        for source in self._sources:
            for place, table in self._list_tables(source, _SERVICE):
                filled = defaults.fill(table)
                placeholders = values.of_service(filled.table)
                try:
                    service = self._structurer.structure(filled.table, Service, source.folder, placeholders)
                except InvalidValue as error:
                    outlines.append(Outline.of_table(place, table, placeholders))
                    for relative, reason in error.errors:
                        origin = filled.origin(relative)
                        where = place.below(relative) if origin is None else found.place.below(origin)
                        self._problems.add(where, reason)
                else:
                    outlines.append(Outline.of_service(place, service))
                    yield place, service


def _own_files(zookeeper: ZooKeeper | None, daemon: Daemon | None, http: HTTPServer | None) -> dict[str, str | None]:
    """Return the files that the daemon itself writes, by their keys."""
    keys = ("control", "maintenance_file", "heartbeat_file")
    files = {} if daemon is None else {f"daemon.{key}": getattr(daemon, key) for key in keys}
    if http is not None and isinstance(http.listen, UNIXAddress):
        files["http.listen"] = http.listen.path
    return files if zookeeper is None else {**files, "zookeeper.state_file": zookeeper.state_file}
