"""Turns at the recorder: whoever leaves the line keeps nobody else from writing."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from appliance.audit.recorder import Recorder
from tests.unit.audit import samples

TIMEOUT_S = 20


def test_who_is_interrupted_in_line_leaves_it(tmp_path: Path) -> None:
    """Ctrl+C while another writes: nothing is recorded for that caller, and the next one is."""
    log = samples.opened(samples.make(tmp_path))
    left, started = threading.Event(), threading.Event()
    main = threading.main_thread().ident

    def interrupt(_recorder: Recorder) -> None:
        started.set()
        while not log._writing._line:
            os.sched_yield()
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)
        assert left.wait(TIMEOUT_S)

    thread = threading.Thread(target=log._writing.run, args=(interrupt,))
    thread.start()
    assert started.wait(TIMEOUT_S)
    with pytest.raises(KeyboardInterrupt):
        log.append(samples.event(1))
    left.set()
    thread.join()
    assert log.append(samples.event(2)).seq == 0
    log.close()
