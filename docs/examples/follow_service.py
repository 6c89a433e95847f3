"""Follow a service by HTTP, as consul-template does: print its usable instances now and after each change.

python follow_service.py http://127.0.0.1:8580 web
"""

import json
import sys
import time
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import urlopen


def follow(server: str, service: str) -> Iterator[list[str]]:
    index, shown = 0, None
    while True:
        url = f"{server}/v1/services/{quote(service, safe='')}?passing&index={index}&wait=1m"
        try:
            # A wait takes up to a sixteenth longer.
            with urlopen(url, timeout=90) as reply:
                index, found = int(reply.headers["X-Txmirror-Index"]), json.load(reply)["instances"]
        except HTTPError as error:
            if error.code != 404:
                time.sleep(1)  # ZooKeeper was not read yet: ask again
                continue
            # There is no such service. It can be waited for.
            index, found = int(error.headers["X-Txmirror-Index"]), []
        except OSError:
            time.sleep(1)  # the daemon is restarted: keep what is known
            continue
        instances = [f"{each['address']}:{each['port']}" for each in found]
        if instances != shown:
            shown = instances
            yield instances


if __name__ == "__main__":
    for instances in follow(*sys.argv[1:]):
        print(" ".join(instances) or "none", flush=True)
