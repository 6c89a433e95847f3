"""Opens many event streams of a daemon, on a real ZooKeeper that it starts: ``streams.py --streams 1000 --services 100 --instances 100``.

With ``--to`` it does so three times, with other numbers of instances and services, and writes the table that the documentation draws.

Another process changes znodes, and asks 200 questions of DNS a second. It prints the CPU time of the process that serves both, as a
part of one core; its memory; the time from a change of a znode until the last of all streams has it, as the process that reads them
sees it; by how much a timer of 10 ms was late, and the CPU time from one of its calls to the next; and the memory that streams cost
whose clients do not read. After ``--limit`` seconds it ends its processes and gives up, with the status 1.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, ClassVar, cast

from charts import Conditions, write
from embedded_workloads import cpu_of, memory_of
from run import JVM_OPTIONS
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall, deferLater, react
from twisted.names import dns
from twisted.protocols.basic import LineReceiver
from twisted.web.server import Site

from txmirror.catalog import Catalog
from txmirror.client import ZooKeeperClient
from txmirror.dns.service import DNSService
from txmirror.dns.settings import DNSSettings
from txmirror.mirror import Mirror
from txmirror.test.zookeeper import ZooKeeperProcess, free_ports
from txmirror.web import make_application
from txmirror.web.events import EventLog, EventStreams

ROOT = "/txmirror-streams"
#: What is written before the number of a change in the data of a znode.
MARK = b"change-"
QUESTIONS = 200
#: The groups of the documentation's table, and the name of each run there with its options.
CHANGED, ANSWERED = "A change until the last stream has it", "An answer of DNS"
RUNS = {
    "1,000 instances": ("--instances", "10"),
    "10,000 instances": ("--instances", "100"),
    "one service": ("--services", "1", "--instances", "10000", "--stalled", "10"),
}


def serve(address: str, dns_port: str) -> None:
    """Serve events and DNS in this process, until it is killed; SIGUSR1 asks by how much its timer was late."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    mirror = Mirror(address, reactor=reactor)
    catalog = Catalog(mirror, ROOT)
    streams = EventStreams(EventLog(catalog))
    port = reactor.listenTCP(0, Site(make_application(streams.mount).resource()), 2000, "127.0.0.1")
    server = DNSService(reactor=reactor)
    server.apply(DNSSettings(), ("127.0.0.1", int(dns_port)))
    server.use(catalog)
    server.startService()
    late: list[float] = []
    busy: list[float] = []
    last = [reactor.seconds(), time.process_time()]

    def tick() -> None:
        late.append(reactor.seconds() - last[0] - 0.01)
        busy.append(time.process_time() - last[1])
        last[:] = reactor.seconds(), time.process_time()
        reactor.callLater(0.01, tick)

    def end(*_: object) -> None:
        figures = [
            [found[int(len(found) * part)] for part in (0.5, 0.99)] + found[-1:]
            for found in (sorted(late), sorted(busy))
        ]
        late.clear()
        busy.clear()
        print(json.dumps(figures), flush=True)

    def begin(_: object) -> None:
        print(json.dumps({"port": port.getHost().port}), flush=True)

    tick()
    catalog.hold()

    def stop_when_known() -> None:
        if catalog.known and until_known.running:
            until_known.stop()

    until_known = LoopingCall(stop_when_known)
    until_known.start(0.05).addCallback(begin)
    reactor.callWhenRunning(signal.signal, signal.SIGUSR1, end)
    reactor.run(installSignalHandlers=False)


class Reader(Protocol):
    """Reads one stream, and notes which changes it has."""

    def __init__(self, readers: Readers, reads: bool) -> None:
        self.readers = readers
        self.reads = reads
        self.last = 0
        self.live = False
        self.rest = b""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not self.reads:
            transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        data = self.rest + data
        self.rest = data[-40:]
        if not self.live:
            if b"event: live" not in data:
                return
            self.live = True
            self.readers.live()
        place = data.rfind(MARK, 0, -12)
        if place >= 0:
            number = int(data[place + len(MARK) : place + len(MARK) + 9])
            self.readers.has(self, number)


class Readers(Factory):
    """All streams of this process: the moments at which the last of them had each change."""

    noisy = False

    def __init__(self, count: int) -> None:
        self.count = count
        self.waiting = count
        self.missing: dict[int, int] = {}
        self.done: dict[int, float] = {}
        self.all_live: Deferred[None] = Deferred()
        self.bytes = 0

    def live(self) -> None:
        self.waiting -= 1
        if not self.waiting:
            self.all_live.callback(None)

    def has(self, reader: Reader, number: int) -> None:
        now = time.monotonic()
        for each in range(reader.last + 1, number + 1):
            left = self.missing[each] = self.missing.get(each, self.count) - 1
            if not left:
                self.done[each] = now
        reader.last = max(reader.last, number)


class Commands(LineReceiver):
    """Takes commands from the parent, a line each."""

    delimiter = b"\n"

    def __init__(self, readers: Readers, port: int, reactor: Any) -> None:
        self.readers, self.port, self.reactor = readers, port, reactor

    def open(self, count: int, reads: bool) -> None:
        for number in range(count):
            self.reactor.callLater(number / 500, self.connect, reads)

    def connect(self, reads: bool) -> None:
        factory = Factory.forProtocol(lambda: Reader(self.readers, reads))
        factory.noisy = False
        TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.port).connect(factory)

    def lineReceived(self, line: bytes) -> None:
        word, _, number = line.decode().partition(" ")
        if word == "stall":
            self.open(int(number), reads=False)
            print("{}", flush=True)
        else:
            print(json.dumps(self.readers.done), flush=True)


def read(port: str, count: str) -> None:
    """Read streams in this process, until its standard input ends."""
    from twisted.internet import reactor as installed

    reactor: Any = installed
    readers = Readers(int(count))
    commands = Commands(readers, int(port), reactor)
    StandardIO(commands)
    commands.open(int(count), reads=True)
    readers.all_live.addCallback(lambda _: print("{}", flush=True))
    reactor.run()


class Questions(DatagramProtocol):
    """Asks the DNS server, and notes how long each answer takes."""

    def __init__(self, port: int, services: int) -> None:
        self.port, self.services = port, services
        self.sent: dict[int, float] = {}
        self.times: list[float] = []
        self.count = 0

    def ask(self, count: int) -> None:
        for _ in range(count):
            self.count += 1
            name = f"service-{self.count % self.services:04}.service.mirror"
            message = dns.Message(id=self.count % 65536)
            message.addQuery(name, dns.SRV if self.count % 2 else dns.A)
            self.sent[message.id] = time.monotonic()
            cast(IUDPTransport, self.transport).write(message.toStr(), ("127.0.0.1", self.port))

    def datagramReceived(self, data: bytes, address: object) -> None:
        sent = self.sent.pop(int.from_bytes(data[:2], "big"), None)
        if sent is not None:
            self.times.append(time.monotonic() - sent)


def _data(number: int) -> bytes:
    return b'{"zone": "a", "version": "1.2.3", "mark": "%s%09d"}' % (MARK, number)


async def make(client: ZooKeeperClient, options: argparse.Namespace) -> list[str]:
    """Register the instances, and return the paths of their nodes."""
    await client.connect()
    await client.create(ROOT)
    nodes = []
    for service in range(options.services):
        path = f"{ROOT}/service-{service:04}"
        await client.create(path)
        of_one = [f"{path}/10.0.{service % 250}.{number % 250}:{8000 + number}" for number in range(options.instances)]
        await gatherResults([client.create(each, _data(0)) for each in of_one])
        nodes += of_one
    return nodes


class Load:
    """Changes nodes, and asks DNS, at steady rates."""

    def __init__(
        self, client: ZooKeeperClient, nodes: list[str], questions: Questions, options: argparse.Namespace, reactor: Any
    ) -> None:
        self.client, self.nodes, self.questions, self.reactor = client, nodes, questions, reactor
        self.options = options
        self.sent: dict[int, float] = {}

    async def run(self, seconds: float) -> float:
        """Do so for some time, and return how long that was, in seconds."""
        began = time.monotonic()
        loops = [LoopingCall.withCount(self._change), LoopingCall.withCount(self.questions.ask)]
        for loop, rate in zip(loops, (self.options.changes, QUESTIONS), strict=True):
            loop.start(1 / rate)
        await deferLater(self.reactor, seconds)
        for loop in loops:
            loop.stop()
        return time.monotonic() - began

    def _change(self, count: int) -> None:
        for _ in range(count):
            number = len(self.sent) + 1
            self.sent[number] = time.monotonic()
            path = self.nodes[number * 7919 % len(self.nodes)]
            self.client.set(path, _data(number)).addErrback(lambda _: None)


class Child:
    """Another process of this script, which answers lines with JSON."""

    running: ClassVar[list[Child]] = []

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.running.append(self)

    @property
    def cpu(self) -> float:
        return cpu_of(self.process.pid)

    @property
    def memory(self) -> float:
        return memory_of(self.process.pid)

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, line: str) -> Any:
        print(line, file=self.process.stdin, flush=True)
        return self.read()

    def late(self) -> str:
        self.process.send_signal(signal.SIGUSR1)
        texts = []
        for figures in self.read():
            median, p99, most = (1e3 * each for each in figures)
            texts.append(f"{median:.0f} ms (median), {p99:.0f} ms (P99), {most:.0f} ms (most)")
        return f"{texts[0]}; the CPU time between its calls is {texts[1]}"

    @classmethod
    def end_all(cls) -> None:
        for each in cls.running:
            each.process.kill()
            each.process.wait()


#: P50 and P99 in seconds.
Quantiles = tuple[float, float]


async def measure(reactor: Any, options: argparse.Namespace, server: ZooKeeperProcess) -> dict[str, Quantiles]:
    """Print the figures, and return those for the table."""
    client = ZooKeeperClient(server.address, reactor=reactor)
    nodes = await make(client, options)
    (dns_port,) = free_ports(1)
    daemon = Child("serve", server.address, str(dns_port))
    try:
        port = daemon.read()["port"]
        print(f"{len(nodes):,} instances of {options.services} services: {daemon.memory:.0f} MiB")
        print(f"until then a timer of 10 ms is late by {daemon.late()}", flush=True)
        used, began = daemon.cpu, time.monotonic()
        reader = Child("read", str(port), str(options.streams))
        reader.read()
        print(
            f"{options.streams:,} streams have their snapshots after {time.monotonic() - began:.1f} s,"
            f" {daemon.cpu - used:.1f} s of CPU: {daemon.memory:.0f} MiB"
        )
        print(f"meanwhile it is late by {daemon.late()}", flush=True)
        questions = Questions(dns_port, options.services)
        udp = reactor.listenUDP(0, questions)
        load = Load(client, nodes, questions, options, reactor)
        used = daemon.cpu
        passed = await load.run(options.seconds)
        part = (daemon.cpu - used) / passed
        print(
            f"{len(load.sent) / passed:.0f} changes/s and {questions.count / passed:.0f} questions/s for {passed:.0f} s:"
            f" {part:.0%} of a core, {daemon.memory:.0f} MiB"
        )
        print(f"meanwhile it is late by {daemon.late()}", flush=True)
        await deferLater(reactor, 3.0)
        done = reader.ask("done")
        times = [done[str(number)] - moment for number, moment in load.sent.items() if str(number) in done]
        figures = {
            CHANGED: _print("from a change until the last stream has it", times, len(load.sent)),
            ANSWERED: _print("answers of DNS", questions.times, questions.count),
        }
        memory = daemon.memory
        reader.ask(f"stall {options.stalled}")
        await load.run(15.0)
        more = daemon.memory - memory
        each = more * 1024 / options.stalled
        print(f"{options.stalled} clients that do not read: {more:.0f} MiB more, {each:.0f} KiB each")
        await client.close()
        await udp.stopListening()
        return figures
    finally:
        Child.end_all()


def _print(label: str, times: list[float], count: int) -> Quantiles:
    quantiles = statistics.quantiles(sorted(times), n=100)
    print(f"{label}: P50 {quantiles[49] * 1e3:.0f} ms, P99 {quantiles[98] * 1e3:.0f} ms, {len(times):,} of {count:,}")
    return quantiles[49], quantiles[98]


def write_chart(folder: Path) -> None:
    """Run this script once for each bar, and write the table."""
    conditions = Conditions()
    found: dict[str, dict[str, Quantiles]] = {}
    with tempfile.TemporaryDirectory() as results:
        for name, options in RUNS.items():
            result = Path(results, "figures.json")
            subprocess.run([sys.executable, __file__, *options, "--json", str(result)], check=True)
            found[name] = json.loads(result.read_text())
            conditions.look()
    write(
        folder / "latency.csv",
        ("what", "instances", "P99 (s)", "P50 (s)"),
        [
            (what, name, f"{figures[what][1]:.2g}", f"{figures[what][0]:.2g}")
            for what in (CHANGED, ANSWERED)
            for name, figures in found.items()
        ],
        title="Latency with 1,000 event streams, 100 changes and 200 questions of DNS a second: P99, and in parentheses P50",
        measured=conditions.described("One run each"),
        command="benchmarks/streams.py --to docs/speed",
    )


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:])
        return
    if sys.argv[1:2] == ["read"]:
        read(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--instances", type=int, default=10, help="of each service")
    parser.add_argument("--changes", type=float, default=100.0, help="a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--stalled", type=int, default=200)
    parser.add_argument("--limit", type=int, default=240, help="the longest time of all, in seconds")
    parser.add_argument("--json", type=Path, help="where to write P50 and P99, in seconds")
    parser.add_argument("--to", type=Path, help="the folder for the table that the documentation draws (docs/speed)")
    options = parser.parse_args()
    if options.to:
        write_chart(options.to)
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = ZooKeeperProcess(JVM_OPTIONS)

    def give_up(*_: object) -> None:
        # It may wait for a child, or for the reactor.
        print(f"This takes more than {options.limit} s: given up.", file=sys.stderr, flush=True)
        Child.end_all()
        server.cleanup()
        os._exit(1)

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(options.limit)

    async def run(reactor: Any) -> None:
        figures = await measure(reactor, options, server)
        if options.json:
            options.json.write_text(json.dumps(figures))

    try:
        server.start()
        react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
    finally:
        server.cleanup()


if __name__ == "__main__":
    main()
