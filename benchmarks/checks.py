"""Runs the checks of many services in one process: ``checks.py --services 200 --checks 2``, on loopback.

It prints the CPU time in steady state, as a part of one core; the memory above the process after its imports; and the time from
when a service stops listening until the callback says that it is down. The services listen in a process of their own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from clock import Clock, memory
from listeners import Listeners, make_parser
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from txmirror.checks import (
    CheckSettings,
    ChecksService,
    ICheck,
    ServiceCheck,
    ServiceHealth,
    State,
    TCPCheck,
    Transition,
)


async def measure(reactor: Any, options: argparse.Namespace, ports: list[int], close: Callable[[int], None]) -> None:
    """Run the checks, and print the figures."""
    before = memory("VmRSS")
    settings = CheckSettings(interval=options.interval, timeout=2.0)

    def make(port: int) -> list[ServiceCheck]:
        checks: list[ICheck] = [TCPCheck(f"tcp:127.0.0.1:{port}", reactor=reactor) for _ in range(options.checks)]
        return [ServiceCheck(str(number), check, settings) for number, check in enumerate(checks)]

    healths = [ServiceHealth(str(number), make(port)) for number, port in enumerate(ports)]
    service = ChecksService(healths, reactor=reactor)
    service.startService()
    while any(health.state is not State.UP for health in healths):
        await deferLater(reactor, 0.1)
    await deferLater(reactor, options.interval)
    clock = Clock()
    clock.start()
    await deferLater(reactor, options.seconds)
    clock.stop()
    used = clock.figures["cpu"] / clock.figures["wall"]
    count = len(ports) * options.checks
    print(f"{len(ports)} services, {count} tcp checks each {options.interval:g} s, for {options.seconds:g} s")
    print(f"CPU: {used:.2%} of a core, {used * options.interval / count * 1e6:.0f} us a probe")
    print(f"memory: {memory('VmRSS') - before:.1f} MiB above {before:.1f} MiB")
    failing = healths[: options.failing]
    delays = await measure_delays(failing, close)
    text = ", ".join(f"{name} {value:.1f} s" for name, value in delays.items())
    print(f"from a failure to the callback, {len(failing)} services: {text}")
    await service.stopService()


async def measure_delays(healths: list[ServiceHealth], close: Callable[[int], None]) -> dict[str, float]:
    """Close the ports of some services, and return the times until they are down."""
    delays: list[float] = []
    done: Deferred[None] = Deferred()
    began = time.perf_counter()

    def changed(transition: Transition) -> None:
        if transition.after is State.DOWN:
            delays.append(time.perf_counter() - began)
            if len(delays) == len(healths):
                done.callback(None)

    for number, health in enumerate(healths):
        health.watch("benchmark", changed)
        close(number)
    await done
    return {"least": min(delays), "median": statistics.median(delays), "most": max(delays)}


def main() -> None:
    """Read the command line, start the services, and measure."""
    options = make_parser(__doc__).parse_args()
    with closing(Listeners(options.services)) as listeners:
        react(
            lambda reactor: Deferred.fromCoroutine(measure(reactor, options, listeners.ports, listeners.stop_listening))
        )


if __name__ == "__main__":
    main()
