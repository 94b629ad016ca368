"""The public key behind a model's own signature, and the keys behind its publisher's list."""

from __future__ import annotations

from collections.abc import Iterable

from appliance.bundles import oms, trust
from appliance.bundles.inventory import ModelInfo, PublisherInfo
from appliance.errors import NotFoundError


def public_key_of(model: ModelInfo, publishers: Iterable[PublisherInfo]) -> bytes:
    """Return the key (PEM) that signed the model; raise NotFoundError when it is not known here."""
    if model.oms_key.startswith("-----BEGIN"):
        return model.oms_key.encode()
    for publisher in publishers:
        if publisher.id == model.publisher:
            root = trust.reload(publisher.root).root
            for signer in map(oms.load, trust.model_keys(root)):
                if signer.key_sha256 == model.oms_key:
                    return signer.public_key
    raise NotFoundError(
        f"the key that signed {model.name} {model.version} is no longer among its publisher's keys",
        hint="ask the publisher for a newer bundle of it",
    )


def threshold_of(publisher: PublisherInfo) -> int:
    """Return how many people must sign this publisher's list of models."""
    return int(trust.reload(publisher.root).root.roles["targets"].threshold)
