"""Whether a model's files say what was signed, once their bytes are the signed ones.

The signature of the model itself, the card, the bill of materials, the golden prompts, the chat
template, and the header of the weights. Not here: reading a medium (`media`), running the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.bundles import bom, card, chat_template, golden, oms
from appliance.bundles.card import Card
from appliance.bundles.gguf import Facts
from appliance.bundles.inspection import check_model
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.bundles.manifest import SIDE_FILES, FileRole, VerifiedManifest, VerifiedModel
from appliance.bundles.staging import Staged
from appliance.bundles.states import State
from appliance.clock import new_id

SideFiles = dict[FileRole, Path]
Read = Callable[[FileRole], bytes]
"""`read(role)` returns the content of a file beside the weights, whose digest was checked."""


@dataclass(frozen=True)
class Whole:
    """A model whose bytes are the signed ones, and where they lie."""

    model: VerifiedModel
    staged: Staged
    side: SideFiles

    def read(self, role: FileRole) -> bytes:
        """Return the content of a file beside the weights."""
        return self.side[role].read_bytes()


@dataclass(frozen=True)
class Checked:
    """A model that is what was signed, in every respect that can be checked without running it."""

    whole: Whole
    card: Card
    facts: Facts
    signer: oms.OmsSigner

    def row(
        self,
        publisher: PublisherInfo,
        manifest: VerifiedManifest,
        imported_by: str,
        now: float,
    ) -> ModelInfo:
        """Return the model as a new row of the library."""
        model = self.whole.model
        return ModelInfo(
            id=new_id("mdl"),
            name=model.name,
            version=model.version,
            digest=model.sha256,
            state=State.IMPORTED,
            reason="",
            roles=frozenset(),
            card_text=self.card.text,
            publisher=publisher.id,
            security_epoch=model.security_epoch,
            context_tokens=self.facts.context_tokens,
            bytes=model.length,
            demo=self.card.demo,
            imported_by=imported_by,
            approved_by=None,
            created=now,
            changed=now,
            files={role: model.file(role).sha256 for role in SIDE_FILES},
            signers=manifest.signers,
            oms_key=self.signer.public_key.decode(),
            template_from=model.template_from,
            architecture=model.architecture,
            licence=model.licence,
            parameters=self.facts.parameters,
            quantisation=self.facts.quantisation,
        )


def signer_of(model: VerifiedModel, data: bytes, keys: Sequence[bytes]) -> oms.OmsSigner:
    """Return who signed the model itself, as `data` says; raise SignatureError."""
    return oms.verify(data, keys, model.oms_digests)


def inspected(whole: Whole, signer: oms.OmsSigner) -> Checked:
    """Return the model when every file says what was signed; raise UnsafeModelError."""
    parsed = check_side_files(whole.model, whole.read)
    facts = check_model(whole.staged.weights, whole.model)
    return Checked(whole, parsed, facts, signer)


def check_side_files(model: VerifiedModel, read: Read) -> Card:
    """Return the card when the files beside the weights are sound; raise UnsafeModelError."""
    parsed = card.parse(read("card"))
    card.check(parsed, model)
    bom.check(read("bom"), model)
    golden.parse(read("eval"))
    chat_template.parse(read("template"))
    return parsed
