"""Sign the trained demo model into `bundle/`, so that it enters like any other model.

Run from the repository's root after training: `.venv/bin/python models/demo/make_bundle.py`.
The key is made here and thrown away: nobody can sign a second bundle with it. Whoever retrains
makes a new root, and its fingerprint in `root.sha256` changes before everybody's eyes.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from appliance.bundles.publisher import ModelSource, Signers, build_bundle

HERE = Path(__file__).resolve().parent
BUNDLE = HERE / "bundle"
FINGERPRINT = HERE / "root.sha256"
VALID = timedelta(days=3653)


def main() -> None:
    """Build the new bundle beside the old one, then put it in its place."""
    weights = trained()
    expires = datetime.now(tz=UTC).replace(microsecond=0) + VALID
    draft = HERE / "bundle.new"
    shutil.rmtree(draft, ignore_errors=True)
    signers = Signers.one(CryptoSigner.generate_ecdsa())
    source = ModelSource(weights, HERE / "card.toml", HERE / "eval.jsonl")
    fingerprint = build_bundle(draft, [source], signers, expires=expires)
    shutil.rmtree(BUNDLE, ignore_errors=True)
    draft.rename(BUNDLE)
    FINGERPRINT.write_text(fingerprint + "\n")
    # Committed once only: inside the bundle.
    (HERE / "demo.gguf").unlink(missing_ok=True)
    print(f"root {fingerprint}, valid until {expires:%Y-%m-%d}")


def trained() -> Path:
    """Return freshly trained weights, or those of the present bundle when only the card changed."""
    fresh = HERE / "demo.gguf"
    return fresh if fresh.exists() else next(BUNDLE.glob("targets/*/*.gguf"))


if __name__ == "__main__":
    main()
