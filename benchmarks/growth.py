"""Shows how the cost of a mirror grows with its nodes, and with the mirrors in a process: a table, which the documentation draws.

Each run is a fresh process that mirrors, and is cut off as in W7h; see ``mirrored.py``. The medians are written as CSV.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from charts import DOCS, Conditions, medians_of_rounds, rounded, write
from cutting import run_mirrors
from run import JVM_OPTIONS, OURS

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
        conditions = Conditions(server=server)
        run_mirrors(OURS, "W6", server.port, 100_000)
        for _ in range(options.rounds):
            for (count, mirrors), figures in results.items():
                figures.append(run_mirrors(OURS, "W7h", server.port, count, mirrors))
            conditions.look()
        measured = conditions.described(medians_of_rounds(options.rounds))
    finally:
        server.cleanup()
    medians = {
        size: {key: statistics.median(each[key] for each in figures) for key in COLUMNS.values()}
        for size, figures in results.items()
    }
    rows: list[tuple[str | float, ...]] = [
        (f"{count:,}", str(mirrors), *(median[key] for key in COLUMNS.values()))
        for (count, mirrors), median in medians.items()
    ]
    for row in rows:
        print(*(each if isinstance(each, str) else rounded(each) for each in row), sep="\t", flush=True)
    write(
        options.to / "growth.csv",
        ("nodes", "mirrors", *COLUMNS),
        rows,
        title="The cost of mirrors, and of their recovery from a broken connection, by the number of nodes",
        measured=measured,
        command="benchmarks/growth.py",
    )


if __name__ == "__main__":
    main()
