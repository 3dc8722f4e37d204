"""LoadQueue as the supervisor's process runs them."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from trivet.blobs import Blobs
from trivet.catalog import Catalog
from trivet.loading.queue import LoadQueue, LoadQueueLimits
from trivet.loading.restore import scratch_folder
from trivet.loading.trials import ProcessTrials
from trivet.settings import Settings, settings_to_json

__all__ = ["PROGRAM", "conversions"]

# Not from the current folder: whatever lies there is not ours.
PROGRAM = (sys.executable, "-P", "-m", "trivet.wiring.trial_process")
# What a trial builds and loads is somebody's code, which needs none of it.
SECRETS = {"TRIVET_TOKEN", "TRIVET_DATABASE_URL"}
# Above the worker's own limit, whose error says more.
LOAD_MARGIN_S = 60.0


def conversions(
    settings: Settings,
    *,
    catalog: Catalog,
    blobs: Blobs,
    environ: Mapping[str, str],
    on_change: Callable[[], None],
    program: Sequence[str] = PROGRAM,
) -> LoadQueue:
    """What tries uploaded versions; to be made and used within an event loop.

    Args:
        settings: home and limits.
        catalog: says which versions, and is told what became of them.
        blobs: holds the uploaded files.
        environ: this process's environment; trials get it without Trivet's own secrets.
        on_change: called when a version became ready or failed.
        program: runs one trial.
    """
    return LoadQueue(
        models=catalog.models,
        journal=catalog.journal,
        blobs=blobs,
        trials=ProcessTrials(program, environ={name: value for name, value in environ.items() if name not in SECRETS}),
        scratch=partial(scratch_folder, settings.home),
        settings=settings_to_json(replace(settings, database_url=None)),
        parent=os.getpid(),
        limits=LoadQueueLimits(load_s=settings.load_timeout_s + LOAD_MARGIN_S),
        on_change=on_change,
    )
