"""An ensemble whose followers can lag: each server reaches each other through a proxy of its own, which stalls what the leader sends.

All servers must have the same configuration, in which each has a host name. So each Java process has a file of hosts of its own, in which
the names of the others are the addresses of its proxies.
"""

from __future__ import annotations

import re
import threading
import time

from proxy import Proxy

from txmirror.test.ensemble import ZooKeeperEnsemble, ZooKeeperMember

#: Seconds for a follower to catch up.
_LIMIT = 10.0


def _zxid(member: ZooKeeperMember) -> int:
    """Return the last transaction that a server has processed; 0 if it does not serve."""
    try:
        found = re.search(r"^Zxid: 0x([0-9a-f]+)$", member.four_letter("srvr"), re.MULTILINE)
    except OSError:
        return 0
    return 0 if found is None else int(found[1], 16)


def _address(member: ZooKeeperMember) -> str:
    return f"127.0.1.{member.number}"


class LaggingEnsemble(ZooKeeperEnsemble):
    """Three servers. The leader drops a follower that lags for more than 2.5 seconds."""

    def __init__(self) -> None:
        super().__init__()
        #: The proxies of a server, and those to it.
        self._proxies: dict[int, list[Proxy]] = {member.number: [] for member in self.members}
        self._before: dict[int, list[Proxy]] = {member.number: [] for member in self.members}
        for member in self.members:
            hosts = {member.number: _address(member)}
            for other in self.members:
                if other is not member:
                    hosts[other.number] = f"127.0.{member.number + 1}.{other.number}"
                    for port in map(int, other.server.split(":")[1:3]):
                        proxy = Proxy(port, _address(other), (hosts[other.number], port))
                        self._proxies[member.number].append(proxy)
                        self._before[other.number].append(proxy)
            lines = [f"{address} server-{number}\n" for number, address in hosts.items()]
            (member.home / "hosts").write_text("".join(lines))
            member.jvm_options.append(f"-Djdk.net.hosts.file={member.home / 'hosts'}")
        for member in self.members:
            for other in self.members:
                position = member.configuration.index(f"server.{other.number}={other.server}")
                _, _, ports = other.server.partition(":")
                member.configuration[position] = f"server.{other.number}=server-{other.number}:{ports}"

    def lag(self, member: ZooKeeperMember) -> None:
        """Let a follower see nothing new, until :meth:`catch_up`. It goes on to answer reads."""
        for each in self._proxies[member.number]:
            each.stall()

    def catch_up(self, member: ZooKeeperMember) -> None:
        """Let a follower see all that it has missed."""
        for each in self._proxies[member.number]:
            each.resume()

    def crash(self, member: ZooKeeperMember) -> None:
        """Kill a server. The others are refused when they connect to it, as without proxies."""
        member.kill()
        for each in self._before[member.number]:
            each.cut(refuse=True)

    def recover(self, member: ZooKeeperMember) -> None:
        """Start a server again, and wait until it serves."""
        member.launch()
        for each in self._before[member.number]:
            each.open()
        member.wait_until_serving()

    def agrees(self) -> bool:
        """Wait until all that the leader has committed is at each server that runs. Return False if that takes too long.

        Only then the data of another may be lost: it may be one of the two that a commit needs.
        """
        target = _zxid(self.leader())
        deadline = time.monotonic() + _LIMIT
        while time.monotonic() < deadline:
            if all(_zxid(each) >= target for each in self.members if each.running):
                return True
            threading.Event().wait(0.1)
        return False

    def heal(self) -> None:
        """Heal all links, let paused servers go on, start those that do not run, and wait until all serve."""
        for member in self.members:
            self.catch_up(member)
            for each in self._before[member.number]:
                each.open()
        super().heal()

    def cleanup(self) -> None:
        """End every process, and remove all files. May be called twice."""
        super().cleanup()
        for proxies in self._proxies.values():
            for each in proxies:
                each.close()
