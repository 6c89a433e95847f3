"""Files that are kept equal to live lists of instances, for programs that read files: Prometheus, HAProxy, Envoy and others."""

from txmirror.output_files.output_file import OutputFile, OutputState
from txmirror.output_files.service import OutputFilesService

__all__ = ["OutputFile", "OutputFilesService", "OutputState"]
