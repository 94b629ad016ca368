"""Hands each block of a stream to several workers at once, in order, within bounded memory.

One thread fills a block; each worker has a thread of its own and gets every block in the order
of the stream. A block is filled again only when all workers are done with it, so the memory is
that of the blocks, whatever the length of the stream. Hashing, reading and writing all let go of
the interpreter's lock, so they run side by side.
Not here: what the workers do, and where the bytes come from.
"""

from __future__ import annotations

import mmap
import queue
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

BLOCK = 2_097_152
BLOCKS = 8
# How often whoever waits for a block looks whether a worker has failed.
LOOK_S = 0.5

Worker = Callable[[memoryview], None]


class _Block:
    """A piece of memory, aligned to a page; `waiting` counts the workers that still need it."""

    def __init__(self, size: int) -> None:
        self.memory = memoryview(mmap.mmap(-1, size))
        self.filled = self.memory[:0]
        self.waiting = 0


class Pipeline:
    """A set of workers while the `with` block runs; leaving it waits until all have caught up.

    The first error of a worker is raised by `room` or on leaving. When the block itself raises,
    the workers stop at once, and what they had not done yet is dropped.
    """

    def __init__(self, workers: Sequence[Worker]) -> None:
        self._free: queue.SimpleQueue[_Block] = queue.SimpleQueue()
        for _ in range(BLOCKS):
            self._free.put(_Block(BLOCK))
        self._lanes = [queue.SimpleQueue[_Block | None]() for _ in workers]
        self._threads = [
            threading.Thread(target=self._work, args=pair, daemon=True)
            for pair in zip(workers, self._lanes, strict=True)
        ]
        self._counting = threading.Lock()
        self._error: BaseException | None = None
        self._block: _Block | None = None

    def __enter__(self) -> Pipeline:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self._error is None:
            self._error = error
        for lane in self._lanes:
            lane.put(None)
        for thread in self._threads:
            thread.join()
        if error is None and self._error is not None:
            raise self._error

    def room(self) -> memoryview:
        """Return memory to fill; raise what made a worker fail."""
        while self._block is None:
            if self._error is not None:
                raise self._error
            try:
                self._block = self._free.get(timeout=LOOK_S)
            except queue.Empty:
                continue
        return self._block.memory

    def pass_on(self, count: int) -> None:
        """Give the first `count` bytes of what `room` returned to every worker."""
        block, self._block = self._block, None
        if block is None:
            raise RuntimeError("nothing was filled")
        block.filled, block.waiting = block.memory[:count], len(self._lanes)
        for lane in self._lanes:
            lane.put(block)

    def _work(self, worker: Worker, lane: queue.SimpleQueue[_Block | None]) -> None:
        while (block := lane.get()) is not None:
            if self._error is None:
                try:
                    worker(block.filled)
                except BaseException as error:
                    self._error = error
            self._done_with(block)

    def _done_with(self, block: _Block) -> None:
        with self._counting:
            block.waiting -= 1
            done = block.waiting == 0
        if done:
            self._free.put(block)
