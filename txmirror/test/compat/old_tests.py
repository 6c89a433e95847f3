"""txzookeeper's own tests, as its source distribution has them, through the loader, at a real server: a program.

``python -m txmirror.test.compat.old_tests PORT [slow]`` prints JSON: the outcome of each test by name and, if it did
not pass, the reason. ``slow`` runs the slow ones, too. The program first provides the environment that the tests
expect:

- their server's port, the folder that has the server's Java archives, and that an ensemble of theirs serves when it was
  started;
- the binding's calls that wait for an answer, which no program can make in the reactor's thread: here each handle has a
  second connection for them, that blocks;
- that a closed handle leaves nothing behind in the reactor, as with the C library, whose threads trial does not see;
- Python 2's ``hashlib`` and ``base64``, and the parts of ``types`` and ``inspect`` that their bundled mocker uses.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import inspect
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.trial import reporter, runner

from txmirror.compat import handles, install, zookeeper
from txmirror.compat.codes import EXCEPTIONS, refusal
from txmirror.compat.values import bytes_of, text_of
from txmirror.test.zookeeper import free_ports
from txmirror.types import ACL
from txmirror.wire import (
    AUTH_XID,
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    PathResponse,
    ReplyHeader,
    Request,
    RequestHeader,
    SetDataRequest,
    StatResponse,
    encode_frame,
)

#: Where they take their server for granted.
_THEIR_PORT = 2181
#: Modules of txzookeeper's tests.
MODULES = (
    "test_client",
    "test_conn_failure",
    "test_lock",
    "test_managed",
    "test_node",
    "test_queue",
    "test_retry",
    "test_security",
    "test_utils",
    "test_session",
)
#: Which of them wait for sessions to end, or start an ensemble for each test: a minute and a half in all.
SLOW = (
    "test_managed.SessionClientExpireTests",
    "test_retry.RetryClientConnectionLossTest",
    "test_session.ClientSessionTests",
)
_JARS = Path("/usr/share/java")
_PREFIX = "txzookeeper.tests."


class Blocking:
    """A connection that waits for each answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._reader = self._socket.makefile("rb")
        self._xid = 0
        self._write(ConnectRequest(0, 10_000, 0, bytes(16)).encode())
        ConnectResponse.decode(self._read())

    def add_auth(self, scheme: str, credentials: bytes) -> None:
        request = AuthRequest(scheme, credentials)
        self._write(RequestHeader(AUTH_XID, request.operation).encode() + request.encode())
        ReplyHeader.decode(self._read())

    def ask(self, request: Request) -> Cursor:
        self._xid += 1
        self._write(RequestHeader(self._xid, request.operation).encode() + request.encode())
        cursor = self._read()
        header = ReplyHeader.decode(cursor)
        if header.err:
            raise refusal(header.err)
        return cursor

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _write(self, record: bytes) -> None:
        self._socket.sendall(encode_frame(record))

    def _read(self) -> Cursor:
        (length,) = struct.unpack(">i", self._reader.read(4))
        return Cursor(self._reader.read(length))


class Stage:
    """The environment that the tests assume.

    :param port: where the server listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._blocking: dict[int, Blocking] = {}
        self._identities: dict[int, list[tuple[str, bytes]]] = {}
        self._handles: list[int] = []
        self._closing: list[Deferred[None]] = []

    def prepare(self) -> None:
        # They take the way to the server away from handles that are being closed.
        handles.CLOSE_TIME = 0.2
        binding: Any = zookeeper
        init, end, add_auth = binding.init, binding.end, binding.add_auth

        def init_here(hosts: str, *arguments: Any) -> int:
            hosts = ",".join(self._here(host) for host in hosts.split(","))
            handle: int = init(hosts, *arguments)
            self._handles.append(handle)
            return handle

        def end_noting(handle: int) -> Deferred[None]:
            ended: Deferred[None] = end(handle)
            self._closing.append(ended)
            return ended

        def add_auth_noting(handle: int, scheme: str, cert: str, callback: Any) -> int:
            self._identities.setdefault(handle, []).append((scheme, bytes_of(cert)))
            number: int = add_auth(handle, scheme, cert, callback)
            return number

        binding.init, binding.end, binding.add_auth = init_here, end_noting, add_auth_noting
        for name in ("create", "delete", "exists", "get", "get_acl", "get_children", "set"):
            setattr(binding, name, getattr(self, name))

        # What the tests themselves, and the mocker that they bring, take for granted of Python 2.
        python: Any = types
        python.UnboundMethodType = type("UnboundMethodType", (), {})
        python = inspect
        python.getargspec = lambda function: inspect.getfullargspec(function)[:4]

    def prepare_module(self, module: Any) -> None:
        """Provide the names of Python 2 that a module of tests assumes."""
        if hasattr(module, "hashlib"):
            module.hashlib, module.base64 = _PlainHashlib, _PlainBase64

    def _here(self, host: str) -> str:
        return f"127.0.0.1:{self._port}" if host == f"127.0.0.1:{_THEIR_PORT}" else host

    def settle_after(self, test: Any) -> None:
        """Let a test be over only when its handles are."""
        tear_down = test.tearDown

        def tear_down_and_settle() -> Deferred[Any]:
            done: Deferred[Any] = self.catch_up().addBoth(lambda _: tear_down())
            return done.addBoth(lambda result: self.settle().addCallback(lambda _: result))

        test.tearDown = tear_down_and_settle

    def catch_up(self) -> Deferred[Any]:
        """Wait until all is answered that was asked: to the second connection it is not behind that, as it would be."""
        from twisted.internet import reactor

        clients = [zookeeper.handle_of(handle).client for handle in self._handles if handle in zookeeper._handles]
        answers = [client.exists("/").addTimeout(1, reactor) for client in clients if client.session_id]
        return DeferredList(answers, consumeErrors=True)

    def settle(self) -> Deferred[Any]:
        """Wait until all handles are closed, and all of them is gone."""
        handles, self._handles = self._handles, []
        for blocking in self._blocking.values():
            blocking.close()
        self._blocking.clear()
        self._identities.clear()
        for handle in handles:
            zookeeper.end(handle)
        closing, self._closing = self._closing, []
        return gatherResults(closing)

    def set_proxy(self, proxy: Any) -> None:
        """Let their proxy go where the server is."""
        build = proxy.ProxyFactory.__init__

        def there(factory: Any, host: str, port: int) -> None:
            build(factory, host, self._port if port == _THEIR_PORT else port)

        proxy.ProxyFactory.__init__ = there

    # The calls that wait.

    def _ask(self, handle: int, request: Request) -> Cursor:
        zookeeper.handle_of(handle)
        if handle not in self._blocking:
            self._blocking[handle] = Blocking(self._port)
        identities = self._identities.get(handle, [])
        while identities:
            self._blocking[handle].add_auth(*identities.pop(0))
        return self._blocking[handle].ask(request)

    def get(self, handle: int, path: str) -> tuple[str, dict[str, int]]:
        data, stat = GetDataResponse.decode(self._ask(handle, GetDataRequest(path, False)))
        return text_of(data or b""), stat._asdict()

    def exists(self, handle: int, path: str) -> dict[str, int] | None:
        try:
            return StatResponse.decode(self._ask(handle, ExistsRequest(path, False))).stat._asdict()
        except EXCEPTIONS[-101]:
            return None

    def get_children(self, handle: int, path: str) -> list[str]:
        return GetChildren2Response.decode(self._ask(handle, GetChildren2Request(path, False))).children

    def get_acl(self, handle: int, path: str) -> tuple[dict[str, int], list[dict[str, Any]]]:
        acl, stat = GetACLResponse.decode(self._ask(handle, GetACLRequest(path)))
        return stat._asdict(), [{"perms": perms, "scheme": scheme, "id": name} for perms, scheme, name in acl]

    def set(self, handle: int, path: str, value: str, version: int = -1) -> int:
        self._ask(handle, SetDataRequest(path, bytes_of(value), version))
        return 0

    def create(self, handle: int, path: str, value: str, acl: Any, flags: int = 0) -> str:
        entries = tuple(ACL(entry["perms"], entry["scheme"], entry["id"]) for entry in acl)
        return PathResponse.decode(self._ask(handle, CreateRequest(path, bytes_of(value), entries, flags))).path

    def delete(self, handle: int, path: str, version: int = -1) -> int:
        self._ask(handle, DeleteRequest(path, version))
        return 0


class _PlainHashlib:
    """Python 2's, which hashes a str."""

    @staticmethod
    def new(name: str, text: str) -> Any:
        return hashlib.new(name, text.encode())


class _PlainBase64:
    """The base64 module of Python 2, which returns a str."""

    @staticmethod
    def b64encode(data: bytes) -> str:
        return base64.b64encode(data).decode()


class Table(reporter.TestResult):
    """The results of the tests.

    :ivar rows: by its name, ``passed``, ``failed`` or ``skipped``, and why.
    """

    def __init__(self, *_: object) -> None:
        super().__init__()
        self.rows: dict[str, tuple[str, str]] = {}

    def addSuccess(self, test: Any) -> None:
        super().addSuccess(test)
        self._add(test, "passed", "")

    def addFailure(self, test: Any, fail: Any) -> None:
        super().addFailure(test, fail)
        self._add(test, "failed", _last_line(fail))

    def addError(self, test: Any, error: Any) -> None:
        super().addError(test, error)
        self._add(test, "failed", _last_line(error))

    def addSkip(self, test: Any, reason: Any) -> None:
        super().addSkip(test, reason)
        self._add(test, "skipped", str(reason))

    def _add(self, test: Any, outcome: str, why: str) -> None:
        name = test.id().removeprefix(_PREFIX)
        # What comes first says most.
        if self.rows.get(name, ("passed",))[0] == "passed":
            self.rows[name] = (outcome, why)

    def done(self) -> None:
        """The run is over."""


def _last_line(failure: Any) -> str:
    return f"{failure.type.__name__}: {failure.getErrorMessage()}".replace("\n", " ")[:200]


def _tests(suites: Any) -> Iterator[Any]:
    for suite in suites:
        if hasattr(suite, "__iter__"):
            yield from _tests(suite)
        else:
            yield suite


def lay_out_jars(folder: Path) -> None:
    """Let a folder look like a release of the server."""
    (folder / "zookeeper-server.jar").symlink_to(_JARS / "zookeeper.jar")
    (folder / "lib").symlink_to(_JARS)


def wait_until_serving(port: int) -> None:
    """Wait until a server of an ensemble serves; their own two seconds are not always enough."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"srvr")
            if connection.makefile("rb").read().startswith(b"Zookeeper version"):
                return
        threading.Event().wait(0.05)
    raise AssertionError(f"no server at port {port}")


def run(port: int, slow: bool) -> dict[str, tuple[str, str]]:
    """Run the tests, and return their outcomes."""
    install()
    stage = Stage(port)
    stage.prepare()
    import importlib

    import_module: Callable[[str], Any] = importlib.import_module
    stage.set_proxy(import_module("txzookeeper.tests.proxy"))
    home = Path(tempfile.mkdtemp(prefix="txmirror-old-tests-"))
    try:
        lay_out_jars(home)
        os.environ["ZOOKEEPER_PATH"] = str(home)
        cluster = import_module("txzookeeper.tests.common").ZookeeperCluster
        cluster.__init__.__defaults__ = (3, free_ports(1)[0])
        start = cluster.start

        def start_and_wait(servers: Any) -> None:
            start(servers)
            for server in servers:
                wait_until_serving(server.client_port)

        cluster.start = start_and_wait
        loader = runner.TestLoader()
        loaded = [import_module(_PREFIX + name) for name in MODULES]
        # They subclass one another's.
        for name, module in list(sys.modules.items()):
            if name.startswith(_PREFIX):
                stage.prepare_module(module)
        tests = [
            test
            for test in _tests([loader.loadModule(module) for module in loaded])
            if slow or not test.id().removeprefix(_PREFIX).startswith(SLOW)
        ]
        for test in tests:
            stage.settle_after(test)
        table = Table()
        runner.TrialRunner(lambda *_: table, uncleanWarnings=False, workingDirectory=str(home / "trial")).run(
            runner.TestSuite(tests)
        )
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return table.rows


if __name__ == "__main__":
    stdout, sys.stdout = sys.stdout, sys.stderr
    rows = run(int(sys.argv[1]), sys.argv[2:] == ["slow"])
    json.dump(rows, stdout, indent=0)
