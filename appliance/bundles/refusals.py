"""Why a bundle or a model file was refused: one class and one stable code per kind of reason.

Every message says what was found and that nothing of it was used. Not here: failures of the
machine (disk full, another import running), which are no fault of the bundle.
"""

from __future__ import annotations

from appliance.errors import UnavailableError, VerificationError


class BundleError(VerificationError):
    """A bundle cannot be trusted or does not hold what was signed."""

    code = "bundle_refused"
    hint = "nothing was imported; keep the medium and ask its publisher for a new copy"


class WrongFingerprintError(BundleError):
    """The root of a publisher does not have the fingerprint that a person confirmed."""

    code = "wrong_fingerprint"
    hint = "the publisher was not added; read the fingerprint again over another channel"


class UnknownPublisherError(BundleError):
    """No publisher trusted here has signed the bundle."""

    code = "unknown_publisher"
    hint = "nothing was imported; trust the publisher first with `appliance trust add`"


class SignatureError(BundleError):
    """Metadata is malformed, or not signed by enough of the keys that count now."""

    code = "bad_signature"


class RevokedPublisherError(BundleError):
    """The bundle's publisher was trusted here once and is no more."""

    code = "publisher_revoked"
    hint = "nothing was imported; trust the publisher anew only with a new root and fingerprint"


class DeniedModelError(BundleError):
    """The publisher has withdrawn this model by a signed deny list."""

    code = "model_denied"
    hint = "the model is not used; ask its publisher for a newer version"


class ExpiredError(BundleError):
    """The signature's validity has ended: the bundle may be an old one that is replayed."""

    code = "bundle_expired"
    hint = "nothing was imported; check this machine's clock, then ask for a newer bundle"


class RollbackError(BundleError):
    """The bundle or model is older than what this appliance has already accepted."""

    code = "bundle_rollback"
    hint = "nothing was imported; use the newest bundle of this publisher"


class LayoutError(BundleError):
    """The folder holds something else than exactly the files that were signed."""

    code = "bundle_layout"
    hint = "nothing was imported; copy the bundle afresh to an empty medium"


class ContentError(BundleError):
    """A file's length or digest is not the signed one."""

    code = "bundle_content"
    hint = "nothing was imported; copy the bundle afresh, and report it if that does not help"


class UnsafeModelError(BundleError):
    """A model file is malformed, or is not the model that its signed description says."""

    code = "unsafe_model"
    hint = "nothing was imported; report the file to its publisher"


class EngineTooOldError(BundleError):
    """A model needs a newer engine than this appliance has."""

    code = "engine_too_old"
    hint = "nothing was imported; upgrade the appliance first"


class DamagedModelError(VerificationError):
    """A file in the library no longer has the digest under which it was imported."""

    code = "model_damaged"
    hint = "the model must not be used; import its bundle again, and look into the cause"


class MediumError(UnavailableError):
    """The medium stopped answering, or cannot be read."""

    code = "medium_unreadable"
    hint = "nothing was imported; check that the medium is still plugged in and try again"


class StorageError(UnavailableError):
    """The appliance's own disk failed while a model was written to it."""

    code = "storage_failed"
    hint = "nothing was imported; have the disk of the state folder looked at, then import again"


class IncompleteError(UnavailableError):
    """Files of a model lie on none of the media that were given; what was read is kept."""

    code = "bundle_incomplete"
    hint = "run the import again with the next medium; it goes on where it stopped"
