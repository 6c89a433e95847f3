"""The examples of docs/operations/http.rst are answered as it says, and its snippets are what other programs read."""

from __future__ import annotations

import json
import re
import unittest
from typing import Any

import yaml

from txmirror.test.test_examples import find_examples
from txmirror.test.web.api.case import APITestCase

#: A request, and the answer up to the next request or the end of the indented block.
_EXAMPLE = re.compile(r"^    \$ curl -s 'http://127\.0\.0\.1:8580([^']+)'\n((?:    [^$].*\n)+)", re.MULTILINE)
_YAML = re.compile(r"^\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)", re.MULTILINE)
#: These differ in each run.
_VARIABLE = frozenset({"index", "owner", "created", "changed", "ctime", "mtime"})


def read_page() -> str:
    """Return the page.

    :raises unittest.SkipTest: it is not beside the package.
    """
    page = find_examples().parent / "operations/http.rst"
    if not page.exists():
        raise unittest.SkipTest("there is no page beside the examples")
    return page.read_text(encoding="utf-8")


def without_variable(value: Any) -> Any:
    """Return a value of JSON without what differs in each run, but for its type."""
    if isinstance(value, dict):
        return {key: type(each).__name__ if key in _VARIABLE else without_variable(each) for key, each in value.items()}
    return list(map(without_variable, value)) if isinstance(value, list) else value


class DocumentationTests(APITestCase):
    def test_examples(self) -> None:
        """Each request is answered as the page shows, apart from times, indexes and sessions."""
        examples = _EXAMPLE.findall(read_page())
        self.assertGreater(len(examples), 5)
        self.world.result(self.other.create("/services/web"))
        for node, zone, more in (("10.0.0.1:80", "a", {"canary": True}), ("10.0.0.2:80", "b", {})):
            data = json.dumps({"labels": {"zone": zone}, **more}).encode()
            self.world.result(self.other.create(f"/services/web/{node}", data, ephemeral=True))
        self.ask("/v1/services")
        for path, text in examples:
            shown, found = json.loads(text), self.ask(path).value
            self.assertEqual(without_variable(shown), without_variable(found), path)

    def test_snippets(self) -> None:
        """The snippets for other programs are YAML, and their URLs are answered."""
        snippets = [yaml.safe_load(text) for text in _YAML.findall(read_page())]
        (prometheus,) = [each for each in snippets if "scrape_configs" in each]
        (discovery,) = prometheus["scrape_configs"][0]["http_sd_configs"]
        self.assertEqual(self.ask(discovery["url"].removeprefix("http://127.0.0.1:8580")).value, [])
        (envoy,) = [each for each in snippets if "static_resources" in each]
        names = {each["name"] for each in envoy["static_resources"]["clusters"]}
        source = envoy["static_resources"]["clusters"][0]["eds_cluster_config"]["eds_config"]["api_config_source"]
        self.assertLessEqual(set(source["cluster_names"]), names)
