"""Judges the files of one run: ``judging.py FOLDER`` prints counts, and a line for each finding.

The checker of ``txmirror.testing.history`` judges operations and locks. This module judges the double barriers, and lists the
operations that have not ended.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
from history_workloads import ITEMS, PASSED, PROCESSES, SHARES
from recording import read_all

from txmirror.testing.history import (
    Block,
    Children,
    Create,
    Exists,
    Get,
    History,
    Hold,
    Operation,
    Outcome,
    Pass,
    Set,
    Shown,
)
from txmirror.testing.history.findings import Rule, name_of
from txmirror.testing.history.judging import judge

#: The most findings of a rule that are printed.
PRINTED = 5
#: Seconds in which somebody must acquire the lock: the session timeout, and twice the longest fault.
IDLE = 36.0
#: Nanoseconds without a write of any client, after which the ensemble counts as not having served.
OUTAGE = 3_000_000_000


def main(folder: Path) -> int:
    """Judge the files of a folder. Return the exit status: 1 if anything was found.

    :raises SystemExit: there are no operations.
    """
    paths = sorted(folder.glob("*.jsonl"))
    history, notes = read_all(paths)
    survivors = _survivors({path.stem for path in paths})
    if not history.operations:
        raise SystemExit(f"there is no history in {str(folder)!r}")
    lost = min((note["since"] for note in notes if note["note"] == "lost"), default=None)
    if lost is not None:
        history, notes = _until(lost, history), [note for note in notes if note["at"] <= lost]
    history = _without_the_dead(history, survivors)
    outcomes = Counter(each.outcome.value if each.end else "not ended" for each in history.operations)
    print(
        f"  {len(history.operations)} operations ({', '.join(f'{n} {name}' for name, n in sorted(outcomes.items()))}),"
    )
    faults = Counter(note["kind"] for note in notes if note["note"] == "fault" and note.get("event") == "begin")
    print(f"  {len(history.holds)} holds, at most {_gap(history):.0f} s apart, {len(history.fired)} watches fired,")
    absent = "".join(
        f", a service not there for at most {max(longest):.1f} s" for longest in [absences(notes).values()] if longest
    )
    print(f"  {sum(faults.values())} faults of {len(faults)} kinds{absent}{_shared(history, notes)}")
    if lost is not None:
        print("  the ensemble has lost writes that were done: all is judged until then")
    found: dict[str, list[str]] = defaultdict(list)
    pauses = list(_pauses(notes))
    for each in judge(history):
        rule = each.rule.name
        if each.rule is Rule.EXCLUSION:
            holds = [history.holds[number] for number in each.operations]
            paused = any(_overlaps(hold, pause) for hold in holds for pause in pauses)
            rule += " after a pause of the client" if paused else ""
        found[rule].append(str(each))
    idle = _gap(history, _recoveries(history))
    if idle > IDLE:
        found["LOCK IDLE"].append(f"nobody has acquired it for {idle:.0f} s, in which the ensemble served")
    found["EPHEMERAL LEFT"] += [*_outlived(history), *_left(notes)]
    if lost is None:
        found["BARRIER"] += _barriers(notes, survivors)
        found["NOT ENDED"] += _not_ended(history, survivors)
        found["SERVICE"] += _services(notes, survivors)
        found["BARRIER"] += _gates(history, notes)
        found["PARTY AT THE END"] += _party(notes, survivors)
        found["SHARES AT THE END"] += _shares(notes, survivors)
    for rule, lines in sorted(found.items()):
        if lines:
            print(f"  {rule}: {len(lines)}")
            for line in lines[:PRINTED]:
                print(f"    {line}")
    if any(found.values()):
        return 1
    print("  nothing was found")
    return 0


def _until(moment: int, history: History) -> History:
    """Return the history until a moment."""
    operations = [each for each in history.operations if each.begin <= moment]
    return History(
        tuple(each if each.end is not None and each.end <= moment else _not_yet(each) for each in operations),
        tuple(each for each in history.fired if each.at <= moment),
        tuple(
            attrs.evolve(each, end=None if each.end is None else min(each.end, moment))
            for each in history.holds
            if each.begin <= moment
        ),
    )


def _not_yet(operation: Operation) -> Operation:
    return attrs.evolve(operation, end=None, outcome=Outcome.UNKNOWN, answer=None, zxid=None)


def _without_the_dead(history: History, survivors: set[str]) -> History:
    """Return the history with an end for each hold of a process that was killed: its last sign of life."""
    alive: dict[str, int] = defaultdict(int)
    for each in history.operations:
        alive[each.client] = max(alive[each.client], each.end or each.begin)
    holds = [
        each if each.end or each.client in survivors else attrs.evolve(each, end=max(each.begin, alive[each.client]))
        for each in history.holds
    ]
    return attrs.evolve(history, holds=tuple(holds))


def _pauses(notes: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """Yield the pauses of clients: the number in its name, and both moments."""
    begin: dict[str, Any] | None = None
    for note in notes:
        if note["note"] == "fault" and note["kind"] == "pause client":
            if note["event"] == "begin":
                begin = note
            elif begin is not None:
                yield f"-{begin['number'] + 1}.", begin["at"], note["at"]


def _overlaps(hold: Hold, pause: tuple[str, int, int]) -> bool:
    name, begin, end = pause
    return name in hold.client and hold.begin < end and (hold.end is None or begin < hold.end)


def _gap(history: History, others: Iterable[int] = ()) -> float:
    """Return the longest time in which nobody has acquired the lock, in seconds, although all processes wanted it again and again.

    :param others: moments from which on the time counts anew.
    """
    begins = [each.begin for each in history.holds if not each.path.startswith(SHARES)]
    if not begins:
        return 0
    moments = sorted([*begins, *others])
    moments.append(max(each.begin for each in history.operations))
    return max((after - before for before, after in itertools.pairwise(moments)), default=0) / 1e9


def _shared(history: History, notes: list[dict[str, Any]]) -> str:
    """Return for which part of the time, until the end of the faults, the shared items were held; nothing if there are none."""
    holds = [each for each in history.holds if each.path.startswith(SHARES)]
    if not holds:
        return ""
    begin, end = history.operations[0].begin, max(each.begin for each in history.operations)
    end = min([note["at"] for note in notes if note["note"] == "gates"], default=end)
    held = sum(max(0, min(each.end or end, end) - each.begin) for each in holds)
    return f", shared items held for {held / len(ITEMS) / (end - begin):.0%} of the time"


def _recoveries(history: History) -> Iterator[int]:
    """Yield the moments from which on the ensemble served again: it gives all sessions their full timeout then."""
    written = sorted(
        each.end
        for each in history.operations
        if each.end is not None
        and each.outcome is Outcome.APPLIED
        and not isinstance(each.call, Get | Exists | Children)
    )
    return (after for before, after in itertools.pairwise(written) if after - before > OUTAGE)


def _not_ended(history: History, survivors: set[str]) -> Iterator[str]:
    """Yield the operations that have not ended, of processes that were not killed."""
    for each in history.operations:
        if each.end is None and each.client in survivors:
            yield name_of(each)


def _survivors(clients: set[str]) -> set[str]:
    """Return the clients that were not killed: the last of each process."""
    last: dict[str, str] = {}
    for each in sorted(clients, key=lambda client: (len(client), client)):
        last[each.partition(".")[0]] = each
    return set(last.values())


def _services(notes: list[dict[str, Any]], survivors: set[str]) -> Iterator[str]:
    """Yield the services that were not there for too long, or not at the end."""
    for name, seconds in absences(notes).items():
        if seconds > IDLE:
            yield f"{name} was not there for {seconds:.0f} s"
    registered = {note["client"] for note in notes if note["note"] == "registers"}
    present = {client for note in notes if note["note"] == "services at the end" for client in note["present"].values()}
    for client in sorted(registered & survivors - present):
        yield f"{client} is not registered at the end"


def absences(notes: list[dict[str, Any]]) -> dict[str, float]:
    """Return the longest time in which each service was not there after it was there first, in seconds."""
    looks = [note for note in notes if note["note"] in {"services", "services at the end"}]
    gone: dict[str, int] = {}
    longest: dict[str, float] = {}
    present: set[str] = set()
    for look in looks:
        now = set(look["present"])
        for name in now:
            since = gone.pop(name, look["at"])
            longest[name] = max(longest.get(name, 0), (look["at"] - since) / 1e9)
        gone |= dict.fromkeys(present - now, look["at"])
        present = now
    for name, since in gone.items():
        longest[name] = max(longest[name], (looks[-1]["at"] - since) / 1e9)
    return longest


def _outlived(history: History) -> Iterator[str]:
    """Yield the ephemeral nodes that a client still sees in a later session than that which has created them.

    ZooKeeper opens a new session for a client only after the former one has ended.
    """
    created = {
        each.call.data: each
        for each in history.operations
        if isinstance(each.call, Create) and each.call.ephemeral and each.outcome is Outcome.APPLIED
    }
    for each in history.operations:
        data = each.answer.data if isinstance(each.answer, Shown) else None
        creation = None if data is None else created.get(data)
        if creation is not None and creation.client == each.client and creation.session < each.session:
            yield f"{name_of(each)} shows in session {each.session} a node of session {creation.session}"


def _left(notes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the ephemeral nodes that were left after the sessions of all clients had ended."""
    for note in notes:
        if note["note"] == "left" and note["names"]:
            yield f"the sessions have ended, and these nodes are still there: {', '.join(note['names'])}"


def _barriers(notes: list[dict[str, Any]], survivors: set[str]) -> Iterator[str]:
    """Yield the rules of double barriers that were broken: nobody is inside before all have come, or out before all leave."""
    rounds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for note in notes:
        if note["note"] == "barrier":
            rounds[note["round"]].append(note)
    for number, events in rounds.items():
        moments = {(each["client"], each["event"]): each["at"] for each in events}
        sessions = {(each["client"], each["event"]): each["session"] for each in events}
        clients = sorted({each["client"] for each in events})
        for client in clients:
            entered, left = moments.get((client, "entered")), moments.get((client, "left"))
            came = [each for each in clients if moments[each, "enter"] < (entered or 0)]
            if entered is not None and len(came) < PROCESSES:
                yield f"round {number}: {client} has entered when only {len(came)} had come"
            for other in clients if left is not None else []:
                inside = (other, "entered") in moments and moments.get((other, "leave"), 0) > left
                if inside and sessions[other, "entered"] == sessions[other, "leave"]:
                    yield f"round {number}: {client} has left before {other}, which was inside, began to leave"
        yield from _stuck(number, [each for each in clients if each in survivors], moments)


def _gates(history: History, notes: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the barriers that were passed before they were removed: a write after that has a lower zxid than the removal."""
    removed: dict[str, int] = {}
    for note in notes:
        if note["note"] == "gates":
            removed = note["removed"]
    blocks = {
        each.call.path: each.end
        for each in history.operations
        if isinstance(each.call, Block) and each.outcome is Outcome.APPLIED and each.end is not None
    }
    passed: dict[str, Operation] = {}
    for each in history.operations:
        if isinstance(each.call, Pass):
            passed[each.client] = each
        elif isinstance(each.call, Set) and each.call.path == PASSED and each.client in passed:
            passing = passed.pop(each.client)
            path = passing.call.path if isinstance(passing.call, Pass) else ""
            late = path in blocks and blocks[path] < passing.begin
            if late and each.zxid is not None and each.zxid < removed.get(path, 0):
                yield f"{name_of(passing)} has passed, and the barrier was removed at {removed[path]:#x}, after {each.zxid:#x}"


def _party(notes: list[dict[str, Any]], survivors: set[str]) -> Iterator[str]:
    """Yield the members that are not in the party at the end, and those that are and should not."""
    expected = sorted({note["client"] for note in notes if note["note"] == "stays"} & survivors)
    for note in notes:
        if note["note"] == "party at the end" and sorted(note["present"]) != expected:
            yield f"the members at the end are {sorted(note['present'])}, not {expected}"


def _shares(notes: list[dict[str, Any]], survivors: set[str]) -> Iterator[str]:
    """Yield the items that nobody has at the end, or several have."""
    ends = {note["client"]: note["items"] for note in notes if note["note"] == "shares"}
    if ends:
        items = sorted(item for client in sorted(ends.keys() & survivors) for item in ends[client])
        if items != sorted(ITEMS):
            yield f"the items at the end are {ends}, of {', '.join(ITEMS)}"


def _stuck(number: int, clients: list[str], moments: dict[tuple[str, str], int]) -> Iterator[str]:
    entering = [each for each in clients if (each, "entered") not in moments and (each, "not entered") not in moments]
    inside = [each for each in clients if (each, "entered") in moments]
    leaving = [each for each in inside if (each, "left") not in moments and (each, "not left") not in moments]
    if entering and inside:
        yield f"round {number}: {', '.join(entering)} never entered, and {', '.join(inside)} did"
    elif len(entering) >= PROCESSES:
        yield f"round {number}: all have come, and nobody entered"
    if leaving and all((each, "leave") in moments for each in inside):
        yield f"round {number}: {', '.join(leaving)} never left, and all began to"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
