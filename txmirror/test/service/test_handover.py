"""A daemon takes over the session of the one before, with its registrations."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from txmirror.checks import Status
from txmirror.errors import ThrottledOpException
from txmirror.service import Daemon, StateService, state, state_file
from txmirror.service.state_file import StateFileHeldError
from txmirror.service.supervision import Condition
from txmirror.test.checks.case import step
from txmirror.test.ownership import give_away
from txmirror.test.service.case import DaemonTestCase, S, service
from txmirror.types import SessionTicket


class HandoverTestCase(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()

    def saved(self) -> dict[str, object]:
        content: dict[str, object] = json.loads(self.state_file.read_text())
        return content

    def paths(self) -> list[str]:
        """Return the znodes in the state file."""
        saved, _ = state_file.read(self.state_file)
        assert saved is not None
        return list(saved.paths.values())

    def session(self, daemon: Daemon) -> int:
        session = daemon.registrations.session
        assert session is not None
        session_id: int = session.client.session_id
        return session_id


class KilledTests(HandoverTestCase):
    def test_no_blink(self) -> None:
        """After SIGKILL, the next daemon has the session and the znodes, and writes nothing."""
        parts = (service("a"), service("b", checks=0))
        daemon = self.daemon(*parts, state=True)
        self.push(daemon, "a")
        before = {name: self.stat(name) for name in "ab"}
        session, zxid = self.session(daemon), self.server.zxid
        self.kill(daemon)
        self.reactor.pass_time(S / 2)
        daemon = self.daemon(*parts, state=True)
        self.assertEqual(self.session(daemon), session)
        self.reactor.pass_time(S * 3)
        self.assertEqual({name: self.stat(name) for name in "ab"}, before)
        # Its checks have not decided, and it stays.
        a = daemon.supervisor.services["a"]
        self.assertIs(a.condition, Condition.REGISTERED)
        self.assertIn("since before the restart", a.why())
        self.push(daemon, "a")
        self.assertEqual({name: self.stat(name) for name in "ab"}, before)
        self.assertEqual(self.server.zxid, zxid)
        self.assertEqual(len(self.log.about("with 2 of its registrations")), 1)
        self.assertIs(self.log.worst, LogLevel.warn if self.log.about("Disconnected") else LogLevel.info)

    def test_many(self) -> None:
        """After a crash the znodes of 200 services are read at once, and nothing is written."""
        services = [service(f"s{number}", checks=0) for number in range(200)]
        daemon = self.daemon(*services, state=True)
        self.assertEqual(len(self.registered()), 200)
        zxid = self.server.zxid
        self.kill(daemon)
        daemon = self.daemon(*services, state=True, settle=False)
        assert daemon.counts.requests is not None
        sent = daemon.counts.requests.sent_by_operation
        while "EXISTS" not in sent:
            self.assertNotEqual(self.reactor.calls, [])
            step(self.reactor, 1)
        self.assertEqual(sent["EXISTS"], 200)
        self.reactor.settle()
        conditions = {each.condition for each in daemon.supervisor.services.values()}
        self.assertEqual(conditions, {Condition.REGISTERED})
        self.assertEqual(self.server.zxid, zxid)

    def test_depends(self) -> None:
        """A service that depends on another stays with it, also while the checks of both are undecided."""
        for checks in (0, 1):
            parts = (service("a", checks=checks, depends=["b"]), service("b", checks=checks))
            daemon = self.daemon(*parts, state=True)
            for name in "ba" if checks else "":
                self.push(daemon, name)
            before = {name: self.stat(name) for name in "ab"}
            self.assertNotIn(None, before.values())
            zxid = self.server.zxid
            self.kill(daemon)
            daemon = self.daemon(*parts, state=True)
            self.reactor.pass_time(S)
            self.assertEqual({name: self.stat(name) for name in "ab"}, before)
            self.assertEqual(self.server.zxid, zxid)
            self.end(daemon, 5)
            self.assertEqual(self.registered(), {})

    def test_renamed(self) -> None:
        """A service with another id at the same path stays, and goes when its checks fail."""
        daemon = self.daemon(service("a"), state=True)
        self.push(daemon, "a")
        before = self.stat("a")
        self.kill(daemon)
        daemon = self.daemon(service("a", id="b"), state=True)
        self.reactor.pass_time(S)
        self.assertEqual(self.stat("a"), before)
        self.assertIn("since before the restart", daemon.supervisor.services["b"].why())
        self.push(daemon, "b", Status.FAIL)
        self.assertEqual(self.registered(), {})

    def test_decided_down(self) -> None:
        """A service whose checks fail after the restart goes then."""
        daemon = self.daemon(service("a"), state=True)
        self.push(daemon, "a")
        self.kill(daemon)
        daemon = self.daemon(service("a"), state=True)
        self.assertEqual(list(self.registered()), ["a"])
        self.push(daemon, "a", Status.FAIL)
        self.assertEqual(self.registered(), {})

    def test_decided_before_the_session(self) -> None:
        """A service that is decided before the session is resumed is right at once: not one write, or a deletion."""
        for status, names in ((Status.OK, ["a"]), (Status.FAIL, [])):
            for steps in range(8):
                daemon = self.daemon(service("a"), state=True)
                self.push(daemon, "a")
                zxid = self.server.zxid
                self.kill(daemon)
                daemon = self.daemon(service("a"), state=True, settle=False)
                for _ in range(steps):
                    self.reactor.advance(0)
                daemon.supervisor.push("a", "c0", status, "")
                self.reactor.settle()
                self.assertEqual(list(self.registered()), names, (status, steps))
                self.assertEqual(self.server.zxid, zxid + (not names), (status, steps))
                self.end(daemon)

    def test_was_down(self) -> None:
        """A service that was not registered is not, until its checks have passed."""
        self.kill(self.daemon(service("a"), state=True))
        daemon = self.daemon(service("a"), state=True)
        self.reactor.pass_time(5)
        self.assertEqual(self.registered(), {})
        self.push(daemon, "a")
        self.assertEqual(list(self.registered()), ["a"])

    def test_unwanted_first(self) -> None:
        """A service that is no longer wanted goes before anything is created."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0), state=True)
        self.kill(daemon)
        zxid = self.server.zxid
        self.daemon(service("b", checks=0), service("c", checks=0), state=True)
        self.assertEqual(list(self.registered()), ["b", "c"])
        # The session's own transaction is not one of them: a deletion, and then the creation.
        self.assertEqual(self.server.zxid, zxid + 2)
        self.assertEqual(self.stat("c").czxid, zxid + 2)
        self.assertEqual(len(self.log.about("Withdrew /services/a:1, which the last process had registered.")), 1)

    def test_in_maintenance(self) -> None:
        """A service that is in maintenance after the restart goes."""
        file = self.folder.absolute() / "maintenance"
        daemon = self.daemon(service("a", checks=0), state=True, daemon=f'maintenance_file = "{file}"')
        content = {"*": {"reason": "kernel", "since": 0, "until": None}}
        self.kill(daemon)
        file.write_text(json.dumps({"kind": "txmirror maintenance", "version": 1, "maintenance": content}))
        self.daemon(service("a", checks=0), state=True, daemon=f'maintenance_file = "{file}"')
        self.assertEqual(self.registered(), {})

    def test_down_before_the_session(self) -> None:
        """A service that its checks find down before ZooKeeper can be reached goes when it can."""
        daemon = self.daemon(service("a"), service("b"), state=True)
        self.push(daemon, "a")
        self.push(daemon, "b")
        self.kill(daemon)
        self.server.stop_listening()
        daemon = self.daemon(service("a"), service("b"), state=True)
        self.push(daemon, "a", Status.FAIL)
        self.server.listen(2181)
        self.reactor.pass_time(3)
        self.assertEqual(list(self.registered()), ["b"])

    def test_moved(self) -> None:
        """A service that has another znode after the restart leaves the old one."""
        daemon = self.daemon(service("a", checks=0), state=True)
        self.kill(daemon)
        self.daemon(service("a", checks=0).replace("a:1", "z:1"), state=True)
        self.assertEqual(list(self.registered()), ["z"])

    def test_data_changed(self) -> None:
        """Other data is written to the znode that is there."""
        daemon = self.daemon(service("a", checks=0, data__n=1), state=True)
        before = self.stat("a")
        self.kill(daemon)
        self.daemon(service("a", checks=0, data__n=2), state=True)
        self.assertEqual(self.registered()["a"]["n"], 2)
        self.assertEqual(self.stat("a").czxid, before.czxid)

    def test_too_late(self) -> None:
        """After the session timeout there is a new session, and services are out until proven."""
        daemon = self.daemon(service("a"), service("b", checks=0), state=True)
        self.push(daemon, "a")
        session = self.session(daemon)
        self.kill(daemon)
        self.reactor.pass_time(S * 2)
        daemon = self.daemon(service("a"), service("b", checks=0), state=True)
        self.reactor.pass_time(1)
        self.assertNotEqual(self.session(daemon), session)
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(len(self.log.about("was not resumed: services are registered anew")), 1)

    def test_expires_undecided(self) -> None:
        """If the session expires before the checks have decided, a service is not registered in the next one."""
        daemon = self.daemon(service("a"), state=True)
        self.push(daemon, "a")
        self.kill(daemon)
        daemon = self.daemon(service("a"), state=True)
        self.server.expire_session(self.session(daemon))
        self.reactor.pass_time(5)
        self.assertEqual(self.registered(), {})
        self.assertIs(daemon.supervisor.services["a"].condition, Condition.UNDECIDED)
        self.push(daemon, "a")
        self.assertEqual(list(self.registered()), ["a"])

    def test_connection_lost_meanwhile(self) -> None:
        """The take-over continues after a lost connection, at whichever step that happens."""
        for kind in ("exists", "delete"):
            daemon = self.daemon(service("a", checks=0), service("b", checks=0), state=True)
            self.kill(daemon)
            self.server.lose_reply(kind)
            daemon = self.daemon(service("b", checks=0), service("c"), state=True)
            self.push(daemon, "c")
            self.reactor.pass_time(10)
            self.assertEqual(list(self.registered()), ["b", "c"], kind)
            self.end(daemon)

    def test_throttled(self) -> None:
        """A server that refuses a request for a while, without closing the connection, is asked again."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0), state=True)
        self.kill(daemon)
        self.server.fail_next("exists", ThrottledOpException())
        self.daemon(service("b", checks=0), service("c", checks=0), state=True)
        self.reactor.pass_time(4)
        self.assertEqual(list(self.registered()), ["b", "c"])
        (line,) = self.log.about("The session could not be prepared: ")
        self.assertRegex(line, "the server is throttling requests.*Retrying")

    def test_killed_meanwhile(self) -> None:
        """A process that is killed before it has looked at the last one's znodes leaves them to the next one, in the file."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0), state=True)
        self.kill(daemon)
        self.server.delay_next("exists", 0.05)
        daemon = self.daemon(service("b", checks=0), state=True)
        self.assertEqual(set(self.paths()), {"/services/a:1", "/services/b:1"})
        self.kill(daemon)
        self.reactor.pass_time(1)
        self.daemon(service("b", checks=0), state=True)
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(set(self.paths()), {"/services/b:1"})


class StopTests(HandoverTestCase):
    def test_clean(self) -> None:
        """After a clean stop there is no file, and no session."""
        self.end(self.daemon(service("a", checks=0), state=True))
        self.assertFalse(self.state_file.exists())
        self.assertEqual(len(self.server.sessions), 1)

    def test_keep_session(self) -> None:
        """With keep-session the session stays, with that service and without the others."""
        parts = (service("a", checks=0, on_stop="keep-session"), service("b", checks=0))
        daemon = self.daemon(*parts, state=True)
        before = self.stat("a")
        self.end(daemon, 0.1)
        self.assertEqual(list(self.registered()), ["a"])
        self.assertEqual(len(self.log.about("stays for 4 s with its registrations")), 1)
        self.reactor.pass_time(S / 2)
        self.daemon(*parts, state=True)
        self.assertEqual(list(self.registered()), ["a", "b"])
        self.assertEqual(self.stat("a"), before)

    def test_keep_session_of_nothing(self) -> None:
        """With keep-session and nothing registered, the session ends."""
        self.end(self.daemon(service("a", on_stop="keep-session"), state=True))
        self.assertEqual(len(self.server.sessions), 1)

    def test_keep_session_out_of_reach(self) -> None:
        """Without contact, the log does not say how long the session stays."""
        daemon = self.daemon(service("a", checks=0, on_stop="keep-session"), state=True)
        self.server.stop_listening()
        self.reactor.pass_time(0.5)
        self.end(daemon, 8)
        self.assertTrue(self.state_file.exists())
        self.assertEqual(self.log.about("stays for"), [])
        self.assertEqual(len(self.log.about("takes it over if it has not expired")), 1)

    def test_out_of_reach(self) -> None:
        """Stopped while ZooKeeper is out of reach, the next daemon resumes the session, and deletes the unwanted nodes."""
        daemon = self.daemon(service("a", checks=0), state=True)
        self.server.stop_listening()
        self.reactor.pass_time(0.5)
        self.end(daemon, 8)
        self.assertTrue(self.state_file.exists())


class OriginTests(HandoverTestCase):
    def test_another_machine(self) -> None:
        """Another machine's session is left alone: copied images would take it from one another."""
        daemon = self.daemon(service("a", checks=0), state=True)
        session = self.session(daemon)
        self.kill(daemon)
        self.host = "host2"
        daemon = self.daemon(service("b", checks=0), state=True)
        self.assertNotEqual(self.session(daemon), session)
        self.assertIn(session, self.server.sessions)
        self.assertEqual(list(self.registered()), ["a", "b"])
        (line,) = self.log.about("is not resumed")
        self.assertIn("another machine", line)

    def test_another_boot(self) -> None:
        """A session of an earlier boot is closed, and not taken over."""
        daemon = self.daemon(service("a"), service("b", checks=0), state=True)
        self.push(daemon, "a")
        session = self.session(daemon)
        self.kill(daemon)
        content = self.saved()
        self.state_file.write_text(json.dumps({**content, "boot": "an earlier one"}))
        daemon = self.daemon(service("a"), service("b", checks=0), state=True)
        self.reactor.pass_time(1)
        self.assertNotEqual(self.session(daemon), session)
        self.assertNotIn(session, self.server.sessions)
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(len(self.log.about("this machine was booted since, so it is closed")), 1)

    def test_other_servers(self) -> None:
        """A session of other servers, or of another chroot, is not taken over; one is if the list has a server more."""
        cases = (
            ("127.0.0.1:2181/other", False),
            ("other:2181", False),
            (":", False),
            ("other:2181,127.0.0.1:2181", True),
        )
        for servers, same in cases:
            daemon = self.daemon(service("a", checks=0), state=True)
            session = self.session(daemon)
            self.kill(daemon)
            self.state_file.write_text(json.dumps({**self.saved(), "servers": servers}))
            daemon = self.daemon(service("b", checks=0), state=True)
            self.assertEqual(self.session(daemon) == session, same, servers)
            self.assertEqual(len(self.log.about(f"its servers are {servers}")), not same)
            self.end(daemon)
            self.reactor.pass_time(2 * S)


class KeeperTests(HandoverTestCase):
    imitate = "keeper"

    def test_said_once(self) -> None:
        """With servers that resume no session, one line is logged; the last process's znodes are replaced at once."""
        daemon = self.daemon(service("a"), service("b", checks=0), service("c", checks=0), state=True)
        self.push(daemon, "a")
        self.assertEqual(len(self.log.about("These servers never resume a session")), 1)
        before = self.stat("b")
        self.kill(daemon)
        self.log.lines.clear()
        daemon = self.daemon(service("a"), service("b", checks=0), state=True)
        self.reactor.pass_time(0.5)
        self.assertEqual(len(self.log.about("These servers never resume a session")), 1)
        # "c" is no longer wanted, "b" is registered anew, and "a" has not been decided.
        self.assertEqual(list(self.registered()), ["a", "b"])
        self.assertNotEqual(self.stat("b").czxid, before.czxid)
        session = self.session(daemon)
        self.assertEqual(self.stat("b").ephemeralOwner, session)
        self.assertNotEqual(self.stat("a").ephemeralOwner, session)
        self.push(daemon, "a")
        self.reactor.pass_time(0.5)
        self.assertEqual(self.stat("a").ephemeralOwner, session)

    def test_wait(self) -> None:
        """With takeover = "wait" the former session's znode is waited for."""
        parts = (service("b", checks=0, takeover="wait"),)
        self.kill(self.daemon(*parts, state=True))
        before = self.stat("b")
        daemon = self.daemon(*parts, state=True)
        self.reactor.pass_time(1)
        self.assertEqual(self.stat("b"), before)
        self.assertIs(daemon.supervisor.services["b"].condition, Condition.BLOCKED)
        self.reactor.pass_time(S * 2)
        self.assertEqual(self.stat("b").ephemeralOwner, self.session(daemon))


class FileTests(HandoverTestCase):
    def test_content(self) -> None:
        """The file is written before the first znode, is private, and lists the nodes that may be registered."""
        writes: list[int] = []
        write = state_file.write

        def noting(path: Path, saved: state_file.SavedSession) -> None:
            writes.append(len(self.registered()))
            write(path, saved)

        self.patch(state_file, "write", noting)
        daemon = self.daemon(service("a", checks=0), service("b"), state=True)
        self.assertEqual(writes, [0])
        self.assertEqual(stat.S_IMODE(self.state_file.stat().st_mode), 0o600)
        content = self.saved()
        self.assertEqual(content["services"], {"a": "/services/a:1", "b": "/services/b:1"})
        ticket = SessionTicket.from_text(str(content["session"]))
        self.assertEqual(ticket.session_id, self.session(daemon))
        self.assertNotIn(ticket.password.hex(), "".join(self.log.lines))

    def test_written_before(self) -> None:
        """Nothing is created before the file is on the disk, in a session after the first too."""
        pending: list[Deferred[object]] = []

        def in_thread(_: object, function: object, *arguments: object) -> Deferred[object]:
            pending.append(Deferred())
            return pending[-1]

        def finish() -> None:
            while pending:
                pending.pop().callback(None)
            self.reactor.settle()

        daemon = self.daemon(service("a", checks=0), state=True)
        self.patch(state, "run_in_thread", in_thread)
        self.server.expire_session(self.session(daemon))
        self.reactor.pass_time(5)
        self.assertEqual(self.registered(), {})
        finish()
        self.assertEqual(list(self.registered()), ["a"])
        self.write(service("a", checks=0), service("b", checks=0), state=True)
        daemon.reload()
        self.reactor.pass_time(1)
        self.assertEqual(list(self.registered()), ["a"])
        finish()
        self.assertEqual(list(self.registered()), ["a", "b"])
        stopped = daemon.stopService()
        self.running.clear()
        self.reactor.settle()
        finish()
        self.reactor.settle()
        self.successResultOf(stopped)

    def test_unusable(self) -> None:
        """A damaged file, one of another version and one that others may read are set aside: one line, and a new session."""
        good = None
        for number, (content, mode) in enumerate(
            ((b"{", 0o600), (b"[]", 0o600), (None, 0o644), (b"\xff", 0o600), (b"2", 0o600))
        ):
            daemon = self.daemon(service("a", checks=0), state=True)
            good = self.state_file.read_bytes()
            session = self.session(daemon)
            self.kill(daemon)
            self.state_file.write_bytes(
                good
                if content is None
                else good.replace(b'"version": 1', b'"version": 2')
                if content == b"2"
                else content
            )
            self.state_file.chmod(mode)
            self.log.lines.clear()
            daemon = self.daemon(service("a", checks=0), state=True)
            self.assertNotEqual(self.session(daemon), session, number)
            (line,) = self.log.about("State file: ")
            self.assertIn(".damaged", line)
            self.assertNotIn("\n", line)
            self.end(daemon)
            self.reactor.pass_time(2 * S)

    def test_of_another_user(self) -> None:
        """A state file of another user is set aside."""
        daemon = self.daemon(service("a", checks=0), state=True)
        self.kill(daemon)
        give_away(self.state_file)
        self.daemon(service("a", checks=0), state=True)
        self.assertEqual(len(self.log.about("it belongs to user")), 1)

    def test_cannot_be_written(self) -> None:
        """If the file cannot be written, services are registered all the same, and one line is logged."""
        self.fill_disk()
        daemon = self.daemon(service("a", checks=0), state=True)
        self.assertEqual(list(self.registered()), ["a"])
        self.server.expire_session(self.session(daemon))
        self.reactor.pass_time(5)
        self.assertEqual(list(self.registered()), ["a"])
        (line,) = self.log.about("cannot be written")
        self.assertIn("No space left", line)

    def test_written_later(self) -> None:
        """A file that could not be written, because the disk was full, is written when there is space again."""
        write = state_file.write
        self.fill_disk()
        self.daemon(service("a", checks=0), state=True)
        self.reactor.pass_time(60)
        self.assertFalse(self.state_file.exists())
        self.patch(state_file, "write", write)
        self.reactor.pass_time(60)
        self.assertIn("a", self.saved()["services"])
        self.assertEqual(len(self.log.about("cannot be written")), 1)
        self.assertEqual(len(self.log.about("is written again")), 1)

    def fill_disk(self) -> None:
        """Let the state file be written no more."""

        def full(path: Path, saved: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(state_file, "write", full)

    def test_incomplete(self) -> None:
        """A znode that could not be written to the file does not stay registered for ever, in a session that is taken over."""
        daemon = self.daemon(service("a", checks=0), state=True)
        self.fill_disk()
        self.write(service("a", checks=0), service("b", checks=0), state=True)
        daemon.reload()
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["a", "b"])
        self.kill(daemon)
        self.daemon(service("a", checks=0), state=True)
        self.reactor.pass_time(3 * S)
        self.assertEqual(list(self.registered()), ["a"])

    def test_complete(self) -> None:
        """A file that has all znodes of the session stays when it cannot be replaced: the session is handed over."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0), state=True)
        self.fill_disk()
        self.write(service("a", checks=0), state=True)
        daemon.reload()
        self.reactor.pass_time(30)
        session, czxid = self.session(daemon), self.stat("a").czxid
        self.kill(daemon)
        daemon = self.daemon(service("a", checks=0), state=True)
        self.assertEqual((self.session(daemon), self.stat("a").czxid), (session, czxid))

    def test_incomplete_for_ever(self) -> None:
        """A file that can be neither replaced nor deleted, on a disk that is read-only, is no reason to stop."""

        def refuse(path: Path) -> None:
            raise OSError(30, "Read-only file system")

        daemon = self.daemon(service("a", checks=0), state=True)
        self.fill_disk()
        self.patch(state_file, "remove", refuse)
        self.write(service("b", checks=0), state=True)
        daemon.reload()
        self.reactor.pass_time(30)
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(len(self.log.about("cannot be written")), 1)

    def test_lock_without_space(self) -> None:
        """On a full disk the file is locked all the same."""

        def full(descriptor: int, data: bytes, offset: int) -> int:
            raise OSError(28, "No space left on device")

        self.patch(os, "pwrite", full)
        daemon = self.daemon(service("a", checks=0), state=True)
        with (self.folder / "state.lock").open() as file:
            self.assertRaises(BlockingIOError, fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.assertTrue(daemon.running)
        self.assertTrue(self.state_file.exists())

    def test_no_folder(self) -> None:
        """If its folder is missing, services are registered all the same, and one line is logged."""
        self.state_file = Path("/nonexistent/state")
        self.daemon(service("a", checks=0), state=True)
        self.assertEqual(list(self.registered()), ["a"])
        self.assertEqual(len(self.log.about("cannot be written")), 1)

    def test_held_by_another_user(self) -> None:
        """A file that another user's daemon holds is refused too."""
        self.test_held(give_away)

    def test_held(self, prepare: Callable[[Path], object] = lambda _: None) -> None:
        """A file that another live process holds is refused, with its pid; a dead process holds none."""
        code = (
            "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
            "f.write(f'{os.getpid()}\\n'); f.flush(); print('locked', flush=True); sys.stdin.read()"
        )
        lock = self.folder / "state.lock"
        lock.touch(0o600)
        prepare(lock)
        child = subprocess.Popen([sys.executable, "-c", code, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(child.wait)
        assert child.stdin is not None
        assert child.stdout is not None
        self.addCleanup(child.stdout.close)
        self.assertEqual(child.stdout.readline(), b"locked\n")
        self.write(service("a", checks=0), state=True)
        daemon = self.make_daemon(self.load())
        error = self.assertRaises(StateFileHeldError, daemon.startService)
        self.assertIn(f"process {child.pid}", str(error))
        self.assertFalse(daemon.running)
        child.stdin.close()
        child.wait()
        self.daemon(service("a", checks=0), state=True)
        self.assertEqual(lock.read_text(), f"{os.getpid()}\n")

    def test_free_after_stop(self) -> None:
        """After the stop the lock is free."""
        service_ = StateService(str(self.state_file), self.reactor)
        service_.startService()
        with (self.folder / "state.lock").open() as file:
            self.assertRaises(BlockingIOError, fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.successResultOf(service_.stopService())
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
