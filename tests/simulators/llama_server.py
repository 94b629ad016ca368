"""A real llama-server that serves one tiny model of a library under its digest."""

from __future__ import annotations

from typing import Self

from tests.simulators.peers import FOLDER, Peer, peer


class LlamaServer(Peer):
    """`alias` and `file` are for servers that do not serve what they say."""

    def start(
        self, *more: str, slots: int = 2, alias: str | None = None, file: str | None = None
    ) -> Self:
        path = self.library / (file or f"{self.digest}.gguf")
        command = [peer("llama-server"), "--model", path, "--alias", alias or self.digest]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--no-webui", "--embeddings"]
        size = ["--threads", "1", "--parallel", str(slots), "--pooling", "mean", *more]
        self.launch([*command, *where, *size], {"LD_LIBRARY_PATH": str(FOLDER)}, "/health")
        return self
