"""Shows how the cost of a mirror grows with its nodes, and with the mirrors in a process: a table, and a plot of it.

Each run is a fresh process that mirrors, and is cut off as in W7h; see ``mirrored.py``. The medians are written as CSV,
and drawn as SVG.
"""

from __future__ import annotations

import argparse
import csv
import statistics
from pathlib import Path

from cutting import HERE, run_mirrors
from plot import Panel, Plot
from run import JVM_OPTIONS, OURS

from txmirror.test.zookeeper import ZooKeeperProcess

#: How many leaves, and how many mirrors of them.
SIZES = ((1_000, 1), (10_000, 1), (100_000, 1), (1_000, 10), (1_000, 100))
#: The columns of the table, and what each is called among the figures.
COLUMNS = {
    "warm (s)": "warm wall",
    "CPU (s)": "warm cpu",
    "memory (MiB)": "warm peak",
    "recovered (s)": "wall",
    "recovery's CPU (s)": "cpu",
    "memory then (MiB)": "peak",
}
DOCS = HERE.parent / "docs" / "speed"


def draw(medians: dict[tuple[int, int], dict[str, float]]) -> str:
    """Draw two panels: with more nodes, and with more mirrors."""
    lines = {"warm, s of CPU": "warm cpu", "recovery, s of CPU": "cpu", "memory, MiB": "peak"}
    by_nodes = {size: figures for size, figures in medians.items() if size[1] == 1}
    by_mirrors = {size: figures for size, figures in medians.items() if size[0] == SIZES[0][0]}
    return Plot(
        Panel(
            "nodes, one mirror",
            {name: [(size[0], figures[key]) for size, figures in by_nodes.items()] for name, key in lines.items()},
        ),
        Panel(
            "mirrors of 1,000 nodes each",
            {name: [(size[1], figures[key]) for size, figures in by_mirrors.items()] for name, key in lines.items()},
        ),
    ).svg()


def main() -> None:
    """Read the command line, run, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often (3)")
    parser.add_argument("--to", type=Path, default=DOCS, help="the folder for growth.csv and growth.svg (docs/speed)")
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
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["nodes", "mirrors", *COLUMNS])
        for (count, mirrors), median in medians.items():
            row = [f"{count:,}", str(mirrors), *(_rounded(median[key]) for key in COLUMNS.values())]
            table.writerow(row)
            print(*row, sep="\t", flush=True)
    (options.to / "growth.svg").write_text(draw(medians))


def _rounded(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


if __name__ == "__main__":
    main()
