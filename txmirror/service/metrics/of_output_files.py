"""The metrics of the output files: of each ``[[watch]]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from txmirror.output_files import OutputFile, OutputState
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.definition import Kind, Metric, Sample

_FILE: Final = ("file",)


def _per_file(read: Callable[[OutputFile], float | None]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric with the label ``file``, which has no value for a file for which ``read`` returns None."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        for name, file in list(daemon.output_files.files.items()):
            value = read(file)
            if value is not None:
                yield (name,), value

    return samples


def _states(daemon: Daemon) -> Iterator[Sample]:
    for name, file in list(daemon.output_files.files.items()):
        for state in OutputState:
            yield (name, state.value), state is file.state


OUTPUT_FILES: Final = (
    Metric(
        "txmirror_output_file_state",
        Kind.GAUGE,
        "1 for the present state of an output file, 0 for the others: unknown (the list was not read yet), current, stale (the list was"
        " not read again since the connection was lost), kept (it has become much shorter, and does not replace the file yet), or failed (the file could not be written).",
        _states,
        (*_FILE, "state"),
    ),
    Metric(
        "txmirror_output_file_instances",
        Kind.GAUGE,
        "The number of instances in an output file, as far as this process knows.",
        _per_file(lambda file: file.instances),
        _FILE,
    ),
    Metric(
        "txmirror_output_file_omitted_nodes",
        Kind.GAUGE,
        "The number of znodes that are left out of an output file, because they cannot be read, decoded or expressed in its format. The log has the reasons.",
        _per_file(lambda file: len(file.omitted)),
        _FILE,
    ),
    Metric(
        "txmirror_output_file_writes_total",
        Kind.COUNTER,
        "The number of times that an output file was replaced.",
        _per_file(lambda file: file.writes),
        _FILE,
    ),
    Metric(
        "txmirror_output_file_failures_total",
        Kind.COUNTER,
        "The number of times that an output file could not be written.",
        _per_file(lambda file: file.failures),
        _FILE,
    ),
    Metric(
        "txmirror_output_file_command_failures_total",
        Kind.COUNTER,
        "The number of times that the command after a change of an output file has failed. It is missing without a command.",
        _per_file(lambda file: None if file.command is None else file.command.failures),
        _FILE,
    ),
    Metric(
        "txmirror_output_file_command_failed",
        Kind.GAUGE,
        "1 if the command after a change of an output file has failed, and not succeeded since, else 0. It is missing without a command.",
        _per_file(lambda file: None if file.command is None else file.command.failure is not None),
        _FILE,
    ),
)
