"""How the desk learns that a bundle was completed: by verifying it, as a hospital would.

The list of good models is complete in every bundle, so the desk must build on the newest one.
It never guesses: a bundle under way is completed, or a person says that it was given up.
"""

from __future__ import annotations

from pathlib import Path

from appliance.bundles import trust
from appliance.bundles.desk import drafts
from appliance.bundles.desk.desk import Desk
from appliance.bundles.manifest import VerifiedManifest
from appliance.errors import ApplianceError, ConflictError, VerificationError

# A bundle is recorded whenever it comes back, also after it has expired.
LONG_AGO = 0.0


def record(desk: Desk, folder: Path) -> VerifiedManifest:
    """Adopt a complete bundle as the newest one; call within `desk.held()`.

    Raises VerificationError for one that this publisher did not sign, ConflictError for one that
    is not complete or older than what the desk knows.
    """
    if (folder / drafts.NAME).exists():
        raise ConflictError(
            f"{folder} is not signed by enough people yet",
            hint=f"`appliance bundle sign {folder} --key KEY`, one person each",
        )
    desk.root()  # there is one, or nothing can have been published
    metadata = drafts.read_metadata(folder)
    own = desk.chain()
    for number, data in enumerate(own, start=1):
        if metadata.get(f"{number}.root.json", data) != data:
            raise VerificationError(
                f"{folder} follows from another root than this desk's",
                hint="nothing was recorded; it is another publisher's bundle",
            )
    trusted = trust.advance(trust.reload(own[0]), metadata)
    manifest = trust.verify(trusted, metadata, trust.Floor(), LONG_AGO)
    if manifest.root_version > len(own):
        raise VerificationError(
            f"{folder} carries a root that this desk does not know",
            hint="nothing was recorded; restore the newest copy of the desk's folder",
        )
    if manifest.targets_version < desk.state.recorded:
        raise ConflictError(
            f"{folder} is version {manifest.targets_version}, and version "
            f"{desk.state.recorded} was recorded already",
            hint="nothing was changed; record the newest bundle",
        )
    desk.adopt(manifest)
    return manifest


def settle(desk: Desk, abandoned: int | None) -> None:
    """Learn how the bundle under way ended; raise ConflictError when that cannot be known."""
    under_way = desk.state.building
    if under_way is None:
        if abandoned is not None:
            raise ConflictError(
                f"no bundle of version {abandoned} is under way", hint="leave out --abandoned"
            )
        return
    if abandoned == under_way.version:
        desk.change(building=None)
        return
    for folder in map(Path, under_way.folders):
        try:
            record(desk, folder)
        except (ApplianceError, OSError):
            # Not there, not complete, or something else by now: a person has to say.
            continue
        if desk.state.building is None:
            return
    raise ConflictError(
        f"this desk does not know how bundle {under_way.version} ended, which was built to "
        f"{', '.join(under_way.folders)}",
        hint=f"complete it and run `appliance publisher record {desk.folder} BUNDLE`; or, if "
        "nobody has it and nobody will complete it, build with "
        f"--abandoned {under_way.version}",
    )
