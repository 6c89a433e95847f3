"""Three of Debian's real ZooKeeper servers, run as an ensemble for the integration tests.

As with a single server (:mod:`txmirror.test.zookeeper`), calls block.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import threading
import time
from collections.abc import Sequence
from typing import ClassVar

from txmirror.test.zookeeper import JVM_OPTIONS, ServerFailed, ZooKeeperProcess, free_ports

__all__ = ["SUPERUSER", "ZooKeeperEnsemble", "ZooKeeperMember", "shared_ensemble"]

#: The credentials for the scheme ``digest`` of whoever may do everything, such as to change the ensemble.
SUPERUSER = b"super:for tests only"

_ELECTION_TIMEOUT = 15.0
_CONFIGURATION = (
    "initLimit=10",
    "syncLimit=5",
    "standaloneEnabled=false",
    "reconfigEnabled=true",
)


def _super_digest() -> str:
    digest = base64.b64encode(hashlib.sha1(SUPERUSER, usedforsecurity=False).digest()).decode("ascii")
    return f"super:{digest}"


@functools.cache
def shared_ensemble() -> ZooKeeperEnsemble:
    """The ensemble that tests of one run share: started when first asked for, stopped when the interpreter exits.

    A test that wounds it calls :meth:`ZooKeeperEnsemble.heal` in the end; one that wipes it makes its own.

    :raises SkipTest: see :func:`txmirror.test.zookeeper.check_available`.
    :raises ServerFailed: it is required and missing, or did not start.
    """
    ensemble = ZooKeeperEnsemble()
    atexit.register(ensemble.cleanup)
    ensemble.start()
    return ensemble


class ZooKeeperMember(ZooKeeperProcess):
    """One server of an ensemble. It serves once it leads or follows, and so :meth:`start` needs a quorum.

    :param number: its number in the ensemble.
    :ivar server: its address for the others, as the value of ``server.<number>`` in ``zoo.cfg``.
    """

    _serving_modes: ClassVar[frozenset[str]] = frozenset({"leader", "follower"})

    def __init__(self, number: int) -> None:
        # In zoo.cfg the latter would get a prefix, and not be found.
        superuser = f"-Dzookeeper.DigestAuthenticationProvider.superDigest={_super_digest()}"
        super().__init__((*JVM_OPTIONS, superuser, "-Dreadonlymode.enabled=true"))
        self.number = number
        quorum_port, election_port = free_ports(2)
        self.server = f"127.0.0.1:{quorum_port}:{election_port}:participant;127.0.0.1:{self.port}"

    def launch(self) -> None:
        """Start the server without waiting, as the one with its number."""
        self._data.mkdir(exist_ok=True)
        (self._data / "myid").write_text(f"{self.number}\n")
        super().launch()


class ZooKeeperEnsemble:
    """Servers on loopback that elect a leader, each with a port and a data folder of its own that outlast its restarts.

    They can be reconfigured (by :data:`SUPERUSER`), and can be made to serve readers without a quorum. The caller must
    call :meth:`cleanup` at the end.

    :param size: how many servers.
    :param configuration: lines for ``zoo.cfg``, after those that every ensemble here has. Readers are served without a
        quorum only with ``localSessionsEnabled=true``, by which a session cannot move from one server to another until
        it has made an ephemeral (with ``localSessionsUpgradingEnabled=true``).
    :ivar members: the servers, to kill, to pause and to start one by one.
    :raises SkipTest: see :func:`txmirror.test.zookeeper.check_available`.
    :raises ServerFailed: it is required and not installed.
    """

    def __init__(self, size: int = 3, configuration: Sequence[str] = ()) -> None:
        self.members = [ZooKeeperMember(number) for number in range(1, size + 1)]
        servers = [f"server.{member.number}={member.server}" for member in self.members]
        for member in self.members:
            member.configuration += [*_CONFIGURATION, *configuration, *servers]

    @property
    def address(self) -> str:
        """The addresses of all servers, as ``127.0.0.1:port,127.0.0.1:port,127.0.0.1:port``."""
        return ",".join(member.address for member in self.members)

    def start(self) -> None:
        """Start every server that does not run, and wait until all serve.

        :raises ServerFailed: one did not.
        """
        for member in self.members:
            if not member.running:
                member.launch()
        for member in self.members:
            member.wait_until_serving()

    def leader(self) -> ZooKeeperMember:
        """Find the server that leads, waiting for an election to end.

        :raises ServerFailed: none leads within 15 seconds.
        """
        deadline = time.monotonic() + _ELECTION_TIMEOUT
        while time.monotonic() < deadline:
            for member in self.members:
                if member.mode(timeout=1.0) == "leader":
                    return member
            threading.Event().wait(0.05)
        raise ServerFailed("the ensemble has no leader")

    def followers(self) -> list[ZooKeeperMember]:
        """Find the servers that follow, as :meth:`leader`."""
        leader = self.leader()
        return [member for member in self.members if member is not leader and member.mode() == "follower"]

    def heal(self) -> None:
        """Let paused servers go on, start those that do not run, and wait until all serve."""
        for member in self.members:
            if member.paused:
                member.resume()
        self.start()

    def kill(self) -> None:
        """End every server that runs, as a crash would."""
        for member in self.members:
            if member.running:
                member.kill()

    def wipe(self) -> None:
        """Forget all data of an ensemble that does not run: the next start is a new data generation."""
        for member in self.members:
            member.wipe()

    def cleanup(self) -> None:
        """End every process, and remove all files. May be called twice."""
        for member in self.members:
            member.cleanup()
