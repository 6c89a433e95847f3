"""The embedded server answers strange requests as the real one does."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.embedded.test_strange import ANSWERS, Raw
from txmirror.test.integration.sides import RealSide, Reply, Session
from txmirror.test.zookeeper import shared_server
from txmirror.types import WatchKind
from txmirror.wire import CloseSessionRequest, DeleteRequest, Operation, RemoveWatchesRequest
from txmirror.wire.jute import NULL, encode_buffer, encode_int


class StrangeTests(SynchronousTestCase):
    def test_answers(self) -> None:
        """The table that the embedded server is held to holds for the real one."""
        side = RealSide(shared_server())
        session = Session(side)
        for name, (request, code) in ANSWERS.items():
            (reply,) = session.ask(request)
            assert isinstance(reply, Reply)
            self.assertEqual(reply.err, code, name)
            if request.operation is Operation.CREATE and code == 0:
                session.ask(DeleteRequest("/strange", -1))
        # That a boolean of 2 was true left a watch.
        (reply,) = session.ask(RemoveWatchesRequest("/", WatchKind.DATA))
        assert isinstance(reply, Reply)
        self.assertEqual(reply.err, 0)
        session.ask(CloseSessionRequest(), last=True)
        session.close()

    def test_auth(self) -> None:
        """Credentials whose scheme is null are refused, and the connection goes."""
        session = Session(RealSide(shared_server()))
        request = Raw(Operation.AUTH, encode_int(0) + NULL + encode_buffer(b"x"))
        (reply,) = session.ask(request, last=True)
        assert isinstance(reply, Reply)
        self.assertEqual((reply.err, reply.body), (-115, b""))
        session.close()
