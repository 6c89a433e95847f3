"""Shows many instances on the page in Chromium while they change: ``page.py --instances 10000 --changes 100``.

It starts the in-memory server, ``twistd txmirror serve`` and Chromium, and registers the instances with kazoo. It prints the time
until the page has drawn them for the first time, and, while as many changes arrive in each second, the tasks of more than 50 ms, the
longest time between two frames, the parts of one core that the page takes, and its memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from kazoo.client import KazooClient

from txmirror.test.integration.test_twistd import TWISTD, wait_for
from txmirror.test.neighbours.browser import Browser
from txmirror.test.zookeeper import free_ports

#: The services to which the instances belong.
SERVICES = 50
_OBSERVE = """
window.long = [];
window.frames = [];
new PerformanceObserver((list) => window.long.push(...list.getEntries().map((each) => each.duration)))
    .observe({type: "longtask"});
let last = performance.now();
const next = (at) => { window.frames.push(at - last); last = at; requestAnimationFrame(next); };
requestAnimationFrame(next);
"""


def data(number: int) -> bytes:
    """Return the data of an instance, each time with another version."""
    labels = {"zone": "abc"[number % 3], "version": str(random.randrange(100))}
    return json.dumps({"address": f"10.0.{number // 250}.{number % 250}", "port": 8000, "labels": labels}).encode()


def path(number: int) -> str:
    """Return the path of an instance."""
    return f"/services/service-{number % SERVICES:02}/10.0.{number // 250}.{number % 250}:8000"


def register(client: KazooClient, instances: int) -> None:
    """Register the instances."""
    for number in range(SERVICES):
        client.ensure_path(f"/services/service-{number:02}")
    for first in range(0, instances, 500):
        made = [client.create_async(path(each), data(each)) for each in range(first, min(first + 500, instances))]
        for each in made:
            each.get(30)


def change(client: KazooClient, options: argparse.Namespace, over: threading.Event) -> None:
    """Change as many instances in each second, until it is over."""
    began, sent = time.monotonic(), 0
    while not over.wait(0.01):
        for _ in range(int((time.monotonic() - began) * options.changes) - sent):
            number = random.randrange(options.instances)
            client.set_async(path(number), data(number))
            sent += 1


def measure(browser: Browser, url: str, options: argparse.Namespace, client: KazooClient) -> None:
    """Load the page, and print the figures."""
    browser.open(f"{url}#/instances")
    browser.wait(lambda: bool(browser.run("return 'drawn' in document.documentElement.dataset")), "the first instances")
    rows = "return Number(document.querySelector('#instances').getAttribute('aria-rowcount')) - 1"
    browser.wait(lambda: browser.run(rows) == options.instances, "all instances")
    drawn = browser.run("return performance.getEntriesByName('txmirror-drawn')[0].startTime")
    print(f"{options.instances} instances are drawn {drawn / 1000:.2f} s after the page was asked for")
    over, pause = threading.Event(), threading.Event()
    thread = threading.Thread(target=change, args=(client, options, over))
    thread.start()
    pause.wait(2)
    browser.run(_OBSERVE)
    before = metrics(browser)
    pause.wait(options.seconds)
    after = metrics(browser)
    over.set()
    thread.join()
    long, frames = browser.run("return [window.long, window.frames]")
    parts = {
        name: (after[key] - before[key]) / options.seconds
        for name, key in (("all", "TaskDuration"), ("script", "ScriptDuration"), ("layout", "LayoutDuration"))
    }
    print(f"{options.changes} changes a second for {options.seconds} s:")
    print(f"  tasks of more than 50 ms: {len(long)}, the longest {max(long, default=0):.0f} ms")
    print(f"  {len(frames)} frames; the longest time between two {max(frames):.0f} ms")
    print("  of one core, the page's main thread: " + ", ".join(f"{name} {part:.1%}" for name, part in parts.items()))
    print(
        f"  the heap of the page: {after['JSHeapUsedSize'] / 2**20:.1f} MiB, {after['Nodes']:.0f} nodes of the document"
    )


def metrics(browser: Browser) -> dict[str, float]:
    """Return Chromium's figures of the page."""
    # In the time of the thread, so that other programs do not count.
    browser.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    found = browser.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return {each["name"]: each["value"] for each in found}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=100, help="in each second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--chromedriver", default="/usr/bin/chromedriver")
    options = parser.parse_args()
    zookeeper, http = free_ports(2)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        log = stack.enter_context((Path(folder) / "log").open("wb"))

        def run(*command: str) -> None:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)

        run(sys.executable, "-m", "txmirror.embedded", "--listen", str(zookeeper))
        client = KazooClient(f"127.0.0.1:{zookeeper}")
        client.start(30)
        stack.callback(client.stop)
        register(client, options.instances)
        serve = ("-n", "--pidfile=", "txmirror", "serve", "--servers", f"127.0.0.1:{zookeeper}", "--http", str(http))
        run(*TWISTD, *serve)
        browser = Browser(options.chromium, options.chromedriver)
        stack.callback(browser.quit)
        wait_for(lambda: "The page is at" in (Path(folder) / "log").read_text(), "the page")
        measure(browser, f"http://127.0.0.1:{http}/", options, client)


if __name__ == "__main__":
    main()
