"""Chromium without a window: one for all tests of a run."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from txmirror.test.integration.test_twistd import wait_for
from txmirror.test.neighbours.case import PATIENCE, need, policy

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)
#: Errors of the network that Chromium reports while a server is down, and an answer of 503 while there is no session.
_NETWORK = (
    "net::ERR_CONNECTION_REFUSED",
    "net::ERR_INCOMPLETE_CHUNKED_ENCODING",
    "net::ERR_EMPTY_RESPONSE",
    "net::ERR_CONNECTION_RESET",
)


def need_module(name: str, package: str) -> None:
    """Check that a Python package is installed.

    :raises SkipTest: it is not, or these tests are off.
    """
    if policy() == "off":
        raise SkipTest("no other programs: TXMIRROR_NEIGHBOURS is off")
    if importlib.util.find_spec(name) is None:
        missing = f"{package} is not installed: pip install {package}"
        raise RuntimeError(missing) if policy() == "require" else SkipTest(missing)


@functools.cache
def shared_browser() -> Browser:
    """Return the browser of this run, which ends with the interpreter.

    :raises SkipTest: Chromium or what controls it is not installed, or these tests are off.
    """
    need_module("selenium", "selenium")
    need_module("axe_core_python", "axe-core-python")
    browser = Browser(need("chromium", "chromium"), need("chromedriver", "chromium-driver"))
    atexit.register(browser.quit)
    return browser


class Browser:
    """Chromium, controlled by its driver. The calls block.

    :param chromium: the path of the program.
    :param chromedriver: that of its driver.
    """

    def __init__(self, chromium: str, chromedriver: str) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        self._profile = tempfile.mkdtemp(prefix="txmirror-chromium-")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in (*_FLAGS, f"--user-data-dir={self._profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        # With the path of the driver, selenium looks for none elsewhere.
        self.driver: Any = webdriver.Chrome(options=options, service=Service(chromedriver))
        self.driver.set_page_load_timeout(PATIENCE)

    def quit(self) -> None:
        """End it, and remove its files."""
        self.driver.quit()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Load a page anew, in a window of this size."""
        self.driver.get("about:blank")
        self.appear(width=width, height=height, dark=dark)
        self.driver.get(url)

    def appear(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Use a window of this size, and the user's preference for dark or light."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    @contextlib.contextmanager
    def without_script(self) -> Iterator[None]:
        """Run no scripts of pages that are loaded meanwhile."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})

    def run(self, script: str, *arguments: object) -> Any:
        """Return the value of a script's ``return``."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        """Return the text of all elements for a selector; also of those that are not seen."""
        found: str = self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent).join('\\n')", selector
        )
        return found

    def lines(self, selector: str) -> list[list[str]]:
        """Return the lines in which each element for a selector shows its text."""
        script = """return [...document.querySelectorAll(arguments[0])].map((element) => {
            const lines = new Map(), range = document.createRange();
            const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                for (let at = 0; at < texts.currentNode.length; at++) {
                    range.setStart(texts.currentNode, at);
                    range.setEnd(texts.currentNode, at + 1);
                    const bottom = Math.round(range.getBoundingClientRect().bottom);
                    lines.set(bottom, (lines.get(bottom) ?? "") + range.toString());
                }
            }
            return [...lines.values()];
        });"""
        found: list[list[str]] = self.run(script, selector)
        return found

    def wait(self, look: Callable[[], bool], what: str) -> float:
        """Wait until something is seen, and return how long it took, in seconds."""
        began = time.monotonic()
        try:
            wait_for(look, what, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.run('return document.body.innerText')[:3000]}") from None
        return time.monotonic() - began

    def press(self, *keys: str) -> None:
        """Press keys, one after another, where the focus is."""
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def complaints(self) -> list[str]:
        """Return the lines of the console since the last call, without errors of the network."""
        lines = [each["message"] for each in self.driver.get_log("browser")]
        return [each for each in lines if not any(error in each for error in _NETWORK)]

    def requests(self) -> list[str]:
        """Return the addresses of all requests since the last call."""
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        sent = [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each for each in sent if not each.startswith(("data:", "about:", "chrome:"))]

    def violations(self) -> list[str]:
        """Return the rules of axe-core that the page violates, each with a place."""
        import axe_core_python

        script = Path(axe_core_python.__file__).with_name("axe.min.js")
        self.run(script.read_text(encoding="utf-8"))
        found = self.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run(document, {resultTypes: ['violations']}).then((found) => done(found.violations.map("
            "(each) => `${each.id}: ${each.help}: ${each.nodes[0].html.slice(0, 200)} ${each.nodes[0].failureSummary}`)))"
        )
        assert isinstance(found, list)
        return found

    def screenshot(self, path: Path) -> None:
        """Write what the window shows to a PNG file."""
        path.write_bytes(self.driver.get_screenshot_as_png())
