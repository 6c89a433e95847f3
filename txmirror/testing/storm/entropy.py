"""The sources of entropy of a process, replaced by those of a seed: GUIDs, secrets, the process's number and its host name."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

_PID = 4321
_HOST_NAME = "storm"


@contextmanager
def entropy_of(seed: object) -> Iterator[None]:
    """Derive all entropy from a seed, and collect no garbage but on request, until the end of the context.

    :param seed: its ``repr`` counts.
    """
    random = Random(f"entropy {seed!r}")
    replaced: list[tuple[Any, str, Callable[..., object]]] = [
        (os, "urandom", random.randbytes),
        (os, "getpid", lambda: _PID),
        (socket, "gethostname", lambda: _HOST_NAME),
        (secrets, "randbits", random.getrandbits),
        (secrets, "token_bytes", lambda size=32: random.randbytes(size)),
        (secrets, "token_hex", lambda size=32: random.randbytes(size).hex()),
        (uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4)),
    ]
    former = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    # A collection within the context looks only at what was made in it.
    gc.freeze()
    for module, name, function in replaced:
        setattr(module, name, function)
    try:
        yield
    finally:
        for module, name, function in former:
            setattr(module, name, function)
        gc.unfreeze()
        if collecting:
            gc.enable()
