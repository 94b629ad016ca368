"""Where a model goes on this machine: memory, GPUs, cores."""
