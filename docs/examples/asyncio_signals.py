"""A program in asyncio that closes its session also at SIGTERM.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import asyncio
import contextlib
import signal
import sys

from twisted.logger import STDLibLogObserver, globalLogBeginner

from txmirror import aio

SERVERS = sys.argv[1] if len(sys.argv) > 1 else "localhost:2181"

# messages
globalLogBeginner.beginLoggingTo([STDLibLogObserver()], redirectStandardIO=False)
# end


# signals
async def main() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with aio.Mirror(SERVERS) as mirror:
        async for state in mirror.get("/settings").values():
            print(state, flush=True)


with contextlib.suppress(asyncio.CancelledError):
    aio.run(main())
# end
