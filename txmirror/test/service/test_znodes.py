"""A daemon's services with several znodes, weights, warnings and processes."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.checks import ProcessCheck, Status
from txmirror.errors import NoNodeException
from txmirror.registry import decode_instance
from txmirror.service import Daemon
from txmirror.service.supervision import Condition
from txmirror.test.service.case import DaemonTestCase, S, service
from txmirror.types import Instance, InstanceStatus, ZnodeStat

_OWN = "/services/a:1"
_MEMBER = "/members/member_0000000007"
_CURATOR = "/discovery/shop/06c0af4c-03c4-4cc1-a702-050303b41b8b"
_ALL = (_OWN, _MEMBER, _CURATOR)


def also(path: str, codec: str, **keys: object) -> str:
    """Return the table of a further znode, with a full path."""
    parent, _, node = path.rpartition("/")
    values = {"path": parent, "node": node, "codec": codec, **keys}
    return "[[service.also]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


#: The further znodes of most tests.
MEMBER, CURATOR = also(_MEMBER, "serverset", port=9100), also(_CURATOR, "curator", data={})


def shop(*parts: str, checks: int = 1, **keys: object) -> str:
    """Return the service ``a`` with further znodes."""
    return service("a", checks=checks, port=1, address="127.0.0.1", **keys) + "".join(parts or (MEMBER, CURATOR))


class ZnodesCase(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)

    def get(self, path: str) -> tuple[bytes, ZnodeStat] | None:
        """Return a znode's data and stat; None if there is none."""
        client = self.clients[0] if self.clients else self.client()
        reading: Deferred[Any] = client.get(path).addErrback(lambda failure: failure.trap(NoNodeException) and None)
        self.reactor.settle()
        found: tuple[bytes, ZnodeStat] | None = self.successResultOf(reading)
        return found

    def there(self, *paths: str) -> list[str]:
        """Return the paths that have a znode."""
        return [path for path in paths or _ALL if self.get(path) is not None]

    def stats(self, *paths: str) -> list[ZnodeStat]:
        """Return the stats of znodes that are there."""
        found = [self.get(path) for path in paths or _ALL]
        return [each[1] for each in found if each is not None]

    def read(self, path: str) -> Instance:
        """Return the instance that a znode describes."""
        found = self.get(path)
        assert found is not None, path
        instance = decode_instance(path.rpartition("/")[2], found[0])
        assert isinstance(instance, Instance), instance
        return instance

    def reload(self, daemon: Daemon, *parts: str, **keys: Any) -> None:
        self.write(*parts, **keys)
        reloaded = daemon.reload()
        self.reactor.settle()
        self.successResultOf(reloaded)


class TogetherTests(ZnodesCase):
    def test_registered_and_withdrawn(self) -> None:
        """All znodes are there while the checks pass, and each has its own format."""
        daemon = self.daemon(shop())
        self.assertEqual(self.there(), [])
        self.push(daemon, "a")
        self.assertEqual(self.there(), list(_ALL))
        self.assertEqual([self.read(path).codec for path in _ALL], ["ndsr", "serverset", "curator"])
        self.assertEqual([self.read(path).port for path in _ALL], [1, 9100, 1])
        self.push(daemon, "a", Status.FAIL)
        self.assertEqual(self.there(), [])
        self.push(daemon, "a")
        self.assertEqual(self.there(), list(_ALL))

    def test_maintenance_and_drain(self) -> None:
        """They leave together, for maintenance and for a drain, and come back."""
        daemon = self.daemon(shop(checks=0))
        daemon.supervisor.maintenance.set("a", "for a test", None)
        self.reactor.settle()
        self.assertEqual(self.there(), [])
        daemon.supervisor.maintenance.end("a")
        self.reactor.settle()
        self.assertEqual(self.there(), list(_ALL))
        drained = daemon.supervisor.drain()
        self.reactor.settle()
        self.successResultOf(drained)
        self.assertEqual(self.there(), [])

    def test_stop(self) -> None:
        """A stop withdraws all of them before the drain, in one session."""
        daemon = self.daemon(shop(checks=0, drain="5s"))
        self.assertEqual(self.there(), list(_ALL))
        self.running.remove(daemon)
        stopped = daemon.stopService()
        self.reactor.settle()
        self.assertEqual(self.there(), [])
        self.assertNoResult(stopped)
        self.reactor.pass_time(6)
        self.successResultOf(stopped)

    def test_session_expires(self) -> None:
        """In the next session all are there again."""
        daemon = self.daemon(shop(checks=0))
        assert daemon.registrations.session is not None
        former = self.stats()[0].ephemeralOwner
        self.server.expire_session(former)
        self.reactor.pass_time(3)
        self.assertEqual(self.there(), list(_ALL))
        self.assertEqual(len({stat.ephemeralOwner for stat in self.stats()} | {former}), 2)


class ReloadTests(ZnodesCase):
    def test_added_and_removed(self) -> None:
        """A further znode that is new is registered, one that is gone is withdrawn, and the others stay untouched."""
        daemon = self.daemon(shop(MEMBER, checks=0))
        self.assertEqual(self.there(), [_OWN, _MEMBER])
        before = self.stats(_OWN)
        self.reload(daemon, shop(MEMBER, CURATOR, checks=0))
        self.assertEqual(self.there(), list(_ALL))
        self.reload(daemon, shop(CURATOR, checks=0))
        self.assertEqual(self.there(), [_OWN, _CURATOR])
        self.reload(daemon, shop(CURATOR, MEMBER, checks=0))
        self.reload(daemon, shop(CURATOR, checks=0))
        self.assertEqual(self.there(), [_OWN, _CURATOR])
        self.assertEqual(self.stats(_OWN), before)
        self.assertIs(daemon.supervisor.services["a"].condition, Condition.REGISTERED)

    def test_exchanged(self) -> None:
        """Their order makes no difference."""
        daemon = self.daemon(shop(MEMBER, CURATOR, checks=0))
        before = self.stats()
        self.reload(daemon, shop(CURATOR, MEMBER, checks=0))
        self.reactor.pass_time(1)
        self.assertEqual(self.stats(), before)

    def test_removed_service(self) -> None:
        """A service that is removed leaves no znode."""
        daemon = self.daemon(shop(checks=0), service("b", checks=0))
        self.reload(daemon, service("b", checks=0))
        self.assertEqual(self.there(), [])
        self.assertEqual(list(self.registered()), ["b"])

    def test_removed_while_down(self) -> None:
        """A further znode that is removed while the service is down does not come back."""
        daemon = self.daemon(shop())
        self.push(daemon, "a", Status.FAIL)
        self.reload(daemon, shop(CURATOR))
        self.push(daemon, "a")
        self.assertEqual(self.there(), [_OWN, _CURATOR])

    def test_data_without_a_flicker(self) -> None:
        """While other data are written, the service counts as registered."""
        daemon = self.daemon(shop(checks=0))
        before = self.stats()
        self.reload(daemon, shop(checks=0, weight=7))
        self.assertEqual([stat.czxid for stat in self.stats()], [stat.czxid for stat in before])
        self.assertEqual(self.read(_OWN).weight, 7)
        changes = [change.after for change in daemon.supervisor.services["a"].transitions]
        self.assertEqual(changes, [Condition.REGISTERING, Condition.REGISTERED])


class HandOverTests(ZnodesCase):
    def test_no_write(self) -> None:
        """A restart within the session timeout writes nothing: the process and the time of the registration are no change."""
        self.kill(self.daemon(shop(checks=0), state=True))
        before = self.stats()
        self.assertEqual(len(before), 3)
        self.reactor.pass_time(S / 4)
        self.patch(os, "getpid", lambda: 4712)
        daemon = self.daemon(shop(checks=0), state=True)
        self.reactor.pass_time(S * 2)
        self.assertEqual(self.stats(), before)
        self.assertIs(daemon.supervisor.services["a"].condition, Condition.REGISTERED)
        self.push_nothing(daemon)

    def push_nothing(self, daemon: Daemon) -> None:
        """Check that the service's znodes are withdrawn when the daemon stops: it knows them as its own."""
        self.end(daemon, 3)
        self.assertEqual(self.there(), [])

    def test_undecided(self) -> None:
        """All stay until the checks have decided, and go if they fail."""
        daemon = self.daemon(shop(), state=True)
        self.push(daemon, "a")
        before = self.stats()
        self.kill(daemon)
        daemon = self.daemon(shop(), state=True)
        self.reactor.pass_time(1)
        self.assertEqual(self.stats(), before)
        self.push(daemon, "a", Status.FAIL)
        self.assertEqual(self.there(), [])

    def test_only_a_further_one(self) -> None:
        """If the last process has left only a further znode, that goes too when the checks fail."""
        daemon = self.daemon(shop(), state=True)
        self.push(daemon, "a")
        self.kill(daemon)
        deleted = self.clients[0].delete(_OWN) if self.clients else self.client().delete(_OWN)
        self.reactor.settle()
        self.successResultOf(deleted)
        daemon = self.daemon(shop(), state=True)
        self.reactor.settle()
        self.push(daemon, "a", Status.FAIL)
        self.assertEqual(self.there(), [])

    def test_removed_meanwhile(self) -> None:
        """A further znode that the next process does not have is deleted, and the others stay."""
        self.kill(self.daemon(shop(checks=0), state=True))
        before = self.stats(_OWN, _CURATOR)
        self.daemon(shop(CURATOR, checks=0), state=True)
        self.reactor.pass_time(1)
        self.assertEqual(self.there(), [_OWN, _CURATOR])
        self.assertEqual(self.stats(_OWN, _CURATOR), before)

    def test_keep_session(self) -> None:
        """A stop that leaves the service leaves all its znodes."""
        daemon = self.daemon(shop(checks=0, on_stop="keep-session"), state=True)
        before = self.stats()
        self.end(daemon, 1)
        self.assertEqual(self.stats(), before)
        self.daemon(shop(checks=0, on_stop="keep-session"), state=True)
        self.reactor.pass_time(S * 2)
        self.assertEqual(self.stats(), before)


class OthersTests(ZnodesCase):
    def test_blocked(self) -> None:
        """If another session has a further znode, the others are registered, and the reason is in the sentence; then it
        is registered.
        """
        client = self.client()
        for path in ("/members", _MEMBER):
            created = client.create(path, b"", ephemeral=path == _MEMBER)
            self.reactor.settle()
            self.successResultOf(created)
        daemon = self.daemon(shop(checks=0))
        supervision = daemon.supervisor.services["a"]
        self.assertEqual(self.get(_MEMBER), (b"", self.stats(_MEMBER)[0]))
        self.assertEqual(self.there(_OWN, _CURATOR), [_OWN, _CURATOR])
        self.assertIs(supervision.condition, Condition.REGISTERED)
        self.assertTrue(
            supervision.why().endswith(f" {_MEMBER} is not in place: another session has registered it."),
            supervision.why(),
        )
        self.assertEqual(
            [each["state"] for each in supervision.znodes.describe()], ["registered", "blocked", "registered"]
        )
        deleted = client.delete(_MEMBER)
        self.reactor.pass_time(1)
        self.successResultOf(deleted)
        self.assertEqual(self.read(_MEMBER).codec, "serverset")
        self.assertNotIn("not in place", supervision.why())

    def test_refused(self) -> None:
        """If ZooKeeper refuses a further znode, the reason is in the sentence."""
        client = self.client()
        for path in ("/members", _MEMBER):
            created = client.create(path, b"")
            self.reactor.settle()
            self.successResultOf(created)
        daemon = self.daemon(shop(checks=0))
        self.assertIn("is a persistent node", daemon.supervisor.services["a"].why())
        self.assertEqual(self.there(_OWN, _CURATOR), [_OWN, _CURATOR])
        self.assertTrue(self.log.about("Service a also[0] cannot be registered at /members/"))


class WarningTests(ZnodesCase):
    def test_marked(self) -> None:
        """While a check warns, the service stays registered with less weight and a mark, and its znodes are never deleted."""
        text = shop(also("/nerve/i_0000000001", "nerve"), checks=2, weight=100, labels__az="a")
        daemon = self.daemon(text.replace('name = "c1"', 'name = "c1"\non_fail = "warn"'))
        self.push(daemon, "a")
        self.push(daemon, "a", check="c1")
        paths = (_OWN, "/nerve/i_0000000001")
        before = self.stats(*paths)
        self.assertEqual([self.read(path).weight for path in paths], [100, 100])
        self.push(daemon, "a", Status.FAIL, check="c1")
        for path in paths:
            instance = self.read(path)
            self.assertEqual(
                (instance.weight, instance.status, instance.labels), (10, InstanceStatus.WARNING, {"az": "a"})
            )
        self.push(daemon, "a", check="c1")
        for path in paths:
            instance = self.read(path)
            self.assertEqual((instance.weight, instance.status), (100, InstanceStatus.UP))
        self.assertEqual([stat.czxid for stat in self.stats(*paths)], [stat.czxid for stat in before])
        self.assertEqual([stat.version for stat in self.stats(*paths)], [2, 2])

    def test_restart(self) -> None:
        """After a restart the mark stays, until the checks have decided; then it goes, or nothing is written."""
        text = service("a", checks=2, weight=100).replace('name = "c1"', 'name = "c1"\non_fail = "warn"')
        for status, weight in ((Status.FAIL, 10), (Status.OK, 100)):
            daemon = self.daemon(text, state=True)
            self.push(daemon, "a")
            self.push(daemon, "a", Status.FAIL, check="c1")
            before = self.stats(_OWN)
            self.assertEqual(self.read(_OWN).weight, 10)
            self.kill(daemon)
            daemon = self.daemon(text, state=True)
            self.reactor.pass_time(1)
            self.assertIs(daemon.supervisor.services["a"].condition, Condition.REGISTERED)
            self.assertEqual(self.stats(_OWN), before)
            self.push(daemon, "a")
            self.push(daemon, "a", status, check="c1")
            self.assertEqual(self.read(_OWN).weight, weight)
            self.assertEqual(self.stats(_OWN) == before, status is Status.FAIL)
            self.end(daemon, 3)


class ProcessTests(ZnodesCase):
    def test_pid(self) -> None:
        """The process of the pid file stands in the znode, and another one is written there; a restart writes nothing."""
        check = '[[service.check]]\ntype = "process"\npid_file = "/nowhere"\n'
        text = service("a", checks=1, require="any") + check
        daemon = self.daemon(text, state=True)
        process = self.process(daemon)
        process.pid = 16
        assert process.pid_changed is not None
        process.pid_changed()
        self.assertEqual(self.there(_OWN), [])
        self.push(daemon, "a")
        self.assertEqual(self.read(_OWN).pid, 16)
        process.pid = 17
        process.pid_changed()
        self.reactor.settle()
        self.assertEqual(self.read(_OWN).pid, 17)
        before = self.stats(_OWN)
        self.assertEqual(before[0].version, 1)
        self.kill(daemon)
        daemon = self.daemon(text, state=True)
        self.push(daemon, "a")
        self.assertEqual(self.stats(_OWN), before)
        process = self.process(daemon)
        process.pid = 17
        assert process.pid_changed is not None
        process.pid_changed()
        self.reactor.settle()
        self.assertEqual(self.stats(_OWN), before)
        self.flushLoggedErrors()

    def process(self, daemon: Daemon) -> ProcessCheck:
        process = daemon.supervisor.services["a"].health.checks[1].check
        assert isinstance(process, ProcessCheck)
        return process
