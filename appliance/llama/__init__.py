"""Our engine: llama.cpp in a process of its own, one model each."""

from __future__ import annotations

import os

# llama.cpp's threads wait for each other hundreds of times per token. libgomp lets them spin for
# that, and when anything else wants the cores they spin for a time slice that the other one needs:
# measured with two busy neighbours on two cores, 24 to 43 tokens/s instead of 82 to 88, and no
# difference on a quiet machine. libgomp reads this once, when llama.cpp is loaded after this.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
