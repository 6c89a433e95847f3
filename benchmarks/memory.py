"""Floods txmirror and kazoo with the gets of one program, and shows their memory.

Each run is a fresh process, on one server that is started here. The peak is the most memory of the process, above that
before the requests.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path

from cutting import HERE
from run import JVM_OPTIONS

from txmirror.test.zookeeper import ZooKeeperProcess

PEERS = ("txmirror", "kazoo")
COUNT = 100_000
#: How many at a time, how long each answer is looked at (in seconds), how long the server is stalled at the start.
FLOODS = {
    "M1": ("asked for at once", COUNT, 0.0, 0.0),
    "M2": ("asked for at once, while the server is stalled for 3 s", COUNT, 0.0, 3.0),
    "M3": ("asked for at once, each answer is looked at for 0.1 ms", COUNT, 0.0001, 0.0),
    "M4": ("asked for 1,000 at a time", 1000, 0.0, 0.0),
}


def run(peer: str, server: ZooKeeperProcess, most: int, slow: float, stall: float) -> dict[str, float]:
    """Run one flood in a process of its own."""
    command = [sys.executable, str(HERE / f"{peer}_memory.py"), server.address, str(COUNT), str(most), str(slow)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        if stall:
            server.pause()
        process.stdin.write("\n")
        process.stdin.flush()
        if stall:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(stall)
            server.resume()
        try:
            said, _ = process.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    figures: dict[str, float] = json.loads(said)
    return figures


def main() -> None:
    """Read the command line, run, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    server = ZooKeeperProcess(JVM_OPTIONS)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    try:
        server.start()
        for flood, (what, most, slow, stall) in FLOODS.items():
            print(f"{flood}: {COUNT:,} gets, {what}")
            figures[flood] = {}
            for peer in PEERS:
                figures[flood][peer] = result = run(peer, server, most, slow, stall)
                print(
                    f"  {peer:9} peak {result['peak']:6.1f} MiB   {result['answered']:7,} answered"
                    f"   {result['refused at once']:7,} refused at once, {result['refused']:7,} in all"
                    f"   asking {result['asking']:6.2f} s, in all {result['wall']:6.2f} s",
                    flush=True,
                )
    finally:
        server.cleanup()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
