"""Access control lists on the nodes of locks, semaphores and elections."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import NoAuthException
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.models import record_complaints
from txmirror.test.recipes.case import RecipeCase
from txmirror.types import ACL, CREATOR_ALL_ACL, OPEN_ACL, READ_ACL, Permission, digest_acl

_OURS = [digest_acl("app", "secret"), *READ_ACL]


class AclTests(RecipeCase):
    path = "/app/locks/one"

    def setUp(self) -> None:
        super().setUp()
        # Whoever may not administer a node is not told the digests in its ACL.
        self.insider = self.ours()

    def ours(self) -> ZooKeeperClient:
        """Return a client with the identity of our ACL."""
        client = self.client()
        self.done(client.add_auth("digest", b"app:secret"))
        return client

    def acl(self, path: str) -> list[ACL]:
        entries, _ = self.done(self.insider.get_acl(path))
        return list(entries)

    def assert_ours(self, *paths: str) -> None:
        """Check that nodes, and all nodes below them, have our ACL, and that nodes above are open."""
        for path in paths:
            self.assertEqual(self.acl(path), _OURS, path)
            for name in self.nodes(path):
                self.assertEqual(self.acl(f"{path}/{name}"), _OURS, name)
        for path in ("/app", "/app/locks"):
            self.assertEqual(self.acl(path), list(OPEN_ACL))

    def test_refused(self) -> None:
        """A lock whose node may be neither created nor listed fails, and leaves nothing to complain about."""
        complaints = record_complaints(self)
        self.done(self.insider.create("/private", acl=[digest_acl("app", "secret")]))
        self.path = "/private"
        self.assertRaises(NoAuthException, self.done, self.lock().acquire())
        self.assertEqual(complaints, [])
        self.assertEqual(self.done(self.insider.get_children("/private")), [])

    def test_locks(self) -> None:
        """A lock's node and its contenders' have the ACL; clients with the identity contend, and others are refused."""
        for kind in (Lock, ReadLock, WriteLock):
            first, second = (self.lock(self.ours(), kind, acl=_OURS) for _ in range(2))
            self.assertTrue(self.done(first.acquire()))
            acquired = self.begin(second)
            self.assertEqual(len(self.nodes()), 2)
            self.assert_ours(self.path)
            self.assertRaises(NoAuthException, self.done, self.lock(kind=kind).acquire())
            self.done(first.release())
            self.assertTrue(self.done(acquired))
            self.done(second.release())
            self.assert_clear()

    def test_semaphore(self) -> None:
        """So have a semaphore's leases, its places in line, and the two nodes that they are below."""
        claims = [self.lock(self.ours(), Semaphore, leases=2, acl=_OURS) for _ in range(3)]
        for claim in claims:
            self.begin(claim)
        line = f"{self.path}-__lock__"
        self.assertEqual((len(self.nodes()), len(self.nodes(line))), (2, 1))
        self.assert_ours(self.path, line)
        for node in (self.path, line):
            self.assertRaises(NoAuthException, self.done, self.observer.create(f"{node}/x"))
        self.assertRaises(NoAuthException, self.done, self.observer.set(self.path, b"3"))
        self.assertRaises(NoAuthException, self.done, self.lock(kind=Semaphore, leases=2).acquire())
        self.done(claims[0].release())
        self.assertEqual(self.held(*claims), [False, True, True])
        for claim in claims:
            self.done(claim.release())
        self.assert_clear()
        # Who has the identity may change the number, too.
        self.assertTrue(self.done(self.lock(self.ours(), Semaphore, leases=3, acl=_OURS).acquire(wait=0)))

    def test_election(self) -> None:
        """So have an election's node, and its candidates'."""
        elections = [Election(self.ours(), self.path, acl=_OURS, reactor=self.world.reactor) for _ in range(2)]
        leading: list[Deferred[Any]] = [election.run(Deferred) for election in elections]
        self.settle()
        self.assertEqual([bool(election.leading) for election in elections], [True, False])
        self.assertEqual(len(self.nodes()), 2)
        self.assert_ours(self.path)
        self.done(elections[0].stop())
        self.assertTrue(elections[1].leading)
        self.done(elections[1].stop())
        for each in leading:
            self.failureResultOf(each)

    def test_creator(self) -> None:
        """An ACL may name the creator of the node."""
        lock = self.lock(self.ours(), acl=CREATOR_ALL_ACL)
        self.assertTrue(self.done(lock.acquire()))
        (node,) = self.done(lock._contender.client.get_children(self.path))
        for path in (self.path, f"{self.path}/{node}"):
            entries, _ = self.done(lock._contender.client.get_acl(path))
            self.assertEqual(entries, [digest_acl("app", "secret")])
            self.assertRaises(NoAuthException, self.done, self.observer.get(path))

    def test_private_names(self) -> None:
        """Contenders may keep their names from one another, and wait for one another all the same."""
        private = [ACL(Permission.READ, "world", "anyone")]
        self.done(self.observer.create("/app"))
        self.done(self.observer.create("/app/locks"))
        self.done(self.observer.create(self.path))
        first = self.lock(self.ours(), acl=[digest_acl("app", "secret")])
        second = self.lock(acl=private)
        self.done(first.acquire())
        acquired = self.begin(second)
        self.done(first.release())
        self.assertTrue(self.done(acquired))

    def test_node_that_is_there(self) -> None:
        """A node that is there already keeps its ACL."""
        for path in ("/app", "/app/locks", self.path):
            self.done(self.observer.create(path))
        lock = self.lock(self.ours(), acl=_OURS)
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.assertEqual((self.acl(self.path), self.acl(f"{self.path}/{node}")), (list(OPEN_ACL), _OURS))
