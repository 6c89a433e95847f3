"""Several operations in one request, against a server that the test plays."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    BadVersionException,
    ConnectionLossException,
    NoNodeException,
    PathError,
    ProtocolError,
    RequestTooLargeException,
    TransactionFailedException,
    UnimplementedException,
    UnknownServerException,
    ZooKeeperException,
)
from txmirror.interfaces import ITransaction
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, ignore
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    CheckVersionRequest,
    CreateRequest,
    DeleteRequest,
    DoneResult,
    ErrorResult,
    ExistsRequest,
    GetChildrenRequest,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    MultiReadRequest,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    SetDataRequest,
    StatResponse,
)
from txmirror.wire.multi import Result


class TransactionTests(ClientTestCase):
    def begin(self) -> tuple[ZooKeeperClient, Peer, Any]:
        """Collect one write of each kind."""
        client, peer = self.make_connected()
        transaction = client.transaction()
        transaction.create("/a", b"one", ephemeral=True, sequence=True)
        transaction.delete("/b", 2)
        transaction.set("/c", b"two")
        transaction.check("/d", 3)
        return client, peer, transaction

    def test_interface(self) -> None:
        """A transaction provides its interface."""
        client, _ = self.make_connected()
        verifyObject(ITransaction, client.transaction())

    def test_sent_by_commit(self) -> None:
        """Nothing is sent before ``commit``; then all of it is, in one request and in order."""
        _, peer, transaction = self.begin()
        self.assertEqual(peer.packets, [])
        ignore(transaction.commit())
        _, request = peer.take(MultiRequest)
        self.assertEqual(
            request.requests,
            (
                CreateRequest("/a", b"one", OPEN_ACL, 3),
                DeleteRequest("/b", 2),
                SetDataRequest("/c", b"two", -1),
                CheckVersionRequest("/d", 3),
            ),
        )

    def test_results(self) -> None:
        """A transaction fires with the result of each operation."""
        _, peer, transaction = self.begin()
        results = transaction.commit()
        done: list[Result] = [
            PathResponse("/a0000000001"),
            DoneResult(2),
            StatResponse(STAT),
            DoneResult(Operation.CHECK),
        ]
        peer.answer(MultiRequest, MultiResponse(done))
        self.assertEqual(self.successResultOf(results), ["/a0000000001", None, STAT, None])

    def test_refused(self) -> None:
        """A refused transaction fails as a whole, and the error names the refused operation and the reason; nothing was
        applied.
        """
        _, peer, transaction = self.begin()
        results = transaction.commit()
        errors = [ErrorResult(0), ErrorResult(-103), ErrorResult(-2), ErrorResult(-2)]
        peer.answer(MultiRequest, MultiResponse(list(errors)), zxid=70)
        error = self.failureResultOf(results, TransactionFailedException).value
        self.assertEqual((error.index, error.path, error.applied, error.zxid), (1, "/b", False, 70))
        self.assertIsInstance(error.error, BadVersionException)
        self.assertIn("'/b'", str(error))

    def test_refused_for_an_inconsistency(self) -> None:
        """If all errors are inconsistencies, the first one is the cause."""
        _, peer, transaction = self.begin()
        results = transaction.commit()
        peer.answer(MultiRequest, MultiResponse([ErrorResult(-2)] * 4))
        self.assertEqual(self.failureResultOf(results, TransactionFailedException).value.index, 0)

    def test_unknown_code(self) -> None:
        """An unknown code in it is that operation's, and ends nothing else."""
        _, peer, transaction = self.begin()
        results = transaction.commit()
        peer.answer(MultiRequest, MultiResponse([ErrorResult(0), ErrorResult(-999), ErrorResult(-2), ErrorResult(-2)]))
        error = self.failureResultOf(results, TransactionFailedException).value.error
        self.assertIsInstance(error, UnknownServerException)
        self.assertFalse(peer.lost)

    def test_lost(self) -> None:
        """Cut off, nobody can know whether it was done."""
        _, peer, transaction = self.begin()
        results = transaction.commit()
        peer.take(MultiRequest)
        peer.drop()
        self.assertIsNone(self.failureResultOf(results, ConnectionLossException).value.applied)

    def test_cancelled(self) -> None:
        """Cancelling abandons the answer, and shifts no other's."""
        client, peer, transaction = self.begin()
        results = transaction.commit()
        other = client.exists("/a")
        results.cancel()
        self.failureResultOf(results, CancelledError)
        peer.answer(MultiRequest, MultiResponse([ErrorResult(0), ErrorResult(-103), ErrorResult(-2), ErrorResult(-2)]))
        peer.answer(ExistsRequest, StatResponse(STAT))
        self.assertEqual(self.successResultOf(other), STAT)

    def test_wrong_number_of_results(self) -> None:
        """An answer with too few results is no answer: the connection ends."""
        _, peer, transaction = self.begin()
        results = transaction.commit()
        peer.answer(MultiRequest, MultiResponse([DoneResult(2)]))
        self.failureResultOf(results, ProtocolError)
        self.assertTrue(peer.lost)

    def test_once(self) -> None:
        """A transaction can be committed once, and accepts no operation after that."""
        _, _, transaction = self.begin()
        ignore(transaction.commit())
        self.assertRaises(ValueError, transaction.commit)
        self.assertRaises(ValueError, transaction.delete, "/e")

    def test_empty(self) -> None:
        """Without writes nothing is sent."""
        client, peer = self.make_connected()
        self.assertEqual(self.successResultOf(client.transaction().commit()), [])
        self.assertEqual(peer.packets, [])

    def test_arguments(self) -> None:
        """Invalid paths and data raise at the call, and the rest can be committed."""
        _, peer, transaction = self.begin()
        self.assertRaises(PathError, transaction.create, "a")
        self.assertRaises(PathError, transaction.check, "/a/", 0)
        self.assertRaises(TypeError, transaction.set, "/a", "text")
        ignore(transaction.commit())
        self.assertEqual(len(peer.take(MultiRequest)[1].requests), 4)

    def test_too_large(self) -> None:
        """A transaction over the limit is not sent."""
        client, peer = self.make_connected()
        transaction = client.transaction()
        for name in ("/a", "/b"):
            transaction.set(name, b"x" * 600_000)
        self.failureResultOf(transaction.commit(), RequestTooLargeException)
        self.assertEqual(peer.packets, [])

    def test_chroot(self) -> None:
        """Paths are below the chroot on the way there and without it on the way back."""
        client = self.make_client(self.server.address + "/app")
        client.connect()
        peer = self.server.peer
        peer.accept()
        transaction = client.transaction()
        transaction.create("/a")
        results = transaction.commit()
        self.assertEqual(peer.answer(MultiRequest, MultiResponse([PathResponse("/app/a")])).requests[0].path, "/app/a")
        self.assertEqual(self.successResultOf(results), ["/a"])


class BatchedReadTests(ClientTestCase):
    def test_data(self) -> None:
        """Each node's data and stat comes in order, and a missing one fails alone."""
        client, peer = self.make_connected()
        answer = client.get_many(["/a", "/b", "/c"])
        results: list[Result] = [GetDataResponse(b"one", STAT), ErrorResult(-101), GetDataResponse(None, STAT)]
        request = peer.answer(MultiReadRequest, MultiResponse(results), zxid=70)
        self.assertEqual(request.requests, tuple(GetDataRequest(path, False) for path in ("/a", "/b", "/c")))
        first, second, third = self.successResultOf(answer)
        self.assertEqual((first, third), ((b"one", STAT), (b"", STAT)))
        assert isinstance(second, NoNodeException)
        self.assertEqual((second.path, second.zxid), ("/b", 70))

    def test_children(self) -> None:
        """The names of each node's children come in order, and a missing node fails alone."""
        client, peer = self.make_connected()
        answer = client.get_children_many(["/a", "/b"])
        request = peer.answer(MultiReadRequest, MultiResponse([GetChildrenResponse(["x"]), ErrorResult(-101)]))
        self.assertEqual(request.requests, (GetChildrenRequest("/a", False), GetChildrenRequest("/b", False)))
        names, error = self.successResultOf(answer)
        self.assertEqual(names, ["x"])
        self.assertIsInstance(error, NoNodeException)

    def test_chroot(self) -> None:
        """Paths are below the chroot on the way there, and an error has the path without it."""
        client, peer = self.make_connected(chroot="/app")
        answer = client.read_many(["/", "/a"], ["/b"])
        results = [ErrorResult(-101), ErrorResult(-102), ErrorResult(-102)]
        request = peer.answer(MultiReadRequest, MultiResponse([*results]))
        self.assertEqual([read.path for read in request.requests], ["/app", "/app/a", "/app/b"])
        reply = self.successResultOf(answer)
        refusals = [error for error in (*reply.data, *reply.children) if isinstance(error, ZooKeeperException)]
        self.assertEqual([error.path for error in refusals], ["/", "/a", "/b"])

    def test_wrong_answers(self) -> None:
        """An answer of another number or kind is no answer: the connection ends."""
        wrong: list[list[Result]] = [[], [GetChildrenResponse([])], [ErrorResult(0)]]
        for results in wrong:
            client, peer = self.make_connected()
            answer = client.get_many(["/a"])
            peer.answer(MultiReadRequest, MultiResponse(results))
            self.failureResultOf(answer, ProtocolError)
            self.assertTrue(peer.lost)
            client.close()
            self.pass_time(5)

    def test_nothing(self) -> None:
        """Without paths nothing is sent."""
        client, peer = self.make_connected()
        self.assertEqual(self.successResultOf(client.get_many([])), [])
        self.assertEqual(self.successResultOf(client.get_children_many([])), [])
        self.assertEqual(peer.packets, [])

    def test_unimplemented(self) -> None:
        """A server without the operation refuses it, and the connection continues."""
        client, peer = self.make_connected()
        answer = client.get_many(["/a"])
        peer.answer(MultiReadRequest, err=-6)
        self.failureResultOf(answer, UnimplementedException)
        self.assertFalse(peer.lost)

    def test_arguments(self) -> None:
        """An invalid path raises at the call."""
        client, peer = self.make_connected()
        self.assertRaises(PathError, client.get_many, ["/a", "b"])
        self.assertRaises(PathError, client.get_children_many, ["/a/"])
        self.assertEqual(peer.packets, [])
