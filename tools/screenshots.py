"""Make the screenshots of the daemon's page that the documentation shows, in docs/images.

``python tools/screenshots.py`` needs the packages of ``pip install -e '.[test]'``, Chromium with its driver, axe-core-python and
selenium. It runs the daemon on a server in memory for half a minute, with services of other programs, and lets the
check of its own service fail for a while. The pictures differ from run to run only in times and in the ids of sessions.
"""

from __future__ import annotations

import contextlib
import json
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
from txmirror.test.zookeeper import free_ports

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
TWISTD = "from twisted.scripts.twistd import run; run()"
#: The other services: the number of instances of each.
OTHERS = {"auth": 4, "catalog": 6, "images": 3, "mail": 2, "search": 8, "sessions": 5, "web": 12}
#: Instances that cannot be used: the path, and the data.
UNUSABLE: dict[str, object] = {
    "/services/web/10.6.0.13:8060": {"weight": 0, "labels": {"zone": "a", "version": "2.6"}},
    # Curator's format has a field for it.
    "/services/search/9": {
        "name": "search",
        "id": "9",
        "address": "10.4.0.9",
        "port": 8040,
        "registrationTimeUTC": 1,
        "payload": None,
        "serviceType": "DYNAMIC",
        "enabled": False,
    },
}
#: The width, the height, dark or light, and the view of each picture.
LOOKS = {
    "light": (1280, 800, False, "services"),
    "dark": (1280, 800, True, "services/billing"),
    "narrow": (420, 840, False, "services/billing"),
}
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

[[service]]
name = "billing"
port = 8443
advertise = "127.0.0.41"
path = "/services/billing"
node = "{{address}}:{{port}}"
labels = {{ zone = "a", version = "3.2" }}

[[service.check]]
name = "ready"
type = "command"
argv = ["sh", "-c", "test -e ready || exit 2"]
cwd = "{folder}"
interval = "3s"
timeout = "2.9s"
rise = 1
fall = 1
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
        for number, (service, instances) in enumerate(OTHERS.items()):
            for each in range(instances):
                labels = {"zone": "abc"[each % 3], "version": f"2.{number}"}
                path = f"/services/{service}/10.{number}.0.{each + 1}:80{number}0"
                data = json.dumps({"labels": labels}).encode()
                clients[each % count].create(path, data, ephemeral=True, makepath=True)
        for path, facts in UNUSABLE.items():
            clients[0].create(path, json.dumps(facts).encode(), ephemeral=True)
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
        file.write_text(CONFIGURATION.format(server=server, port=port, folder=folder))
        stack.enter_context(running(folder, "-m", "txmirror.embedded", "--listen", str(server)))
        stack.enter_context(registered(f"127.0.0.1:{server}", 2))
        stack.enter_context(running(folder, "-c", TWISTD, "-n", "--pidfile=", "txmirror", "--config", file))
        page = f"http://127.0.0.1:{port}/"
        wait_for(lambda: "The page is at" in (folder / "log").read_text(), "the page", 30)
        browser.open(f"{page}#/services/billing")
        live(browser, folder)
        for name, (width, height, dark, view) in LOOKS.items():
            browser.open(f"{page}#/{view}", width=width, height=height, dark=dark)
            browser.wait(lambda: "passing" in browser.text("#instance-rows"), "the instances")
            threading.Event().wait(1.5)
            browser.screenshot(IMAGES / f"page-{name}.png")
        browser.driver.get("about:blank")


if __name__ == "__main__":
    main()
