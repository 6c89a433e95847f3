"""What kazoo finds at the embedded server is what it finds at the real one: operations, watches, transactions, sessions.

The recipes are in ``test_kazoo_recipes``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    BadArgumentsError,
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    InvalidACLError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    ReconfigDisabledError,
    RolledBackError,
    RuntimeInconsistency,
    SessionExpiredError,
    UnimplementedError,
)
from kazoo.protocol.states import EventType, KazooState, KeeperState, WatchedEvent, ZnodeStat
from kazoo.recipe.watchers import PatientChildrenWatch
from kazoo.security import (
    ACL,
    CREATOR_ALL_ACL,
    OPEN_ACL_UNSAFE,
    READ_ACL_UNSAFE,
    Id,
    Permissions,
    make_acl,
    make_digest_acl,
)
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.integration.kazoo_case import KazooCase
from txmirror.test.integration.servers import (
    CREDENTIALS,
    PATIENCE,
    OnEmbedded,
    OnReal,
    break_connection,
    end_session,
    wait_for,
)

USER = make_digest_acl(*CREDENTIALS.split(":"), all=True)


class CallContract(KazooCase):
    """The operations, one by one."""

    def test_create(self) -> None:
        """A node is created with its data, and its stat says so."""
        path, stat = self.client.create("/node", b"data", include_data=True)
        self.assertEqual(path, "/node")
        self.assertEqual(self.client.get("/node"), (b"data", stat))
        self.assertEqual(stat.czxid, stat.mzxid)
        self.assertEqual(stat.ctime, stat.mtime)
        self.assertEqual(stat, ZnodeStat(stat.czxid, stat.mzxid, stat.ctime, stat.mtime, 0, 0, 0, 0, 4, 0, stat.czxid))

    def test_create_refused(self) -> None:
        """A node that exists, a missing parent and an ephemeral one are refused, each with an error of its own."""
        self.client.create("/node")
        self.client.create("/mortal", ephemeral=True)
        with self.assertRaises(NodeExistsError):
            self.client.create("/node")
        with self.assertRaises(NoNodeError):
            self.client.create("/missing/node")
        with self.assertRaises(NoChildrenForEphemeralsError):
            self.client.create("/mortal/node")

    def test_make_path(self) -> None:
        """The nodes above a new one are created where they are missing."""
        self.client.create("/one/two/three", b"data", makepath=True)
        self.assertEqual(self.client.get("/one/two/three")[0], b"data")
        self.assertTrue(self.client.ensure_path("/one/four/five"))
        self.assertEqual(sorted(self.client.get_children("/one")), ["four", "two"])
        self.assertEqual(self.client.get("/one/four")[0], b"")

    def test_sequence(self) -> None:
        """Sequential nodes are numbered by their parent's changes, whatever their names, and end in a slash too."""
        self.client.create("/parent")
        paths = [self.client.create(f"/parent/{name}", sequence=True) for name in ("a-", "b-", "")]
        self.assertEqual(paths, ["/parent/a-0000000000", "/parent/b-0000000001", "/parent/0000000002"])
        self.client.delete(paths[0])
        self.assertEqual(self.client.create("/parent/c-", sequence=True), "/parent/c-0000000003")
        self.client.create("/parent/plain")
        self.assertEqual(self.client.create("/parent/c-", sequence=True), "/parent/c-0000000005")

    def test_ephemeral(self) -> None:
        """An ephemeral node shows its session, and goes with it."""
        other = self.make_client()
        other.create("/mortal", ephemeral=True)
        path = other.create("/mortal-", ephemeral=True, sequence=True)
        for name in ("/mortal", path):
            self.assertEqual(self.client.exists(name).ephemeralOwner, other.client_id[0])
        other.stop()
        self.assertEqual(self.client.get_children("/"), [])

    def test_set(self) -> None:
        """Data is replaced at the version that is given, or at any."""
        created = self.client.create("/node", b"one", include_data=True)[1]
        stat = self.client.set("/node", b"second", version=0)
        self.assertEqual((stat.version, stat.dataLength, stat.czxid), (1, 6, created.czxid))
        self.assertGreater(stat.mzxid, stat.czxid)
        self.assertEqual(self.client.get("/node"), (b"second", stat))
        with self.assertRaises(BadVersionError):
            self.client.set("/node", b"third", version=0)
        self.assertEqual(self.client.set("/node", b"third").version, 2)
        with self.assertRaises(NoNodeError):
            self.client.set("/missing", b"")

    def test_delete(self) -> None:
        """A node goes at the version that is given, and while it has no children."""
        self.client.create("/node/child", makepath=True)
        with self.assertRaises(NotEmptyError):
            self.client.delete("/node")
        with self.assertRaises(BadVersionError):
            self.client.delete("/node/child", version=3)
        self.client.delete("/node/child", version=0)
        with self.assertRaises(NoNodeError):
            self.client.delete("/node/child")
        self.client.create("/node/many/more", makepath=True)
        self.client.delete("/node", recursive=True)
        self.assertIsNone(self.client.exists("/node"))

    def test_children(self) -> None:
        """Children are listed, with their parent's stat where it is asked for."""
        self.client.create("/node")
        self.assertEqual(self.client.get_children("/node"), [])
        for name in ("b", "a", "ä"):
            last = self.client.create(f"/node/{name}", include_data=True)[1]
        children, stat = self.client.get_children("/node", include_data=True)
        self.assertEqual(sorted(children), ["a", "b", "ä"])
        self.assertEqual((stat.numChildren, stat.cversion, stat.pzxid, stat.version), (3, 3, last.czxid, 0))
        with self.assertRaises(NoNodeError):
            self.client.get_children("/missing")

    def test_data(self) -> None:
        """Data may be empty or none at all, and large; what is too large costs the connection."""
        self.client.create("/none", None)
        self.client.create("/empty", b"")
        self.client.create("/large", bytes(1_000_000))
        self.assertEqual([self.client.get(path)[0] for path in ("/none", "/empty")], [None, b""])
        self.assertEqual(self.client.get("/large")[0], bytes(1_000_000))
        with self.assertRaises(ConnectionLoss):
            self.client.set("/large", bytes(1_100_000))
        self.assertEqual(self.client.retry(self.client.get, "/large")[1].version, 0)

    def test_paths(self) -> None:
        """A path that is none is refused, and a name may be any that is one."""
        root = self.make_client(root="")
        for path in (f"{self.root}/nul\0", f"{self.root}/control\x01", f"{self.root}/private\ue000"):
            with self.assertRaises(BadArgumentsError):
                root.create(path)
        for name in ("with space", "ünï", "dots...", "zookeeper"):
            self.client.create(f"/{name}", name.encode())
        self.assertEqual(sorted(self.client.get_children("/")), ["dots...", "with space", "zookeeper", "ünï"])

    def test_sync(self) -> None:
        """What is synchronised is answered with its path, be there a node or not."""
        self.assertEqual([self.client.sync("/"), self.client.sync("/missing")], ["/", "/missing"])

    def test_chroot(self) -> None:
        """A client below a node has that for its root."""
        self.client.create("/inner/node", b"data", makepath=True)
        inner = self.make_client(root=f"{self.root}/inner")
        self.assertEqual(inner.get_children("/"), ["node"])
        self.assertEqual(inner.create("/node/mine-", sequence=True), "/node/mine-0000000000")
        self.assertEqual(self.client.get_children("/inner/node"), ["mine-0000000000"])

    def test_pipelined(self) -> None:
        """Requests that are sent together are answered in their order, whatever comes of each."""
        self.client.create("/node")
        asked = [self.client.set_async("/node", b"%d" % number, version=number) for number in range(50)]
        asked.insert(20, self.client.get_async("/missing"))
        with self.assertRaises(NoNodeError):
            asked.pop(20).get(timeout=PATIENCE)
        self.assertEqual([stat.get(timeout=PATIENCE).version for stat in asked], list(range(1, 51)))

    def test_reconfiguration(self) -> None:
        """A server that stands alone lets nobody change its ensemble."""
        with self.assertRaises((ReconfigDisabledError, UnimplementedError)) as caught:
            self.client.reconfig(joining="server.100=0.0.0.0:1:2:observer;0.0.0.0:3", leaving=None, new_members=None)
        self.assertIsInstance(caught.exception, ReconfigDisabledError)

    def test_words(self) -> None:
        """It says that it is there, and which version it is."""
        self.assertEqual(self.client.command(b"ruok"), "imok")
        self.assertEqual(self.client.server_version(), (3, 8, 0))
        self.assertIn("Mode: standalone\n", self.client.command(b"srvr"))


class AclContract(KazooCase):
    """Who may do what."""

    def test_default(self) -> None:
        """A node is open to all, unless it is said otherwise; changes are counted."""
        self.client.create("/node")
        acls, stat = self.client.get_acls("/node")
        self.assertEqual((acls, stat.aversion), (OPEN_ACL_UNSAFE, 0))
        self.assertEqual(self.client.set_acls("/node", READ_ACL_UNSAFE, version=0).aversion, 1)
        self.assertEqual(self.client.get_acls("/node")[0], READ_ACL_UNSAFE)
        with self.assertRaises(NoAuthError):
            self.client.set_acls("/node", OPEN_ACL_UNSAFE)

    def test_refused(self) -> None:
        """A list that is none, credentials of nobody, a wrong version and a missing node are refused."""
        self.client.create("/node")
        for acls in (CREATOR_ALL_ACL, [make_acl("digest", "no digest", all=True)], [make_acl("none", "any", all=True)]):
            with self.assertRaises(InvalidACLError):
                self.client.create("/other", acl=acls)
            with self.assertRaises(InvalidACLError):
                self.client.set_acls("/node", acls)
        with self.assertRaises(BadVersionError):
            self.client.set_acls("/node", OPEN_ACL_UNSAFE, version=7)
        for call in (
            lambda: self.client.set_acls("/missing", OPEN_ACL_UNSAFE),
            lambda: self.client.get_acls("/missing"),
        ):
            with self.assertRaises(NoNodeError):
                call()

    def test_digest(self) -> None:
        """What a user's password protects is open to who has it, whenever they gave it."""
        self.client.create("/node", b"secret", acl=[USER])
        self.assertIsNotNone(self.client.exists("/node"))
        for call in self.each_call("/node"):
            with self.assertRaises(NoAuthError):
                call()
        stranger = self.make_client(auth_data=[("digest", "user:wrong")])
        with self.assertRaises(NoAuthError):
            stranger.get("/node")
        user = self.make_client(auth_data=[("digest", CREDENTIALS)])
        self.assertEqual(user.get("/node")[0], b"secret")
        self.client.add_auth("digest", CREDENTIALS)
        for call in self.each_call("/node"):
            call()
        self.assertEqual(self.client.get_children("/"), ["node"])

    def each_call(self, path: str) -> list[Callable[[], Any]]:
        return [
            lambda: self.client.get(path),
            lambda: self.client.get_children(path),
            lambda: self.client.get_acls(path),
            lambda: self.client.set(path, b"new"),
            lambda: self.client.create(f"{path}/child"),
            lambda: self.client.delete(f"{path}/child"),
            lambda: self.client.set_acls(path, OPEN_ACL_UNSAFE),
        ]

    def test_each_permission(self) -> None:
        """Each permission opens what it is for, and nothing else."""
        asked: dict[int, Callable[[str], Any]] = {
            Permissions.READ: self.client.get,
            Permissions.WRITE: lambda path: self.client.set(path, b""),
            Permissions.CREATE: lambda path: self.client.create(f"{path}/new"),
            Permissions.DELETE: lambda path: self.client.delete(f"{path}/child"),
            Permissions.ADMIN: lambda path: self.client.set_acls(path, OPEN_ACL_UNSAFE),
        }
        for given in asked:
            path = f"/node-{given}"
            self.client.create(f"{path}/child", makepath=True)
            self.client.set_acls(path, [ACL(given, Id("world", "anyone")), USER])
            for needed, call in asked.items():
                if needed == given:
                    call(path)
                else:
                    with self.assertRaises(NoAuthError, msg=f"{needed} with {given}"):
                        call(path)

    def test_creator(self) -> None:
        """What is only its creator's has the creator's digest in its list."""
        self.client.add_auth("digest", CREDENTIALS)
        self.client.create("/node", acl=CREATOR_ALL_ACL)
        self.assertEqual(self.client.get_acls("/node")[0], [USER])
        with self.assertRaises(NoAuthError):
            self.make_client().get("/node")

    def test_default_of_client(self) -> None:
        """A client may have a list of its own for all that it creates."""
        acls = [make_acl("ip", "127.0.0.1", all=True), make_acl("world", "anyone", read=True)]
        user = self.make_client(default_acl=acls)
        user.ensure_path("/one/two")
        for path in ("/one", "/one/two"):
            self.assertEqual(sorted(self.client.get_acls(path)[0]), sorted(acls))

    def test_address(self) -> None:
        """A client is known by its address too."""
        self.client.create("/mine", acl=[make_acl("ip", "127.0.0.1", all=True)])
        self.client.create("/near", acl=[make_acl("ip", "127.0.0.0/8", all=True)])
        self.client.create("/other", acl=[make_acl("ip", "10.0.0.1", all=True), USER])
        self.client.get("/mine")
        self.client.get("/near")
        with self.assertRaises(NoAuthError):
            self.client.get("/other")

    def test_unknown_scheme(self) -> None:
        """Credentials of a scheme that the server does not know end the session's connection, and the client."""
        with self.assertRaises(AuthFailedError):
            self.client.add_auth("unknown", "any")
        wait_for(lambda: self.client.client_state == KeeperState.CLOSED, "the client gives up")


class WatchContract(KazooCase):
    """One-shot watches, and what kazoo makes of them."""

    def setUp(self) -> None:
        super().setUp()
        self.events: queue.Queue[Any] = queue.Queue()
        self.other = self.make_client()

    def next(self) -> Any:
        return self.events.get(timeout=PATIENCE)

    def check_silence(self) -> None:
        """Nothing was told that was not looked at: what the server sends, it sends before it answers what comes later."""
        self.client.sync("/")
        self.assertTrue(self.events.empty())

    def test_data(self) -> None:
        """A watch on data is told of a change or the deletion, once."""
        self.client.create("/node")
        self.client.get("/node", self.events.put)
        self.other.set("/node", b"one")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHANGED, KeeperState.CONNECTED, "/node"))
        self.other.set("/node", b"two")
        self.client.get("/node", self.events.put)
        self.other.create("/node/child")
        self.other.delete("/node", recursive=True)
        self.assertEqual(self.next(), WatchedEvent(EventType.DELETED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_existence(self) -> None:
        """A watch for a node that is missing is told of its creation, and one that is there of its change."""
        self.assertIsNone(self.client.exists("/node", self.events.put))
        self.other.create("/node")
        self.assertEqual(self.next(), WatchedEvent(EventType.CREATED, KeeperState.CONNECTED, "/node"))
        self.assertIsNotNone(self.client.exists("/node", self.events.put))
        self.other.set("/node", b"new")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHANGED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_children(self) -> None:
        """A watch on children is told when one comes or goes, or their parent does, and of nothing below or beside."""
        self.client.create("/node/child", makepath=True)
        self.client.get_children("/node", self.events.put)
        self.other.set("/node", b"new")
        self.other.set("/node/child", b"new")
        self.other.create("/node/child/grandchild")
        self.other.delete("/node/child/grandchild")
        self.check_silence()
        self.other.delete("/node/child")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHILD, KeeperState.CONNECTED, "/node"))
        self.client.get_children("/node", self.events.put)
        self.other.create("/node/new")
        self.assertEqual(self.next(), WatchedEvent(EventType.CHILD, KeeperState.CONNECTED, "/node"))
        self.other.delete("/node/new")
        self.client.get_children("/node", self.events.put)
        self.other.delete("/node")
        self.assertEqual(self.next(), WatchedEvent(EventType.DELETED, KeeperState.CONNECTED, "/node"))
        self.check_silence()

    def test_none_where_nothing_is(self) -> None:
        """Neither data nor children of a missing node can be watched."""
        for call in (self.client.get, self.client.get_children):
            with self.assertRaises(NoNodeError):
                call("/node", self.events.put)
        self.other.create("/node")
        self.check_silence()

    def test_own_change(self) -> None:
        """A client's watch is told before its own change is answered."""
        self.client.create("/node")
        self.client.get("/node", self.events.put)
        self.client.get_children("/node", self.events.put)
        self.client.delete("/node")
        self.assertEqual({self.next().type, self.next().type}, {EventType.DELETED})
        self.check_silence()

    def test_session_end(self) -> None:
        """What goes with another's session is told."""
        self.other.create("/mortal", ephemeral=True)
        self.client.exists("/mortal", self.events.put)
        self.client.get_children("/", self.events.put)
        self.other.stop()
        self.assertEqual({self.next()[::2], self.next()[::2]}, {(EventType.DELETED, "/mortal"), (EventType.CHILD, "/")})

    def test_data_watch(self) -> None:
        """A DataWatch is called with all that it can see, from the first to its last."""

        @self.client.DataWatch("/node")  # type: ignore[untyped-decorator, unused-ignore]
        def changed(data: bytes | None, stat: ZnodeStat | None, event: WatchedEvent | None) -> bool:
            self.events.put((data, stat and stat.version, event and event.type))
            return data != b"last"

        self.assertEqual(self.next(), (None, None, None))
        self.other.create("/node", b"one")
        self.assertEqual(self.next(), (b"one", 0, EventType.CREATED))
        self.other.set("/node", b"two")
        self.assertEqual(self.next(), (b"two", 1, EventType.CHANGED))
        self.other.delete("/node")
        self.assertEqual(self.next(), (None, None, EventType.DELETED))
        self.other.create("/node", b"last")
        self.assertEqual(self.next(), (b"last", 0, EventType.CREATED))
        self.other.set("/node", b"after")
        self.check_silence()

    def test_children_watch(self) -> None:
        """A ChildrenWatch is called with each list, and with the events where they are asked for."""
        self.client.create("/node")

        @self.client.ChildrenWatch("/node", send_event=True)  # type: ignore[untyped-decorator, unused-ignore]
        def changed(children: list[str], event: WatchedEvent | None) -> bool:
            self.events.put((sorted(children), event and event.type))
            return len(children) < 3

        self.assertEqual(self.next(), ([], None))
        expected: list[str] = []
        for name in "abc":
            self.other.create(f"/node/{name}")
            expected.append(name)
            self.assertEqual(self.next(), (expected, EventType.CHILD))
        self.other.create("/node/d")
        self.check_silence()

    def test_patient_children_watch(self) -> None:
        """A PatientChildrenWatch waits until the list is at rest, and tells of its next change."""
        self.client.create("/node/child", makepath=True)
        children, changed = PatientChildrenWatch(self.client, "/node", time_boundary=0.05).start().get(timeout=PATIENCE)
        self.assertEqual(children, ["child"])
        self.other.create("/node/new")
        changed.get(timeout=PATIENCE)
        self.assertEqual(sorted(self.client.get_children("/node")), ["child", "new"])


class TransactionContract(KazooCase):
    """Several operations that are done together, or not at all."""

    def test_all(self) -> None:
        """Each kind of operation gives its result."""
        self.client.create("/old")
        with self.client.transaction() as transaction:
            transaction.check("/old", version=0)
            transaction.create("/new", b"data")
            transaction.create("/new/child-", sequence=True)
            transaction.set_data("/old", b"changed", version=0)
            transaction.create("/passing", ephemeral=True)
            transaction.delete("/passing", version=0)
        self.assertTrue(transaction.committed)
        self.assertIsNone(self.client.exists("/passing"))
        data, stat = self.client.get("/old")
        self.assertEqual((data, stat.version), (b"changed", 1))
        self.assertEqual(self.client.exists("/new/child-0000000000").czxid, stat.mzxid)

    def test_results(self) -> None:
        """Results come in the order of the operations."""
        transaction = self.client.transaction()
        transaction.create("/one")
        transaction.check("/one", version=0)
        transaction.set_data("/one", b"data")
        transaction.delete("/one")
        path, checked, stat, deleted = transaction.commit()
        self.assertEqual((path, checked, stat.version, stat.dataLength, deleted), ("/one", True, 1, 4, True))

    def test_refused(self) -> None:
        """One that fails undoes all: those before it were rolled back, and those after it not tried."""
        self.client.create("/old", b"data")
        failing: list[tuple[Callable[[Any], None], type[Exception]]] = [
            (lambda transaction: transaction.check("/old", version=7), BadVersionError),
            (lambda transaction: transaction.check("/missing", version=-1), NoNodeError),
            (lambda transaction: transaction.create("/old"), NodeExistsError),
            (lambda transaction: transaction.create("/missing/child"), NoNodeError),
            (lambda transaction: transaction.delete("/missing"), NoNodeError),
            (lambda transaction: transaction.delete("/"), NotEmptyError),
            (lambda transaction: transaction.set_data("/old", b"", version=4), BadVersionError),
            (lambda transaction: transaction.create("/acl", acl=CREATOR_ALL_ACL), InvalidACLError),
        ]
        for fail, error in failing:
            transaction = self.client.transaction()
            transaction.create("/new")
            transaction.set_data("/old", b"changed")
            fail(transaction)
            transaction.create("/later")
            results = transaction.commit()
            self.assertEqual(
                [type(result) for result in results], [RolledBackError] * 2 + [error, RuntimeInconsistency]
            )
            self.assertEqual(self.client.get("/old")[0], b"data")
            self.assertEqual(self.client.get_children("/"), ["old"])

    def test_watches(self) -> None:
        """Watches are told of each operation."""
        self.client.create("/old")
        events: queue.Queue[WatchedEvent] = queue.Queue()
        self.client.get("/old", events.put)
        self.client.exists("/new", events.put)
        other = self.make_client()
        transaction = other.transaction()
        transaction.create("/new")
        transaction.set_data("/old", b"changed")
        transaction.commit()
        told = [events.get(timeout=PATIENCE)[::2] for _ in range(2)]
        self.assertEqual(told, [(EventType.CREATED, "/new"), (EventType.CHANGED, "/old")])

    def test_empty(self) -> None:
        """A transaction of nothing is done."""
        self.assertEqual(self.client.transaction().commit(), [])


class SessionContract(KazooCase):
    """Connections that break, and sessions that end."""

    def setUp(self) -> None:
        super().setUp()
        self.states: queue.Queue[str] = queue.Queue()
        self.victim = self.make_client()
        self.victim.add_listener(self.states.put)

    def next_states(self, count: int) -> list[str]:
        return [self.states.get(timeout=PATIENCE) for _ in range(count)]

    def test_connection_lost(self) -> None:
        """A client whose connection breaks comes back to its session, and its ephemerals are there all along."""
        session = self.victim.client_id
        self.victim.create("/mortal", ephemeral=True)
        created = self.client.exists("/mortal")
        break_connection(self.address, session)
        self.assertEqual(self.next_states(2), [KazooState.SUSPENDED, KazooState.CONNECTED])
        self.assertEqual(self.victim.client_id, session)
        self.assertEqual(self.victim.exists("/mortal"), created)
        self.assertEqual(created.ephemeralOwner, session[0])

    def test_watches_after_loss(self) -> None:
        """What changed while a client was away is seen by its DataWatch and its ChildrenWatch on return."""
        self.client.create("/node", b"one")
        seen: queue.Queue[Any] = queue.Queue()
        self.victim.DataWatch("/node", lambda data, stat: seen.put(data))
        self.assertEqual(seen.get(timeout=PATIENCE), b"one")
        self.victim.ChildrenWatch("/node", seen.put)
        self.assertEqual(seen.get(timeout=PATIENCE), [])
        break_connection(self.address, self.victim.client_id)
        transaction = self.client.transaction()
        transaction.set_data("/node", b"two")
        transaction.create("/node/child")
        transaction.commit()
        told = [seen.get(timeout=PATIENCE) for _ in range(2)]
        self.assertIn(b"two", told)
        self.assertIn(["child"], told)

    def test_auth_after_loss(self) -> None:
        """A client that comes back proves again who it is."""
        self.victim.add_auth("digest", CREDENTIALS)
        self.victim.create("/node", acl=CREATOR_ALL_ACL)
        break_connection(self.address, self.victim.client_id)
        self.assertEqual(self.next_states(2), [KazooState.SUSPENDED, KazooState.CONNECTED])
        self.assertEqual(self.victim.retry(self.victim.get, "/node")[0], b"")

    def test_session_ended(self) -> None:
        """A client whose session has ended learns it on its return, has another, and its ephemerals are gone."""
        session = self.victim.client_id
        self.victim.create("/mortal", ephemeral=True)
        gone = threading.Event()
        self.client.exists("/mortal", lambda event: gone.set())
        end_session(self.address, session)
        self.assertTrue(gone.wait(PATIENCE))
        self.assertIsNone(self.client.exists("/mortal"))
        self.assertEqual(self.next_states(1), [KazooState.SUSPENDED])
        while self.next_states(1) != [KazooState.LOST]:
            pass
        self.assertEqual(self.next_states(1), [KazooState.CONNECTED])
        self.assertNotEqual(self.victim.client_id[0], session[0])
        self.victim.create("/mortal", ephemeral=True)
        self.assertEqual(self.client.exists("/mortal").ephemeralOwner, self.victim.client_id[0])

    def test_resumed_by_another(self) -> None:
        """A session goes on with another client that has its id and password; a wrong password gets a new session."""
        self.victim.create("/mortal", ephemeral=True)
        session, password = self.victim.client_id
        heir = self.make_client(client_id=(session, password))
        self.assertEqual(heir.client_id, (session, password))
        self.assertEqual(heir.exists("/mortal").ephemeralOwner, session)
        stranger = self.make_client(client_id=(heir.client_id[0], b"wrong password.."))
        self.assertNotEqual(stranger.client_id[0], session)

    def test_closed(self) -> None:
        """A client that was stopped is refused, and may start again with another session."""
        session = self.victim.client_id[0]
        self.victim.stop()
        with self.assertRaises((ConnectionClosedError, SessionExpiredError)):
            self.victim.get("/")
        self.victim.start(PATIENCE)
        self.assertNotEqual(self.victim.client_id[0], session)
        self.assertEqual(self.victim.get("/")[0], b"")

    def test_timeout_negotiated(self) -> None:
        """A session has the timeout that is asked for, between the server's least and most."""
        for asked, given in ((0.2, 1.0), (3.0, 3.0), (60.0, 10.0)):
            client: KazooClient = self.make_client(timeout=asked)
            lines = client.command(b"cons").splitlines()
            (line,) = [line for line in lines if f"sid=0x{client.client_id[0] & 0xFFFFFFFFFFFFFFFF:x}" in line]
            self.assertIn(f",to={given * 1000:.0f},", line)


class EmbeddedCallTests(OnEmbedded, CallContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperCallTests(OnReal, CallContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedAclTests(OnEmbedded, AclContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperAclTests(OnReal, AclContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedWatchTests(OnEmbedded, WatchContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperWatchTests(OnReal, WatchContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedTransactionTests(OnEmbedded, TransactionContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperTransactionTests(OnReal, TransactionContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedSessionTests(OnEmbedded, SessionContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperSessionTests(OnReal, SessionContract, SynchronousTestCase):
    """At the real server."""
