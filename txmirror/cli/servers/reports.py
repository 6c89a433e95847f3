"""Read the answers of a server to four-letter words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from txmirror.cli.servers.answers import Asker, NoAnswer, NotAllowed
from txmirror.cli.together import together
from txmirror.client import Server

#: The words that a report needs, each with what is missing without it.
WORDS: Final = {"srvr": "the state", "mntr": "the watches", "conf": "the limits"}
_LATENCY: Final = re.compile(r"([0-9.]+)/([0-9.]+)/([0-9.]+)")
_VERSION: Final = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
#: The abilities of servers that clients may miss, by the first version that has them.
_ABILITIES: Final = (
    ((3, 5), "containers, TTL nodes, TLS and reconfiguration"),
    ((3, 6), "persistent watches and reads of many nodes in one request"),
    ((3, 7), "whoAmI"),
)


@attrs.define
class ServerReport:
    """The answers of one server. All are None, and the mappings empty, as far as they are unknown."""

    server: Server
    problem: str | None = None
    """The reason why it does not answer."""
    refused: list[str] = attrs.field(factory=list)
    """The words that it does not allow."""
    round_trip: float | None = None
    """The time until it answered, in seconds."""
    srvr: Mapping[str, str] = attrs.field(factory=dict)
    mntr: Mapping[str, str] = attrs.field(factory=dict)
    conf: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def mode(self) -> str | None:
        """Its mode: ``leader``, ``follower``, ``observer``, ``standalone`` or ``read-only``."""
        return self.srvr.get("Mode") or self.mntr.get("zk_server_state")

    @property
    def version(self) -> str | None:
        """Its version, without the commit."""
        text = self.srvr.get("Zookeeper version") or self.mntr.get("zk_version")
        return None if text is None else re.split(r"[,\s]|-[0-9a-f]{8,}|-(?!\w*(?:alpha|beta|rc))", text)[0]

    @property
    def zxid(self) -> int | None:
        """Its last transaction."""
        text = self.srvr.get("Zxid", "")
        return int(text, 16) if re.fullmatch(r"0x[0-9a-f]{1,16}", text) else None

    @property
    def latency(self) -> tuple[float, float] | None:
        """The average and the longest time of its requests since it was started, in milliseconds."""
        match = _LATENCY.match(self.srvr.get("Latency min/avg/max", ""))
        return None if match is None else (float(match[2]), float(match[3]))

    @property
    def lacks(self) -> list[str]:
        """The abilities that its version does not have."""
        match = _VERSION.match(self.version or "")
        if match is None:
            return []
        version = int(match[1]), int(match[2])
        return [f"{what} (from {first[0]}.{first[1]} on)" for first, what in _ABILITIES if version < first]

    def number(self, *names: str) -> int | None:
        """Return a number from ``srvr`` or ``mntr``, by its name in each; None if it is unknown."""
        for name in names:
            text = self.srvr.get(name) or self.mntr.get(name) or self.conf.get(name) or ""
            if re.fullmatch(r"-?\d+", text):
                return int(text)
        return None

    def value(self) -> dict[str, Any]:
        """Return the report for JSON."""
        latency = self.latency
        return {
            "server": str(self.server),
            "problem": self.problem,
            "mode": self.mode,
            "version": self.version,
            "zxid": None if self.zxid is None else f"{self.zxid:#x}",
            "round_trip_ms": None if self.round_trip is None else round(self.round_trip * 1000, 3),
            "latency_ms": None if latency is None else {"average": latency[0], "longest": latency[1]},
            "connections": self.number("Connections", "zk_num_alive_connections"),
            "outstanding": self.number("Outstanding", "zk_outstanding_requests"),
            "nodes": self.number("Node count", "zk_znode_count"),
            "watches": self.number("zk_watch_count"),
            "ephemerals": self.number("zk_ephemerals_count"),
            "data_bytes": self.number("zk_approximate_data_size"),
            "synced_followers": self.number("zk_synced_followers"),
            "lacks": self.lacks,
            "refused_words": self.refused,
        }


async def report_on(asker: Asker, server: Server) -> ServerReport:
    """Ask one server. It never fails."""
    report = ServerReport(server)
    begun = asker.reactor.seconds()
    try:
        report.srvr = await asker.ask(server, "srvr")
    except NotAllowed:
        report.refused.append("srvr")
    except NoAnswer as error:
        report.problem = str(error)
        return report
    report.round_trip = asker.reactor.seconds() - begun
    for word in ("mntr", "conf"):
        try:
            setattr(report, word, await asker.ask(server, word))
        except NotAllowed:
            report.refused.append(word)
        except NoAnswer as error:
            report.problem = str(error)
    return report


async def report_on_all(asker: Asker, servers: tuple[Server, ...]) -> list[ServerReport]:
    """Ask several servers at the same time. It never fails."""
    return await together(report_on(asker, server) for server in servers)
