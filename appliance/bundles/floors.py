"""What the record says was accepted of a publisher before, as a floor beside the database's. Pure.

Guarantee: a database that was lost, or put back from an older backup, does not make an older
stick good again while the record is there: versions never go down, and trust that was taken back
stays so. The floor of the targets falls with the keys that signed them, as in the TUF
specification (5.3.11), or a thief's enormous version number would shut out its publisher for ever.
Not here: reading the record (operations), the database's own floor (`trust`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tuf.api.metadata import Root, Targets

from appliance.bundles import trust
from appliance.bundles.inventory import PublisherInfo
from appliance.bundles.manifest import VerifiedManifest
from appliance.bundles.refusals import RevokedPublisherError, RollbackError

HINT = (
    "nothing was imported; the database is older than the record: put back its newest backup, "
    "and ask the publisher for its newest bundle"
)


@dataclass(frozen=True)
class Accepted:
    """The newest that was accepted of one line of roots.

    `targets` maps the ids of those who signed to the highest version that they signed.
    """

    root_version: int = 0
    targets: Mapping[frozenset[str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Floors:
    """By the SHA-256 of roots: what was accepted under them, and which lost trust."""

    accepted: Mapping[str, Accepted] = field(default_factory=dict)
    revoked: frozenset[str] = frozenset()

    def require_trusted(self, publisher: PublisherInfo) -> None:
        """Raise RevokedPublisherError when the record tells that trust was taken back."""
        if publisher.root_sha256 in self.revoked:
            raise RevokedPublisherError(f"trust in {publisher.name} was taken back here", hint=HINT)

    def require_not_older(
        self,
        publisher: PublisherInfo,
        root: Root,
        metadata: Mapping[str, bytes],
        manifest: VerifiedManifest,
    ) -> None:
        """Raise RollbackError when a verified bundle is older than what the record tells of.

        `metadata` are the files of the bundle: a publisher that was trusted anew by a later root
        is known again by an earlier one that its bundle carries.
        """
        prints = {trust.fingerprint(data) for name, data in metadata.items() if "root" in name}
        for known in prints | {publisher.root_sha256}:
            floor = self.accepted.get(known, Accepted())
            _check("root", manifest.root_version, floor.root_version)
            for signers, version in floor.targets.items():
                if _stand(signers, root):
                    _check("targets", manifest.targets_version, version)


def _stand(signers: frozenset[str], root: Root) -> bool:
    """Tell whether those who signed then could sign now; unknown signers are taken to."""
    role = root.roles[Targets.type]
    return not signers or len(signers & set(role.keyids)) >= role.threshold


def _check(what: str, version: int, floor: int) -> None:
    if version < floor:
        raise RollbackError(
            f"the bundle has version {version} of its {what}; by the record, version {floor} "
            "was here before",
            hint=HINT,
        )
