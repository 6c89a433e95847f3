"""The way of a request through the modules: few of them, and one direction."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from txmirror.test.client.peer import STAT, ClientTestCase, reply
from txmirror.types import WatchedEvent
from txmirror.wire import GetDataRequest, GetDataResponse

#: The client's modules, the highest layer first.
_LAYERS = ("", "session.", "connection.")
_CLIENT = "txmirror.client."


def trace(function: Callable[[], Any]) -> list[tuple[str, str]]:
    """Return the calls from one module of this project into another, or into itself, while a function runs: (from, to)."""
    calls: list[tuple[str, str]] = []

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            callee = frame.f_globals.get("__name__", "")
            back = frame.f_back
            while back is not None and not back.f_globals.get("__name__", "").startswith("txmirror."):
                back = back.f_back
            if callee.startswith("txmirror.") and ".test." not in callee:
                calls.append((back.f_globals["__name__"] if back is not None else "", callee))

    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


def layer(module: str) -> int:
    """Return the number of a module's layer in the client, from the highest; modules below the client come last."""
    if not module.startswith(_CLIENT):
        return len(_LAYERS)
    name = module.removeprefix(_CLIENT)
    return max(number for number, prefix in enumerate(_LAYERS) if name.startswith(prefix))


class RequestPathTests(ClientTestCase):
    def trace(self, function: Callable[[], Any]) -> tuple[list[tuple[str, str]], set[str], set[str]]:
        """Return the calls, the client's own modules among them, and the modules below it, without those of the test's server."""
        calls = [
            (caller, callee)
            for caller, callee in trace(function)
            if not callee.startswith(("txmirror.testing", "txmirror.types"))
        ]
        modules = {callee for _, callee in calls}
        ours = {module.removeprefix(_CLIENT) for module in modules if module.startswith(_CLIENT)}
        return calls, ours, {module for module in modules if not module.startswith(_CLIENT)}

    def test_sending(self) -> None:
        """A get goes through five files of the client to the transport, and none of them calls a higher one."""
        client, _ = self.make_connected()
        answers: list[Any] = []
        calls, ours, below = self.trace(lambda: answers.append(client.get("/a")))
        self.assertEqual(
            ours, {"client", "requests", "session.pending", "connection.calls", "connection.connection"}, calls
        )
        self.assertEqual(
            below,
            {"txmirror.paths", "txmirror.wire.client_protocol", "txmirror.wire.headers", "txmirror.wire.jute"}
            | {"txmirror.wire.requests"},
        )
        for caller, callee in calls:
            if ".test." not in caller:
                self.assertLessEqual(layer(caller), layer(callee), f"{caller} calls {callee}")
        answers[0].addErrback(lambda _: None)

    def test_reply(self) -> None:
        """The reply goes through five files of the client to the Deferred, each of them of the same layer or a higher one."""
        client, peer = self.make_connected()
        answer = client.get("/a")
        xid, _ = peer.take(GetDataRequest)
        order: list[str] = []
        answer.addCallback(lambda _: order.append("fired"))
        frame = reply(xid, GetDataResponse(b"x", STAT))
        connection = client._session._core.connection
        assert connection is not None
        calls, ours, _ = self.trace(lambda: connection.dataReceived(frame))
        self.assertEqual(order, ["fired"])
        self.assertEqual(
            ours,
            {"connection.connection", "connection.calls", "session.session", "session.credentials", "operations"},
            calls,
        )
        for caller, callee in calls:
            if layer(callee) < len(_LAYERS) and caller.startswith(_CLIENT):
                self.assertGreaterEqual(layer(caller), layer(callee), f"{caller} calls {callee}")

    def test_one_direction(self) -> None:
        """The layers are distinguished."""
        self.assertEqual(
            [layer(f"{_CLIENT}{name}") for name in ("client", "session.session", "connection.calls")], [0, 1, 2]
        )
        self.assertEqual(layer(WatchedEvent.__module__), 3)
