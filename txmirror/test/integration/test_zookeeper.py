"""The real server of other tests behaves as they expect."""

from __future__ import annotations

import os
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.ensemble import SUPERUSER, shared_ensemble
from txmirror.test.zookeeper import JVM_OPTIONS, ServerFailed, ZooKeeperProcess, check_available, shared_server


class AvailabilityTests(SynchronousTestCase):
    def set_policy(self, policy: str) -> None:
        self.patch(os, "environ", {**os.environ, "TXMIRROR_ZOOKEEPER": policy})

    def hide_java(self) -> None:
        self.patch(os, "environ", {**os.environ, "PATH": "/nonexistent"})

    def test_off_skips(self) -> None:
        self.set_policy("off")
        self.assertRaises(SkipTest, check_available)

    def test_missing_skips_and_says_how_to_install(self) -> None:
        self.set_policy("auto")
        self.hide_java()
        skipped = self.assertRaises(SkipTest, check_available)
        self.assertIn("apt-get install zookeeper", str(skipped))

    def test_missing_fails_where_required(self) -> None:
        self.set_policy("require")
        self.hide_java()
        self.assertRaises(ServerFailed, check_available)

    def test_unknown_policy(self) -> None:
        self.set_policy("maybe")
        error = self.assertRaises(ValueError, check_available)
        self.assertIn("'maybe'", str(error))


class ZooKeeperProcessTests(SynchronousTestCase):
    def start_server(self) -> ZooKeeperProcess:
        server = ZooKeeperProcess()
        self.addCleanup(server.cleanup)
        server.start()
        return server

    def create(self, server: ZooKeeperProcess, path: str) -> int:
        """Create a persistent node with another project's client, and return the id of the session that did."""
        from kazoo.client import KazooClient

        client = KazooClient(server.address, timeout=2.0)
        client.start(timeout=10)
        try:
            client.ensure_path(path)
            session = int(client.client_id[0])
            self.assertIn(session, server.sessions())
        finally:
            client.stop()
            client.close()
        return session

    def exists(self, server: ZooKeeperProcess, path: str) -> bool:
        from kazoo.client import KazooClient

        client = KazooClient(server.address, timeout=2.0)
        client.start(timeout=10)
        try:
            return client.exists(path) is not None
        finally:
            client.stop()
            client.close()

    def test_sessions(self) -> None:
        server = shared_server()
        session = self.create(server, "/test_sessions")
        self.assertNotIn(session, server.sessions())

    def test_port_and_data_outlast_a_crash_and_a_restart(self) -> None:
        server = self.start_server()
        address = server.address
        self.create(server, "/kept")
        server.kill()
        self.assertFalse(server.running)
        self.assertRaises(OSError, server.four_letter, "ruok")
        server.start()
        self.assertTrue(self.exists(server, "/kept"))
        server.restart()
        self.assertTrue(self.exists(server, "/kept"))
        self.assertEqual(server.address, address)

    def test_wipe(self) -> None:
        server = self.start_server()
        self.create(server, "/forgotten")
        server.stop()
        server.wipe()
        server.start()
        self.assertFalse(self.exists(server, "/forgotten"))

    def test_paused_server_can_be_resumed_and_stopped(self) -> None:
        server = self.start_server()
        server.pause()
        server.resume()
        self.assertEqual(server.four_letter("ruok"), "imok")
        server.pause()
        server.stop()
        self.assertFalse(server.running)

    def test_failed_start_shows_the_log(self) -> None:
        server = self.start_server()
        twin = ZooKeeperProcess()
        self.addCleanup(twin.cleanup)
        twin.port = server.port
        failed = self.assertRaises(ServerFailed, twin.start)
        self.assertIn("Address already in use", str(failed))

    def test_cleanup_ends_the_process_and_removes_its_files(self) -> None:
        server = self.start_server()
        server.cleanup()
        server.cleanup()
        self.assertFalse(server.running)
        self.assertFalse(server.home.exists())

    def test_more_configuration(self) -> None:
        """Lines of configuration and options of Java are added to those of every server."""
        server = ZooKeeperProcess((*JVM_OPTIONS, "-Duser.name=somebody"), ["maxSessionTimeout=77000"])
        self.addCleanup(server.cleanup)
        server.start()
        self.assertIn("maxSessionTimeout=77000", server.four_letter("conf"))
        self.assertIn("user.name=somebody", server.four_letter("envi"))
        self.assertEqual(server.mode(), "standalone")


class ZooKeeperEnsembleTests(SynchronousTestCase):
    def test_members(self) -> None:
        """Three servers serve, one of which leads; when it is killed another does, and it comes back to follow."""
        ensemble = shared_ensemble()
        self.addCleanup(ensemble.heal)
        leader = ensemble.leader()
        self.assertEqual(len(ensemble.followers()), 2)
        leader.kill()
        self.assertIsNone(leader.mode())
        successor = ensemble.leader()
        self.assertIsNot(successor, leader)
        leader.start()
        self.assertEqual(leader.mode(), "follower")

    def test_heal(self) -> None:
        """Paused servers continue, and killed ones are restarted, whichever they are."""
        ensemble = shared_ensemble()
        paused, killed = ensemble.followers()
        paused.pause()
        self.assertEqual((paused.running, paused.paused, paused.mode()), (True, True, None))
        killed.kill()
        ensemble.heal()
        self.assertEqual(sorted(str(member.mode()) for member in ensemble.members), ["follower", "follower", "leader"])

    def test_reconfiguration(self) -> None:
        """The superuser can change the ensemble."""
        from kazoo.client import KazooClient

        ensemble = shared_ensemble()
        self.addCleanup(ensemble.heal)
        client = KazooClient(ensemble.leader().address, timeout=4.0)
        client.start(timeout=10)
        try:
            client.add_auth("digest", SUPERUSER.decode("ascii"))
            left = ensemble.followers()[0]
            client.reconfig(joining=None, leaving=str(left.number), new_members=None)
            data, _ = client.reconfig(joining=f"server.{left.number}={left.server}", leaving=None, new_members=None)
        finally:
            client.stop()
            client.close()
        self.assertIn(left.server.encode("ascii"), data)
