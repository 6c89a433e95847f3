"""Records an outage in a world in memory: the states of a program's objects over time, as CSV. The documentation draws it.

The network is away for longer than the session's timeout, and comes back. Nothing here depends on the machine: the time is the world's.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from txmirror.recipes import Lock
from txmirror.registry import Registration
from txmirror.testing import World

#: When the registration starts, the network goes and comes back, the registration stops, and the end: seconds from the start.
_STARTED, _AWAY, _BACK, _STOPPED, _END = 1.0, 4.0, 22.0, 33.0, 36.0
#: How often the states are looked at, in seconds.
_STEP = 0.1
_PATH = "/services/web/host1:80"
DOCS = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "outage.csv"


def record() -> str:
    """Run an outage, and return a line for each state of each object, from when until when."""
    spans: dict[str, list[tuple[float, str]]] = {}
    with World() as world:
        observer = world.client()
        mirror = world.mirror(session_timeout=10.0)
        registration = Registration(mirror, _PATH)
        lock = Lock(mirror, "/locks/report", reactor=world.reactor)
        world.result(lock.acquire())
        lost: list[None] = []
        lock.lost.addCallback(lost.append)
        mirror.get("/settings")
        start = world.reactor.seconds()
        for step in range(round(_END / _STEP) + 1):
            now = round(step * _STEP, 1)
            if now == _STARTED:
                registration.start()
            elif now == _AWAY:
                world.disconnect(mirror)
            elif now == _BACK:
                world.reconnect(mirror)
            elif now == _STOPPED:
                stopping = registration.stop()
            world.settle()
            states = {
                "Network": "away" if _AWAY <= now < _BACK else "there",
                "Mirror": mirror.state.name.lower(),
                "Lock": "lost" if lost else "held",
                "Registration": registration.state.value,
                "Node, as others see it": "exists" if world.result(observer.exists(_PATH)) else "gone",
            }
            for name, state in states.items():
                known = spans.setdefault(name, [])
                if not known or known[-1][1] != state:
                    known.append((now, state))
            world.reactor.pass_time(start + (step + 1) * _STEP - world.reactor.seconds())
        world.result(stopping)
    return _table(spans)


def _table(spans: dict[str, list[tuple[float, str]]]) -> str:
    text = io.StringIO("# command: benchmarks/outage.py\n")
    text.seek(0, io.SEEK_END)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["object", "from (s)", "to (s)", "state"])
    for name, changes in spans.items():
        ends = [begin for begin, _ in changes[1:]] + [_END]
        table.writerows(
            [name, f"{begin:.1f}", f"{end:.1f}", state] for (begin, state), end in zip(changes, ends, strict=True)
        )
    return text.getvalue()


def main() -> None:
    """Read the command line, run, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=DOCS, help="the file (docs/explanation/outage.csv)")
    options = parser.parse_args()
    options.to.write_text(record())


if __name__ == "__main__":
    main()
