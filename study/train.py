"""Starts Ray, or joins a cluster, and runs what is left of a study, in rounds."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from study import cluster
from study.cluster import RunError, capacity
from study.cluster.failure import is_of_ray, one_line, root
from study.plan.memory import most_at_once
from study.run.work import Work
from study.show.monitor import Monitor
from study.store.units import Store


def train(arguments: argparse.Namespace, cpus: int, say: Callable[[str], None], store: Store, monitor: Monitor,
          work: Work) -> bool:
    """Whether it came to its end: False where it was interrupted. cpus: of this machine. say: what is wrong.

    Raises ClusterError where the study cannot run there, RunError where Ray or this machine fails, which is nobody's
    bad input.
    """
    try:
        return _rounds(arguments, cpus, say, store, monitor, work)
    except Exception as error:
        if arguments.verbose:
            raise
        if is_of_ray(cause := root(error)):
            raise RunError(f"Ray failed: {one_line(cause)} (--verbose shows all of it)") from error
        if isinstance(cause, OSError):
            raise RunError(one_line(cause)) from error
        raise cause from None


def _rounds(arguments: argparse.Namespace, cpus: int, say: Callable[[str], None], store: Store, monitor: Monitor,
            work: Work) -> bool:
    asked, most = monitor.spec.resources, arguments.max_concurrent
    if arguments.address is None:
        most = most_at_once(monitor.plan.memory, asked.gpu, most)
    tell = (lambda line: None) if arguments.quiet else monitor.progress.say
    tell("starting Ray" if arguments.address is None else f"joining the Ray cluster at {arguments.address}")
    with cluster.running(arguments.address, cpus, max(1, int(asked.cpu)), arguments.verbose, arguments.insecure,
                         [module.path for module in monitor.spec.imports.values()], tell):
        resources = capacity.prepare(arguments.address, arguments.storage, store, asked.cpu, asked.gpu, say)
        monitor.start()

        from study.run.rounds import run_round

        options = {"device": "cuda" if "gpu" in resources else "cpu"}
        excluded: set[str] = set()  # nodes that joined and turned out to be unfit
        tell("training; a line follows for each unit of work that ends")
        with monitor.progress:
            for source, alone in work.rounds(monitor):
                wanted = capacity.whole_node(resources, excluded) if alone else resources
                room = capacity.room(arguments.address, wanted, most, monitor.progress.say, excluded)
                while not source.is_exhausted:
                    if not run_round(source, monitor, store, options=lambda unit: {**options, **work.options(unit)},
                                     resources=wanted, room=room, alone=alone, verbose=arguments.verbose,
                                     excluded=None if arguments.address is None else excluded):
                        return False
    return True
