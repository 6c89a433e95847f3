"""The nodes above a recipe's own: made where they are missing."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.errors import NoAuthException
from txmirror.recipes.lock_node import ensure
from txmirror.recipes.retry_policy import RetryPolicy
from txmirror.test.recipes.case import RecipeCase
from txmirror.types import CREATOR_ALL_ACL


class EnsureTests(RecipeCase):
    def test_below_a_protected_node(self) -> None:
        """What exists below a node that may be neither written nor read need not be made; what does not is refused."""
        self.done(self.observer.add_auth("digest", b"bob:secret"))
        for path, acl in (("/p", CREATOR_ALL_ACL), ("/p/a", None), ("/p/b", CREATOR_ALL_ACL)):
            self.done(self.observer.create(path, b"", acl) if acl else self.observer.create(path))
        client = self.client()
        policy = RetryPolicy(client, self.world.reactor)
        for path in ("/p", "/p/a", "/p/b", "/p/a/c/d"):
            self.done(Deferred.fromCoroutine(ensure(client, policy, path)))
            self.assertIsNotNone(self.done(self.observer.exists(path)))
        for path in ("/p/x", "/p/x/y", "/p/b/x"):
            refused = Deferred.fromCoroutine(ensure(client, policy, path))
            self.settle()
            self.failureResultOf(refused, NoAuthException)
        self.assertIsNone(self.done(self.observer.exists("/p/x")))
