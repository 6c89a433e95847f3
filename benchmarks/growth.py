"""Shows how the cost of a mirror grows with its nodes, and with the mirrors in a process: a table, which the documentation draws.

Each run is a fresh process that mirrors, and is cut off as in W7h; see ``mirrored.py``. The medians are written as CSV.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import time
from pathlib import Path

from cutting import HERE, run_mirrors
from run import JVM_OPTIONS, OURS

import twisted
from txmirror.test.zookeeper import ZooKeeperProcess

#: How many leaves, and how many mirrors of them.
SIZES = ((1_000, 1), (10_000, 1), (100_000, 1), (1_000, 10), (1_000, 100))
#: The columns of the table, and what each is called among the figures.
COLUMNS = {
    "warm (s)": "warm wall",
    "CPU until warm (s)": "warm cpu",
    "peak until warm (MiB)": "warm peak",
    "recovered (s)": "wall",
    "CPU of the recovery (s)": "cpu",
    "peak of memory (MiB)": "peak",
}
DOCS = HERE.parent / "docs" / "speed"


def main() -> None:
    """Read the command line, run, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--to", type=Path, default=DOCS, help="the folder for growth.csv (docs/speed)")
    options = parser.parse_args()
    server = ZooKeeperProcess(JVM_OPTIONS)
    results: dict[tuple[int, int], list[dict[str, float]]] = {size: [] for size in SIZES}
    try:
        server.start()
        run_mirrors(OURS, "W6", server.port, 100_000)
        for _ in range(options.rounds):
            for (count, mirrors), figures in results.items():
                figures.append(run_mirrors(OURS, "W7h", server.port, count, mirrors))
    finally:
        server.cleanup()
    medians = {
        size: {key: statistics.median(each[key] for each in figures) for key in COLUMNS.values()}
        for size, figures in results.items()
    }
    options.to.mkdir(exist_ok=True)
    with (options.to / "growth.csv").open("w", newline="") as file:
        file.write(
            "# title: The cost of mirrors, and of their recovery from a broken connection, by the number of nodes\n"
            f"# measured: Medians of {options.rounds} rounds on {os.cpu_count()} cores. Python {platform.python_version()}, "
            f"Twisted {twisted.__version__}, {time.strftime('%Y-%m-%d')}\n"
            "# command: benchmarks/growth.py\n"
        )
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["nodes", "mirrors", *COLUMNS])
        for (count, mirrors), median in medians.items():
            row = [f"{count:,}", str(mirrors), *(_rounded(median[key]) for key in COLUMNS.values())]
            table.writerow(row)
            print(*row, sep="\t", flush=True)


def _rounded(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()
