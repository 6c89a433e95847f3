"""The services that the tests of the page look at, and that its screenshots show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from kazoo.client import KazooClient

#: The daemon's own service, for its configuration: up while the file ``ready`` exists.
OWN_SERVICE: Final = """
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
interval = "{interval}"
timeout = "{timeout}"
rise = 1
fall = 1
"""
#: The width and the height of the window, and whether it is dark.
LOOKS: Final = {"light": (1280, 800, False), "dark": (1280, 800, True), "narrow": (420, 840, False)}

#: The other services: the number of instances of each.
_OTHERS: Final = {"auth": 4, "catalog": 6, "images": 3, "mail": 2, "search": 8, "sessions": 5, "web": 12}
#: Instances that cannot be used: the path, and the data.
_UNUSABLE: Final[dict[str, object]] = {
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


def register_others(clients: Sequence[KazooClient]) -> None:
    """Register the services of other programs, spread over the sessions of some clients."""
    for number, (service, instances) in enumerate(_OTHERS.items()):
        for each in range(instances):
            labels = {"zone": "abc"[each % 3], "version": f"2.{number}"}
            path = f"/services/{service}/10.{number}.0.{each + 1}:80{number}0"
            data = json.dumps({"labels": labels}).encode()
            clients[each % len(clients)].create(path, data, ephemeral=True, makepath=True)
    for path, facts in _UNUSABLE.items():
        clients[0].create(path, json.dumps(facts).encode(), ephemeral=True)
