"""What an action, an outcome and a purpose are called in FHIR R4 and in DICOM (pure).

DICOM's audit codes (PS3.15 A.5.3) where there is one, else the life-cycle codes of ISO 21089,
both from the value set that R4 binds to AuditEvent.type. The project's own word is always the
last subtype, so nothing is lost to a coarser code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# A reserved name (RFC 2606) that cannot be fetched: these are names, not addresses.
BASE = "https://appliance.example/fhir/"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
ISO_21089 = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SOURCE_TYPE = "http://terminology.hl7.org/CodeSystem/security-source-type"

Coding = dict[str, str]


def coding(system: str, code: str, display: str) -> Coding:
    """Return one FHIR Coding."""
    return {"system": system, "code": code, "display": display}


@dataclass(frozen=True)
class Meaning:
    """`verb` is AuditEvent.action: C create, R read, U update, D delete, E execute."""

    verb: str
    kind: Coding
    detail: Coding | None = None


_ACTIVITY = coding(DCM, "110100", "Application Activity")
_LOG_USED = coding(DCM, "110101", "Audit Log Used")
_EXPORT = coding(DCM, "110106", "Export")
_IMPORT = coding(DCM, "110107", "Import")
_QUERY = coding(DCM, "110112", "Query")
_ALERT = coding(DCM, "110113", "Security Alert")
_AUTHENTICATION = coding(DCM, "110114", "User Authentication")
_START = coding(DCM, "110120", "Application Start")
_STOP = coding(DCM, "110121", "Application Stop")
_LOGIN = coding(DCM, "110122", "Login")
_LOGOUT = coding(DCM, "110123", "Logout")
_SECURITY = coding(DCM, "110129", "Security Configuration")
_SOFTWARE = coding(DCM, "110131", "Software Configuration")
_RESTRICTED = coding(DCM, "110132", "Use of Restricted Function")
_RECORDING_STOPPED = coding(DCM, "110133", "Audit Recording Stopped")
_USER = coding(DCM, "110137", "User security Attributes Changed")
_ACCESS = coding(ISO_21089, "access", "Access/View Record Lifecycle Event")
_AMEND = coding(ISO_21089, "amend", "Amend (Update) Record Lifecycle Event")
_ARCHIVE = coding(ISO_21089, "archive", "Archive Record Lifecycle Event")
_RESTORE = coding(ISO_21089, "restore", "Restore Record Lifecycle Event")
_DESTROY = coding(ISO_21089, "destroy", "Destroy/Delete Record Lifecycle Event")
_HOLD = coding(ISO_21089, "hold", "Add Legal Hold Record Lifecycle Event")
_UNHOLD = coding(ISO_21089, "unhold", "Remove Legal Hold Record Lifecycle Event")
_ENCRYPT = coding(ISO_21089, "encrypt", "Encrypt Record Lifecycle Event")

MEANINGS: Mapping[str, Meaning] = {
    "answer.request": Meaning("E", _QUERY),
    "answer.complete": Meaning("E", _QUERY),
    "answer.stop": Meaning("E", _QUERY),
    "answer.fail": Meaning("E", _QUERY),
    "answer.refuse": Meaning("E", _QUERY),
    "embedding.request": Meaning("E", _QUERY),
    "embedding.complete": Meaning("E", _QUERY),
    "embedding.fail": Meaning("E", _QUERY),
    "embedding.refuse": Meaning("E", _QUERY),
    "conversation.read": Meaning("R", _ACCESS),
    "conversation.search": Meaning("E", _QUERY),
    "conversation.rename": Meaning("U", _AMEND),
    "conversation.archive": Meaning("U", _ARCHIVE),
    "conversation.restore": Meaning("U", _RESTORE),
    "content.erase": Meaning("D", _DESTROY),
    "content.purge": Meaning("D", _DESTROY),
    "content.hold": Meaning("U", _HOLD),
    "content.release": Meaning("U", _UNHOLD),
    "content.rewrap": Meaning("U", _ENCRYPT),
    "session.open": Meaning("E", _AUTHENTICATION, _LOGIN),
    "session.close": Meaning("E", _AUTHENTICATION, _LOGOUT),
    "session.expire": Meaning("E", _AUTHENTICATION, _LOGOUT),
    "session.refuse": Meaning("E", _AUTHENTICATION, _LOGIN),
    "session.lock": Meaning("U", _ALERT, _USER),
    "user.add": Meaning("C", _ALERT, _USER),
    "user.disable": Meaning("U", _ALERT, _USER),
    "user.enable": Meaning("U", _ALERT, _USER),
    "user.unlock": Meaning("U", _ALERT, _USER),
    "user.reset": Meaning("U", _ALERT, _USER),
    "user.list": Meaning("R", _QUERY),
    "password.change": Meaning("U", _ALERT, _USER),
    "key.create": Meaning("C", _ALERT, _USER),
    "key.revoke": Meaning("D", _ALERT, _USER),
    "key.list": Meaning("R", _QUERY),
    "key.refuse": Meaning("E", _AUTHENTICATION, _LOGIN),
    "publisher.trust": Meaning("C", _ALERT, _SECURITY),
    "publisher.rotate": Meaning("U", _ALERT, _SECURITY),
    "publisher.revoke": Meaning("D", _ALERT, _SECURITY),
    "bundle.import": Meaning("C", _IMPORT),
    "bundle.step": Meaning("C", _IMPORT),
    "bundle.verify": Meaning("R", _IMPORT),
    "bundle.inspect": Meaning("R", _IMPORT),
    "model.evaluate": Meaning("E", _ACTIVITY),
    "model.validation": Meaning("R", _EXPORT),
    "model.approve": Meaning("U", _ALERT, _SOFTWARE),
    "model.activate": Meaning("U", _ALERT, _SOFTWARE),
    "model.rollback": Meaning("U", _ALERT, _SOFTWARE),
    "model.pin": Meaning("U", _ALERT, _SOFTWARE),
    "model.unpin": Meaning("U", _ALERT, _SOFTWARE),
    "model.retire": Meaning("D", _ALERT, _SOFTWARE),
    "model.export": Meaning("R", _EXPORT),
    "model.quarantine": Meaning("U", _ALERT, _SOFTWARE),
    "model.load": Meaning("E", _ACTIVITY),
    "model.release": Meaning("U", _ALERT, _SOFTWARE),
    "model.manage": Meaning("E", _ALERT, _RESTRICTED),
    "record.read": Meaning("R", _LOG_USED),
    "record.verify": Meaning("R", _LOG_USED),
    "record.export": Meaning("R", _LOG_USED),
    "record.prove": Meaning("R", _LOG_USED),
    "record.checkpoint": Meaning("R", _LOG_USED),
    "record.anchor": Meaning("R", _LOG_USED),
    "record.witness": Meaning("R", _LOG_USED),
    "record.correct": Meaning("C", _AMEND),
    "record.epoch": Meaning("C", _ALERT, _SECURITY),
    "record.prune": Meaning("D", _DESTROY),
    "search.save": Meaning("C", _LOG_USED),
    "search.delete": Meaning("D", _LOG_USED),
    "retention.plan": Meaning("E", _ACTIVITY),
    "retention.apply": Meaning("D", _DESTROY),
    "appliance.init": Meaning("E", _ACTIVITY),
    "certificate.request": Meaning("C", _ALERT, _SECURITY),
    "certificate.install": Meaning("U", _ALERT, _SECURITY),
    "airgap.check": Meaning("E", _ALERT, _SECURITY),
    "engine.restart": Meaning("E", _ACTIVITY, _START),
    "appliance.start": Meaning("E", _ACTIVITY, _START),
    "appliance.stop": Meaning("E", _ACTIVITY, _STOP),
    "disk.full": Meaning("E", _ALERT, _RECORDING_STOPPED),
    "request.refuse": Meaning("E", _ALERT, _RESTRICTED),
}
# An entry of a later version may name an action that is not here: it is exported all the same.
OTHER = Meaning("E", _ACTIVITY)

# An intent has no outcome yet, so AuditEvent.outcome, which is optional, is left out.
OUTCOMES: Mapping[str, str] = {"success": "0", "refused": "4", "failure": "8"}

# Purposes of use that sites commonly name. Any other is sent in the project's own system.
PURPOSES: Mapping[str, Coding] = {
    "treatment": coding(ACT_REASON, "TREAT", "treatment"),
    "emergency": coding(ACT_REASON, "ETREAT", "Emergency Treatment"),
    "break-glass": coding(ACT_REASON, "BTG", "break the glass"),
    "operations": coding(ACT_REASON, "HOPERAT", "healthcare operations"),
    "payment": coding(ACT_REASON, "HPAYMT", "healthcare payment"),
    "research": coding(ACT_REASON, "HRESCH", "healthcare research"),
    "public-health": coding(ACT_REASON, "PUBHLTH", "public health"),
    "quality": coding(ACT_REASON, "HQUALIMP", "health quality improvement"),
    "patient-request": coding(ACT_REASON, "PATRQT", "patient requested"),
    "subject-access": coding(ACT_REASON, "PATRQT", "patient requested"),
    "routine-review": coding(ACT_REASON, "HCOMPL", "health compliance"),
    "legal": coding(ACT_REASON, "HLEGAL", "legal"),
    "education": coding(ACT_REASON, "TRAIN", "training"),
    "test": coding(ACT_REASON, "HTEST", "test health data"),
}
