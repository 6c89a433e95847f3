"""Use txmirror from asyncio: what returns a Deferred returns an awaitable of asyncio here."""
