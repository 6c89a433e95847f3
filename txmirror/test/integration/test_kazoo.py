"""kazoo finds the same at the embedded server as at the real one: operations, permissions, transactions.

Its watches and sessions are in ``test_kazoo_watches``, and its recipes in ``test_kazoo_recipes``.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from kazoo.exceptions import (
    AuthFailedError,
    BadArgumentsError,
    BadVersionError,
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
)
from kazoo.protocol.states import EventType, KeeperState, WatchedEvent, ZnodeStat
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
    wait_for,
)

USER = make_digest_acl(*CREDENTIALS.split(":"), all=True)


class CallContract(KazooCase):
    """The operations, one by one."""

    def test_create(self) -> None:
        """A node is created with its data, and has a stat that agrees."""
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
        """Sequential nodes are numbered by their parent's changes, whatever their names are, and after a slash too."""
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
        """Data may be null or empty, and large; too large data ends the connection."""
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
        """The reply to a sync is its path, with or without a node."""
        self.assertEqual([self.client.sync("/"), self.client.sync("/missing")], ["/", "/missing"])

    def test_chroot(self) -> None:
        """A client below a node has that for its root."""
        self.client.create("/inner/node", b"data", makepath=True)
        inner = self.make_client(root=f"{self.root}/inner")
        self.assertEqual(inner.get_children("/"), ["node"])
        self.assertEqual(inner.create("/node/mine-", sequence=True), "/node/mine-0000000000")
        self.assertEqual(self.client.get_children("/inner/node"), ["mine-0000000000"])

    def test_pipelined(self) -> None:
        """Requests that are sent together are answered in their order, successes and failures alike."""
        self.client.create("/node")
        asked = [self.client.set_async("/node", b"%d" % number, version=number) for number in range(50)]
        asked.insert(20, self.client.get_async("/missing"))
        with self.assertRaises(NoNodeError):
            asked.pop(20).get(timeout=PATIENCE)
        self.assertEqual([stat.get(timeout=PATIENCE).version for stat in asked], list(range(1, 51)))

    def test_reconfiguration(self) -> None:
        """A server that stands alone lets nobody change its ensemble."""
        with self.assertRaises(ReconfigDisabledError):
            self.client.reconfig(joining="server.100=0.0.0.0:1:2:observer;0.0.0.0:3", leaving=None, new_members=None)

    def test_words(self) -> None:
        """The answers to four-letter words have the version."""
        self.assertEqual(self.client.command(b"ruok"), "imok")
        self.assertEqual(self.client.server_version(), (3, 8, 0))
        self.assertIn("Mode: standalone\n", self.client.command(b"srvr"))


class AclContract(KazooCase):
    """Permissions."""

    def test_default(self) -> None:
        """A node is open to all by default; changes of its ACL are counted."""
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
        """A node that a password protects is open to a session with that password, added at any time."""
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
        """Each permission permits its own operations, and no others."""
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
        """A node of the creator alone has the creator's digest in its ACL."""
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


class TransactionContract(KazooCase):
    """Several operations that are done together, or not at all."""

    def test_all(self) -> None:
        """Each kind of operation returns its result."""
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
        """An operation that fails rolls the transaction back: the operations before it are undone, and those after it
        are not tried.
        """
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
        """Watches fire for each operation."""
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


class EmbeddedCallTests(OnEmbedded, CallContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperCallTests(OnReal, CallContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedAclTests(OnEmbedded, AclContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperAclTests(OnReal, AclContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedTransactionTests(OnEmbedded, TransactionContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperTransactionTests(OnReal, TransactionContract, SynchronousTestCase):
    """At the real server."""
