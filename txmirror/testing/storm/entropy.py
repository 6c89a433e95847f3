"""The sources of entropy of a process, replaced by those of a seed: random numbers, GUIDs, secrets, the process's number and its
host name.
"""

from __future__ import annotations

import gc
import os
import random as random_numbers
import secrets
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

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
    seed_generator = Random.seed

    def seed_derived(self: Random, a: Any = None, version: int = 2) -> None:
        """Seed a generator; one that is made without a seed gets it from the storm's seed."""
        seed_generator(self, random.getrandbits(256) if a is None else a, version)

    replaced: list[Replacement] = [
        *others,
        (Random, "seed", seed_derived),
        (os, "urandom", random.randbytes),
        (os, "getpid", lambda: _PID),
        (socket, "gethostname", lambda: _HOST_NAME),
        (secrets, "randbits", random.getrandbits),
        (secrets, "token_bytes", lambda size=32: random.randbytes(size)),
        (secrets, "token_hex", lambda size=32: random.randbytes(size).hex()),
        (uuid, "uuid4", lambda: uuid.UUID(int=random.getrandbits(128), version=4)),
    ]
    former = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    numbers = random_numbers.getstate()
    random_numbers.seed(f"numbers {seed!r}")
    collecting = gc.isenabled()
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
        random_numbers.setstate(numbers)
        gc.unfreeze()
        if collecting:
            gc.enable()
