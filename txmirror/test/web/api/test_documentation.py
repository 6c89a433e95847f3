"""The examples of docs/operations/http.rst are answered as it says, and its snippets are what other programs read."""

from __future__ import annotations

import json
from typing import Any

import yaml

from txmirror.test.pages.curl import parse_curl
from txmirror.test.pages.found import tested_blocks
from txmirror.test.pages.terminals import split
from txmirror.test.web.api.case import APITestCase

_URL = "http://127.0.0.1:8580"
#: These differ in each run.
_VARIABLE = frozenset({"index", "owner", "created", "changed", "ctime", "mtime"})


def without_variable(value: Any) -> Any:
    """Return a value of JSON without what differs in each run, but for its type."""
    if isinstance(value, dict):
        return {key: type(each).__name__ if key in _VARIABLE else without_variable(each) for key, each in value.items()}
    return list(map(without_variable, value)) if isinstance(value, list) else value


class DocumentationTests(APITestCase):
    def test_examples(self) -> None:
        """Each request is answered as the page shows, apart from times, indexes and sessions."""
        sessions = [
            block for block in tested_blocks("docs/operations/http.rst", __name__) if block.language == "literal"
        ]
        examples = [example for block in sessions for example in split(block.lines)]
        self.assertGreater(len(examples), 6)
        self.world.result(self.other.create("/services/web"))
        for node, zone, more in (("10.0.0.1:80", "a", {"canary": True}), ("10.0.0.2:80", "b", {})):
            data = json.dumps({"labels": {"zone": zone}, **more}).encode()
            self.world.result(self.other.create(f"/services/web/{node}", data, ephemeral=True))
        self.ask("/v1/services")
        for command, output in examples:
            request = parse_curl(command)
            shown, found = json.loads("\n".join(output)), self.ask(request.path, request.method, request.body).value
            self.assertEqual(without_variable(shown), without_variable(found), command)

    def test_snippets(self) -> None:
        """The snippets for other programs are YAML, and their URLs are answered."""
        snippets = [
            yaml.safe_load(each.text)
            for each in tested_blocks("docs/operations/http.rst", __name__)
            if each.language == "yaml"
        ]
        prometheus, envoy = snippets
        (discovery,) = prometheus["scrape_configs"][0]["http_sd_configs"]
        self.assertEqual(self.ask(discovery["url"].removeprefix(_URL)).value, [])
        clusters = {each["name"]: each for each in envoy["static_resources"]["clusters"]}
        source = clusters["web"]["eds_cluster_config"]["eds_config"]["api_config_source"]
        self.assertLessEqual(set(source["cluster_names"]), set(clusters))
        (name,) = source["cluster_names"]
        (locality,) = clusters[name]["load_assignment"]["endpoints"]
        (endpoint,) = locality["lb_endpoints"]
        address = endpoint["endpoint"]["address"]["socket_address"]
        self.assertEqual(f"http://{address['address']}:{address['port_value']}", _URL)
