"""The sources of entropy of a process, replaced by those of a seed: GUIDs, secrets, the process's number and its host name."""

from __future__ import annotations

import gc
import os
import secrets
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

_PID = 4321
_HOST_NAME = "storm"


#: An attribute of a module to replace, with its value.
Replacement = tuple[object, str, object]


@contextmanager
def entropy_of(seed: object, others: Sequence[Replacement] = ()) -> Iterator[None]:
    """Derive all entropy from a seed, and collect no garbage but on request, until the end of the context.

    :param seed: its ``repr`` counts.
    :param others: other attributes to replace until then.
    """
    random = Random(f"entropy {seed!r}")
    replaced: list[Replacement] = [
        *others,
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
    for module, name, value in replaced:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in former:
            setattr(module, name, value)
        gc.unfreeze()
        if collecting:
            gc.enable()
