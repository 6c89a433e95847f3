"""The services of a storm's daemons, as their configuration has them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from random import Random

import attrs

from txmirror.checks import Status

#: The znode below which all services are.
SERVICES = "/services"
#: The name of the service for which all hosts contend.
SHARED = "shared"
#: The names of the services of each host.
_NAMES = ("a", "b", "c", "d")
#: The parents of further znodes, each with its codec.
_ALSO = {"/also": "ndsr", "/nerve": "nerve", "/curator/shop": "curator"}
#: The parents of all znodes of services.
PARENTS = (SERVICES, *_ALSO)


@attrs.frozen
class StormService:
    """A service of one host."""

    name: str
    path: str
    number: int
    """The number in its data."""
    checks: int
    require: str
    on_stop: str
    takeover: str
    depends: tuple[str, ...]
    also: tuple[str, ...]
    """The parents of its further znodes."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of its znodes, its own first."""
        return (self.path, *(f"{parent}/{self.path.rpartition('/')[2]}" for parent in self.also))

    def is_up(self, statuses: Mapping[str, Status]) -> bool:
        """Return whether its checks want it to be registered.

        :param statuses: the last status of each check.
        """
        passing = [statuses.get(name) is Status.OK for name in self.check_names]
        return all(passing) if self.require == "all" else any(passing) or not passing

    @property
    def check_names(self) -> list[str]:
        """The names of its checks."""
        return [f"c{number}" for number in range(self.checks)]

    def to_toml(self) -> str:
        """Return its table of the configuration."""
        values: dict[str, object] = {
            "name": self.name,
            "path": SERVICES,
            "node": self.path.rpartition("/")[2],
            "data.n": self.number,
            "port": 1,
            "address": "127.0.0.1",
            "require": self.require,
            "on_stop": self.on_stop,
            "takeover": self.takeover,
            "depends": list(self.depends),
            "flap_hold.downs": 0,
        }
        lines = ["[[service]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        for name in self.check_names:
            lines += ["[[service.check]]", f'name = "{name}"', 'type = "ttl"', 'ttl = "1d"']
        for parent in self.also:
            node = self.path.rpartition("/")[2]
            lines += ["[[service.also]]", f'path = "{parent}"', f'node = "{node}"', f'codec = "{_ALSO[parent]}"']
            if _ALSO[parent] == "curator":
                lines.append("data = {}")
        return "\n".join(lines)


def choose_services(random: Random, host: str, numbers: Iterator[int]) -> list[StormService]:
    """Return services for a host, chosen at random.

    :param numbers: the numbers for their data.
    """
    names = sorted(random.sample(_NAMES, random.randint(1, len(_NAMES))))
    chosen = [_choose(random, name, f"{host}-{name}:1", next(numbers), names) for name in names]
    if random.random() < 0.6:
        chosen.append(_choose(random, SHARED, f"{SHARED}:1", next(numbers), names))
    return chosen


def _choose(random: Random, name: str, node: str, number: int, others: Collection[str]) -> StormService:
    earlier = [each for each in others if each < name]
    return StormService(
        name=name,
        path=f"{SERVICES}/{node}",
        number=number,
        checks=random.choice((0, 1, 1, 1, 2)),
        require=random.choice(("all", "any")),
        on_stop=random.choice(("deregister", "keep-session")),
        takeover=random.choice(("same-instance", "wait")),
        depends=(random.choice(earlier),) if earlier and random.random() < 0.2 else (),
        also=tuple(parent for parent in _ALSO if random.random() < 0.2),
    )


def dependants(services: Iterable[StormService], name: str) -> list[str]:
    """Return the names of the services that depend on one, directly or not."""
    found = [name]
    for each in services:
        # It depends only on those before it.
        if not set(found).isdisjoint(each.depends):
            found.append(each.name)
    return found[1:]
