"""Requests and answers in files: written by the gateway off its hot path, read by the control API."""

from trivet.inference_log.layout import COLUMNS, DROPPED, Origin, folder_of
from trivet.inference_log.open_files import OpenFiles
from trivet.inference_log.reader import LogPage, read_logs, select
from trivet.inference_log.writer import LogFolder, LogLimits, prune_all

__all__ = [
    "COLUMNS",
    "DROPPED",
    "LogFolder",
    "LogLimits",
    "LogPage",
    "OpenFiles",
    "Origin",
    "folder_of",
    "prune_all",
    "read_logs",
    "select",
]
