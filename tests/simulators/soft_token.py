"""A PKCS#11 token in software (SoftHSM 2) with one P-256 key in it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
)
TOKEN, LABEL, PIN = "desk", "alice", "4711-4711"


@dataclass(frozen=True)
class SoftToken:
    """Where the token is configured, and how its key is named."""

    configuration: Path
    module: str

    @property
    def uri(self) -> str:
        return f"pkcs11:token={TOKEN};object={LABEL}?module-path={self.module}"


def make_token(folder: Path) -> SoftToken:
    """Initialise a token below `folder` and put a key into it."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        pytest.skip("SoftHSM 2 is not installed here: keys in a token were not tried")
    (folder / "tokens").mkdir(parents=True)
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    for words in (
        ["--init-token", "--free", "--label", TOKEN, "--so-pin", "00000000", "--pin", PIN],
        ["--import", str(folder / "key.pem"), "--token", TOKEN, "--label", LABEL, "--id", "0001",
         "--pin", PIN],
    ):  # fmt: skip
        subprocess.run(
            ["softhsm2-util", *words],  # noqa: S607  # wherever the system has it
            env={"SOFTHSM2_CONF": str(configuration), "PATH": "/usr/bin:/usr/local/bin:/bin"},
            check=True,
            capture_output=True,
        )
    (folder / "key.pem").unlink()
    return SoftToken(configuration, module)
