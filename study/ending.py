"""How the commands beside `study.launch` end: exit codes, and one line for whatever a person can mend."""

from __future__ import annotations

import sys
from collections.abc import Callable

from study.interrupt import terminable
from study.schema.output import BAD_INPUT

DONE, INTERRUPTED = 0, 130


def ended(work: Callable[[], int], interrupted: str = "interrupted; nothing is written") -> int:
    """The exit code of `work`. interrupted: what to say after Ctrl-C or SIGTERM."""
    try:
        with terminable():
            from models.measures.table import MeasureError
            from study.show import command
            from study.show.tracking.errors import TrackingError
            from study.spec.imports import ImportedError
            from study.spec.problems import SpecError
            from study.store.units import StorageError

            try:
                if problem := command.folder_problem():
                    raise StorageError(problem)
                return work()
            except (SpecError, StorageError, TrackingError, ImportedError, MeasureError) as error:
                print(error, file=sys.stderr)  # of a SpecError many lines
                return BAD_INPUT
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
