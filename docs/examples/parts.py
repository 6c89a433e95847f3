"""A program with the parts of the daemon in its own tree of services: state file, registrations, checks and control socket.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from txmirror import Mirror
from txmirror.checks import CheckSettings, ChecksService, ServiceCheck, ServiceHealth, State, TCPCheck, Transition
from txmirror.client import ZooKeeperClient
from txmirror.configuration import load
from txmirror.service import ControlService, Daemon, Offer, RegistrationsService, SessionSettings, StateService
from txmirror.types import SessionTicket

CONFIGURATION = """
[zookeeper]
servers = "{servers}"
[[service]]
name = "mail"
path = "/services/mail"
node = "server1:25"
"""


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    with tempfile.TemporaryDirectory() as folder:
        await run_parts(reactor, servers, Path(folder))
        await run_daemon(reactor, servers, Path(folder))


async def run_parts(reactor: Any, servers: str, folder: Path) -> None:
    def make_client(session: SessionTicket | None) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session=session, reactor=reactor)

    # After a crash the next process takes over the session of this file.
    state = StateService(str(folder / "session"), reactor)
    registrations = RegistrationsService(SessionSettings(make_client, servers, state=state), reactor=reactor)
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
    check = TCPCheck(f"tcp:127.0.0.1:{port.getHost().port}", reactor=reactor)
    health = ServiceHealth("web", [ServiceCheck("tcp", check, CheckSettings(interval=0.2))])
    checks = ChecksService([health], reactor=reactor)
    offer = Offer("/services/web/server1:80", {"version": "1.4.2"})
    registrations.declare({"web": offer.path})
    transitions: DeferredQueue[Transition] = DeferredQueue()

    def changed(transition: Transition) -> None:
        if transition.after is State.UP:
            registrations.keep("web", offer)
        else:
            registrations.withdraw("web")
        transitions.put(transition)

    health.watch("registration", changed)
    program = MultiService()
    for part in (state, registrations, checks):
        part.setServiceParent(program)
    program.startService()

    print("the service is", (await transitions.get()).after.value)
    mirror = await registrations.when_connecting()
    await wait_for_znode(mirror, offer.path)
    print("servers:", await mirror.get("/services/web").children())
    # All parts may stop at once: the state file waits for the registrations.
    await program.stopService()
    print("there is a session for the next process:", (folder / "session").exists())
    await port.stopListening()


async def wait_for_znode(mirror: Mirror, path: str) -> None:
    values: DeferredQueue[object] = DeferredQueue()
    mirror.get(path).addValueWatcher("main", values.put)
    while await values.get() is None:
        pass


async def run_daemon(reactor: Any, servers: str, folder: Path) -> None:
    # The whole daemon is a service, too. The commands "txmirror status", "why" and so on use the control socket.
    configuration = folder / "services.toml"
    configuration.write_text(CONFIGURATION.format(servers=servers))
    daemon = Daemon(load(configuration), load=lambda: load(configuration), reactor=reactor)
    control = ControlService(daemon, str(folder / "control"), None, reactor)
    program = MultiService()
    for part in (daemon, control):
        part.setServiceParent(program)
    program.startService()
    await wait_for_znode(await daemon.registrations.when_connecting(), "/services/mail/server1:25")
    print("the mail service is", daemon.supervisor.services["mail"].condition.value)
    await program.stopService()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
