"""Make the screenshots of the daemon's page that the documentation shows, in docs/images.

``python tools/screenshots.py`` needs the packages of ``pip install -e '.[test]'``, Chromium with its driver, axe-core-python and
selenium. It runs the daemon on a server in memory for half a minute, with services of other programs, and lets the
check of its own service fail for a while. The pictures differ from run to run only in times and in the ids of sessions.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from kazoo.client import KazooClient

from txmirror.test.integration.test_twistd import wait_for
from txmirror.test.neighbours.browser import Browser, shared_browser
from txmirror.test.neighbours.sample_services import LOOKS, OWN_SERVICE, register_others
from txmirror.test.zookeeper import free_ports

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
TWISTD = "from twisted.scripts.twistd import run; run()"
#: The view in each picture, by the look of the window.
VIEWS = {"light": "services", "dark": "services/billing", "narrow": "services/billing"}
CONFIGURATION = """
[zookeeper]
servers = "127.0.0.1:{server}"

[host]
allow_loopback = true

[daemon]
control = "control.sock"
maintenance_file = "maintenance.json"

[http]
listen = "127.0.0.1:{port}"
"""


@contextlib.contextmanager
def running(folder: Path, *arguments: str | Path) -> Iterator[None]:
    """Run a Python program in a folder, and end it at the end."""
    with (folder / "log").open("ab") as log:
        program = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            program.terminate()
            program.wait()


@contextlib.contextmanager
def registered(servers: str, count: int) -> Iterator[Sequence[KazooClient]]:
    """Register the other services, by several sessions."""
    clients = [KazooClient(servers) for _ in range(count)]
    try:
        for client in clients:
            client.start()
        register_others(clients)
        yield clients
    finally:
        for client in clients:
            client.stop()


def wait_for_condition(browser: Browser, condition: str, seconds: float) -> None:
    """Wait until the daemon's service has a condition, and let it have that for some time."""
    browser.wait(lambda: browser.text("#own .chip") == condition, f"the service is {condition}")
    threading.Event().wait(seconds)


def live(browser: Browser, folder: Path) -> None:
    """Let the service go down, come back, and be in maintenance for a while."""

    def maintain(*arguments: str) -> None:
        command = [sys.executable, "-m", "txmirror", "maint", "billing", "--control", str(folder / "control.sock")]
        subprocess.run([*command, *arguments], check=True, stdout=subprocess.DEVNULL)

    wait_for_condition(browser, "registered", 6)
    (folder / "ready").unlink()
    wait_for_condition(browser, "down", 4)
    (folder / "ready").touch()
    wait_for_condition(browser, "registered", 4)
    maintain("-m", "new disks")
    wait_for_condition(browser, "maintenance", 4)
    maintain("--end")
    wait_for_condition(browser, "registered", 8)


def main() -> None:
    """Make the pictures."""
    os.environ["TXMIRROR_NEIGHBOURS"] = "require"
    browser = shared_browser()
    server, port = free_ports(2)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="txmirror-")))
        (folder / "ready").touch()
        file = folder / "txmirror.toml"
        file.write_text(
            CONFIGURATION.format(server=server, port=port)
            + OWN_SERVICE.format(folder=folder, interval="3s", timeout="2.9s")
        )
        stack.enter_context(running(folder, "-m", "txmirror.embedded", "--listen", str(server)))
        stack.enter_context(registered(f"127.0.0.1:{server}", 2))
        stack.enter_context(running(folder, "-c", TWISTD, "-n", "--pidfile=", "txmirror", "--config", file))
        page = f"http://127.0.0.1:{port}/"
        wait_for(lambda: "The page is at" in (folder / "log").read_text(), "the page", 30)
        browser.open(f"{page}#/services/billing")
        live(browser, folder)
        for name, (width, height, dark) in LOOKS.items():
            browser.open(f"{page}#/{VIEWS[name]}", width=width, height=height, dark=dark)
            browser.wait(lambda: "passing" in browser.text("#instance-rows"), "the instances")
            threading.Event().wait(1.5)
            browser.screenshot(IMAGES / f"page-{name}.png")
        browser.driver.get("about:blank")


if __name__ == "__main__":
    main()
