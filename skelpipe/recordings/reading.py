"""Reads recordings in parallel, by threads or processes, in the order of their sources."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from skelpipe.allocator import keep_memory
from skelpipe.errors import BadInput
from skelpipe.parallel import cores, cpu_count, in_order
from skelpipe.recordings.datasets import Dataset, Dropped, Recording
from skelpipe.recordings.datasets.base import Source
from skelpipe.recordings.datasets.files import Seen, Vanished, watched
from skelpipe.recordings.datasets.recording import UNREADABLE

log = logging.getLogger(__name__)
Outcome = tuple[Source, list[Recording | Dropped], Seen]
BATCH_BYTES, BATCH_SOURCES = 4 << 20, 256  # raw text and sources per task, at most
MOST_THREADS = 8  # that are chosen: a tenth of the work holds the GIL
SMALL = 512 << 20  # raw text that is parsed before a pool of processes has started


def read_all(
    kind: Dataset, sources: list[Source], keep_missing: bool, workers: int | None
) -> Generator[Outcome, None, None]:
    """What each source gives, in the order of the sources.

    Args:
        workers: how many threads or processes, whichever `kind` asks for; 0 reads in this thread, None chooses.
    """
    batches = list(_batches(sources))
    workers = 0 if len(batches) <= 1 else min(_how_many(kind, sources) if workers is None else workers, len(batches))
    log.info("parser %s: %s", "threads" if kind.threads else "processes", workers or "none beside this one")
    if workers <= 0:
        for source in sources:
            yield from _read_batch(kind, [source], keep_missing)
        return
    with _threads(workers) if kind.threads else _processes(workers) as pool:

        def submit(batch: list[Source]) -> Future[list[Outcome]]:
            with _no_interrupt():
                return pool.submit(_read_batch, kind, batch, keep_missing)

        for outcomes in in_order(submit, batches, 2 * workers):
            yield from outcomes


def _how_many(kind: Dataset, sources: list[Source]) -> int:
    """How many threads or processes pay."""
    size = sum(source.size for source in sources)
    log.debug("there are %s MB to read; %s", f"{size / 1e6:,.1f}", cores())
    if kind.threads:
        return min(cpu_count(), MOST_THREADS)
    return cpu_count() if size > SMALL else 0


def _batches(sources: list[Source]) -> Iterator[list[Source]]:
    """Runs of sources worth one task."""
    batch: list[Source] = []
    size = 0
    for source in sources:
        batch.append(source)
        size += source.size
        if size >= BATCH_BYTES or len(batch) >= BATCH_SOURCES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_batch(kind: Dataset, sources: list[Source], keep_missing: bool) -> list[Outcome]:
    """Read some sources; an unreadable one becomes an entry of the drop report."""
    outcomes: list[Outcome] = []
    for source in sources:
        with watched() as seen:
            try:
                results = kind.read(source, keep_missing)
            except Vanished:
                raise
            except BadInput as error:
                results = [Dropped(source.name, UNREADABLE, str(error))]
        outcomes.append((source, results, seen))
    return outcomes


@contextmanager
def _threads(workers: int) -> Iterator[Executor]:
    """Threads that are done when the block ends, however it ends."""
    pool = ThreadPoolExecutor(workers, "parser")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    """Worker processes that are gone when the block ends, however it ends."""
    # Spawned, not forked: a fork would copy the locks of Zarr's threads in whatever state they are.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow_parent)
    try:
        yield pool
    except BrokenProcessPool:
        what = "one ended unexpectedly, perhaps for want of memory"
        raise BadInput(
            "worker processes", what, "use fewer --workers, or --workers 0 to parse in one process"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _follow_parent() -> None:
    """In a worker: end when the parent does, which a worker waiting for work would not notice."""
    keep_memory()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: the parent decides what becomes of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
