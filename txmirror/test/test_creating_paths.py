"""Create a node and the missing ones above it."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.creating_paths import create_path
from txmirror.errors import NoAuthException, NoChrootException
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.test.recipes.case import RecipeCase
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL


class CreatePathTests(RecipeCase):
    def create(self, *arguments: object) -> None:
        self.done(Deferred.fromCoroutine(create_path(*arguments)))  # type: ignore[arg-type]

    def test_whole_path(self) -> None:
        """The node has the data and the ACL; those above it are empty and open. One that exists is left alone."""
        client = self.client()
        self.done(client.add_auth("digest", b"bob:secret"))
        for data in (b"first", b"second"):
            self.create(client, "/a/b/c", CREATOR_ALL_ACL, data)
            self.assertEqual(self.done(client.get("/a/b/c"))[0], b"first")
        self.assertEqual(self.done(client.get("/a/b"))[0], b"")
        acls = [self.done(client.get_acl(path))[0] for path in ("/a", "/a/b")]
        self.assertEqual(acls, [list(OPEN_ACL)] * 2)
        self.assertNotEqual(self.done(client.get_acl("/a/b/c"))[0], list(OPEN_ACL))

    def test_many_levels(self) -> None:
        """A path may have more levels than Python can nest calls."""
        path = "/d" * 1500
        self.create(self.observer, path)
        self.assertIsNotNone(self.done(self.observer.exists(path)))

    def test_below_a_protected_node(self) -> None:
        """Below a node that may be neither written nor read, an existing node is left as it is, and a missing one is refused."""
        self.done(self.observer.add_auth("digest", b"bob:secret"))
        for path, acl in (("/p", CREATOR_ALL_ACL), ("/p/a", None), ("/p/b", CREATOR_ALL_ACL)):
            self.done(self.observer.create(path, b"", acl) if acl else self.observer.create(path))
        client = self.client()
        policy = RetryPolicy(client, self.world.reactor)
        for path in ("/p", "/p/a", "/p/b", "/p/a/c/d"):
            self.done(Deferred.fromCoroutine(create_path(client, path, send=policy.send)))
            self.assertIsNotNone(self.done(self.observer.exists(path)))
        for path in ("/p/x", "/p/x/y", "/p/b/x"):
            refused = Deferred.fromCoroutine(create_path(client, path, send=policy.send))
            self.settle()
            self.failureResultOf(refused, NoAuthException)
        self.assertIsNone(self.done(self.observer.exists("/p/x")))

    def test_missing_chroot(self) -> None:
        """A chroot is never created unasked."""
        client = self.client().chroot("/absent")
        for path in ("/", "/a", "/a/b"):
            refused = Deferred.fromCoroutine(create_path(client, path))
            self.settle()
            error = self.failureResultOf(refused, NoChrootException).value
            self.assertIn("/absent", str(error))
        self.assertIsNone(self.done(self.observer.exists("/absent")))

    def test_cancelled_and_cut(self) -> None:
        """Cancelled or cut off at any step, the creation ends, and the nodes that it has created are valid."""
        for cut in (False, True):
            for turns in range(12):
                client = self.client()
                path = f"/{cut}/{turns}/a/b"
                creating = Deferred.fromCoroutine(create_path(client, path))
                outcome: list[object] = []
                creating.addBoth(outcome.append)
                self.world.reactor.take_turns(turns)
                if cut:
                    self.done(client.close())
                else:
                    creating.cancel()
                self.settle()
                self.assertEqual(len(outcome), 1)
                if outcome == [None]:
                    self.assertIsNotNone(self.done(self.observer.exists(path)))
                self.create(self.observer, path)
