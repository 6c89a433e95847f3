"""Any history of changes, outages and readers: in the end each client knows all that the catalog has, and the server."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Catalog
from txmirror.errors import NodeExistsException, NoNodeException, NotEmptyException
from txmirror.test.catalog.case import ROOT
from txmirror.test.hypothesis_profiles import at_most
from txmirror.test.web import sse
from txmirror.test.web.sse import EventClient
from txmirror.testing import World
from txmirror.web import make_application
from txmirror.web.events import EventLog, EventStreams, snapshot, stream
from txmirror.web.instances import instance_to_json

_SERVICES = ["db", "web"]
_SERVICE = st.sampled_from(_SERVICES)
_NODES = ["a:1", "b:1", "c:1", "d:1", "e:1"]
_NODE = st.tuples(_SERVICE, st.sampled_from(_NODES)).map("/".join)
_CLIENT = st.integers(0, 2)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["create", "set", "create", "delete"]), _NODE),
        st.tuples(st.just("replace"), _NODE),
        st.tuples(st.just("remove"), _SERVICE),
        st.tuples(st.sampled_from(["disconnect", "reconnect", "expire"]), st.just("")),
        st.tuples(st.just("pass"), st.sampled_from(["0.01", "0.06", "1", "20"])),
        st.tuples(st.sampled_from(["leave", "come", "come", "forget"]), _CLIENT),
        st.tuples(st.just("read"), st.tuples(_CLIENT, st.integers(1, 2_000))),
        st.tuples(st.just("read"), st.tuples(_CLIENT, st.just(100_000))),
    ),
    min_size=10,
    max_size=60,
)


class _History:
    """A world with a catalog and three clients: the last one wants one service only."""

    def __init__(self, world: World, most_bytes: int) -> None:
        self.world = world
        self.other = world.client(session_timeout=4000.0)
        self.mirror = world.mirror(session_timeout=4.0)
        self.catalog = Catalog(self.mirror, ROOT)
        self.log = EventLog(self.catalog, most_bytes=most_bytes)
        for service in _SERVICES:
            for node in _NODES:
                self.change("create", f"{ROOT}/{service}/{node}", b"{}")
        self.application = make_application(EventStreams(self.log).mount)
        self.clients = [
            EventClient(self.application, query, reactor=world.reactor) for query in ("", "", "?service=web")
        ]
        self.present = [True, True, True]
        self.written = 0

    def step(self, kind: str, argument: Any) -> None:
        """Let something happen."""
        self.written += 1
        if kind in ("create", "set", "delete", "replace", "remove"):
            self.change(kind, f"{ROOT}/{argument}", b'{"version": %d}' % self.written)
        elif kind == "disconnect":
            self.world.disconnect(self.mirror)
        elif kind == "reconnect":
            self.world.reconnect(self.mirror)
        elif kind == "expire":
            session = self.mirror.client.session_id
            if session in self.world.server.sessions:
                self.world.server.expire_session(session)
        elif kind == "pass":
            self.world.pass_time(float(argument))
        elif kind == "read":
            number, size = argument
            if self.present[number]:
                self.clients[number].read(size)
        elif kind == "forget":
            self.clients[argument].last_id = ""
        elif kind in ("leave", "come") and self.present[argument] is (kind == "leave"):
            self.present[argument] = kind == "come"
            client = self.clients[argument]
            (client.connect if kind == "come" else client.disconnect)()
        self.world.settle()

    def change(self, kind: str, path: str, data: bytes) -> None:
        """Change something at the server."""
        service = path.rpartition("/")[0] if kind != "remove" else path
        for each in (ROOT, service) if kind == "create" else ():
            self.ignore(self.other.create, each)
        if kind in ("delete", "replace"):
            self.ignore(self.other.delete, path)
        if kind in ("create", "replace"):
            self.ignore(self.other.create, path, data)
        elif kind == "set":
            self.ignore(self.other.set, path, data)
        elif kind == "remove":
            self.ignore(self.other.delete, path)

    def ignore(self, function: Any, *arguments: Any) -> None:
        """Send a request that may fail."""
        with contextlib.suppress(NodeExistsException, NoNodeException, NotEmptyException):
            self.world.result(function(*arguments))

    def finish(self) -> None:
        """Let all be in reach, and all clients read all."""
        self.world.reconnect(self.mirror)
        self.world.pass_time(60.0)
        for number, client in enumerate(self.clients):
            if not self.present[number] or client.transport.disconnecting:
                if self.present[number]:
                    client.disconnect()
                client.connect()
        self.world.pass_time(1.0)
        for client in self.clients:
            while client.transport.value():
                client.read(997)
                self.world.settle()

    def server(self) -> dict[str, list[str]]:
        """Return the names of the nodes at the server."""
        if self.world.result(self.other.exists(ROOT)) is None:
            return {}
        services = self.world.result(self.other.get_children(ROOT))
        nodes = {name: self.world.result(self.other.get_children(f"{ROOT}/{name}")) for name in services}
        return {name: sorted(each) for name, each in nodes.items()}


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        # So that a snapshot has many pieces, and clients are slow.
        self.patch(stream, "_MOST", 300)
        self.patch(snapshot, "_MOST", 2)
        self.patch(sse, "_BUFFER", 600)

    @at_most(30)
    @given(_STEPS, st.sampled_from([1_500, 6_000, 50_000]))
    def test_converges(self, steps: list[tuple[str, Any]], most_bytes: int) -> None:
        """In the end all clients know the same as the catalog, which has what the server has."""
        with World() as world:
            history = _History(world, most_bytes)
            for kind, argument in steps:
                history.step(kind, argument)
            history.finish()
            catalog = history.catalog
            self.assertEqual({name: list(each.names) for name, each in catalog.services.items()}, history.server())
            expected = {
                name: {each.name: instance_to_json(each) for each in service.entries.values()}
                for name, service in catalog.services.items()
            }
            self.assertEqual(list(catalog.names), sorted(expected))
            for each in history.clients[:2]:
                self.assertEqual(each.services, expected)
            web = {"web": expected["web"]} if "web" in expected else {}
            self.assertEqual(history.clients[2].services, web)
            for each in history.clients:
                each.disconnect()
            history.log.close()
            catalog.close()
