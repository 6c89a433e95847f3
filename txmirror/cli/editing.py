"""The command ``edit``: change a node's data in an editor, and write them if nobody else has changed them meanwhile."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred

from txmirror import paths
from txmirror.cli.child import Child
from txmirror.cli.content import describe_content, is_json, is_text
from txmirror.cli.run import Outcome, Run
from txmirror.cli.statuses import CommandError, Status
from txmirror.cli.writing import explain_unknown
from txmirror.errors import BadVersionException, NoNodeException, ZooKeeperException
from txmirror.types import ZnodeStat

_ODD = re.compile(r"[^\w.-]")
#: The longest name of the file, in characters.
_LONGEST_NAME = 100


def edit(run: Run, path: str, make_editor: Callable[[str], Child]) -> Deferred[Outcome]:
    """Run an editor on a file with a node's data, and write the data that it leaves there.

    Nothing is written if the editor fails, if the data are the same, or if the node has changed meanwhile. While the editor runs,
    ZooKeeper may be out of reach for any time.

    :param make_editor: returns a run of the editor on the file of a name.
    :returns: fails as reading and writing the node does. The edited text is then kept, and a message names the file.
    """
    return explain_unknown(Deferred.fromCoroutine(_edit(run, path, make_editor)))


async def _edit(run: Run, path: str, make_editor: Callable[[str], Child]) -> Outcome:
    data, stat = await run.client.get(path)
    if not is_text(data):
        text = f"{path!r} is not text: {describe_content(data)}; get --raw and set write its bytes"
        return Outcome(status=Status.UNFIT_DATA, errors=(text,))
    file = _write_file(path, data)
    kept = False
    try:
        status = await _run_editor(run, make_editor(str(file)))
        edited = _read_file(file)
        if not data.endswith(b"\n"):
            # Most editors add a line end to the last line.
            edited = edited.removesuffix(b"\n")
        kept = edited != data
        if status != 0:
            text = f"the editor has failed, with status {status}: nothing was written{_note(file, kept)}"
            return Outcome(status=Status.REFUSED, errors=(text,))
        if not kept:
            run.console.say(f"{path!r} is unchanged: nothing was written")
            return Outcome()
        run.limit_outages()
        changed = await _write(run, path, edited, stat)
        if changed is not None:
            text = f"{path!r} {changed} meanwhile: nothing was written{_note(file, kept)}"
            return Outcome(status=Status.REFUSED, errors=(text,))
        kept = False
        return Outcome()
    except (ZooKeeperException, CancelledError):
        if kept:
            run.console.fail(f"the edited text is in {str(file)!r}")
        raise
    finally:
        if not kept:
            shutil.rmtree(file.parent, ignore_errors=True)


async def _run_editor(run: Run, editor: Child) -> int:
    run.outlive_outages(silently=True)
    editor.start()
    run.forward_signals(editor.interrupt)
    status = await editor.ended
    run.forward_signals(None)
    return status


async def _write(run: Run, path: str, data: bytes, stat: ZnodeStat) -> str | None:
    """Write the data if the node has not changed.

    :returns: None if they are written; else what has happened to the node.
    """
    try:
        now = (await run.client.get(path))[1]
        # A node that was deleted and created again may have the same version.
        if (now.czxid, now.version) == (stat.czxid, stat.version):
            await run.client.set(path, data, stat.version)
            return None
    except NoNodeException:
        return "was deleted"
    except BadVersionException:
        return "has changed"
    if now.czxid != stat.czxid:
        return "was deleted and created again"
    return f"has changed (version {now.version}, not {stat.version})"


def _note(file: Path, kept: bool) -> str:
    return f"; the edited text is in {str(file)!r}" if kept else ""


def _write_file(path: str, data: bytes) -> Path:
    """Write data to a file in a new folder of this user's."""
    name = _ODD.sub("_", paths.name_of(path))[-_LONGEST_NAME:].lstrip("-.") or "root"
    if is_json(data) and not name.endswith(".json"):
        # The editor knows the language by the name.
        name += ".json"
    try:
        file = Path(tempfile.mkdtemp(prefix="txmirror-"), name)
        file.write_bytes(data)
    except OSError as error:
        raise CommandError(f"a temporary file cannot be written: {error.strerror}", Status.IO_ERROR) from None
    return file


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(
            f"{str(file)!r} cannot be read: {error.strerror}; nothing was written", Status.IO_ERROR
        ) from None
