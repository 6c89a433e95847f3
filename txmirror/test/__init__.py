"""txmirror's own tests, in the same packages as the code."""

import signal
import warnings

from txmirror.test import hypothesis_profiles

__all__ = ["hypothesis_profiles"]

# The tests run under -bb, and Twisted compares the names of headers and of sockets, which may be text or bytes.
warnings.filterwarnings("ignore", category=BytesWarning, module=r"(.*[/\\])?twisted[./\\](web|internet)[./\\]")

# A shell ignores SIGINT and SIGQUIT for programs in the background, and nohup ignores SIGHUP. The processes that tests start would
# inherit that, and not end by these signals.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)
