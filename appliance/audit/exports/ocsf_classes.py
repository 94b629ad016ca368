"""Which OCSF 1.8.0 class and activity an action is (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ACCOUNT, AUTHENTICATION, ENTITY = 3001, 3002, 3004
EVENT_LOG, LIFECYCLE, API, ERROR = 1008, 6002, 6003, 6008
OTHER_ACTIVITY = 99

CLASS_NAMES: Mapping[int, str] = {
    EVENT_LOG: "Event Log Activity",
    ACCOUNT: "Account Change",
    AUTHENTICATION: "Authentication",
    ENTITY: "Entity Management",
    LIFECYCLE: "Application Lifecycle",
    API: "API Activity",
    ERROR: "Application Error",
}
CATEGORY_NAMES: Mapping[int, str] = {
    1: "System Activity",
    3: "Identity & Access Management",
    6: "Application Activity",
}
_ACTIVITIES: Mapping[int, Mapping[int, str]] = {
    EVENT_LOG: {2: "Delete", 3: "Export", 5: "Rotate"},
    ACCOUNT: {
        1: "Create", 2: "Enable", 3: "Password Change", 4: "Password Reset", 5: "Disable",
        9: "Lock", 12: "Unlock",
    },
    AUTHENTICATION: {1: "Logon", 2: "Logoff"},
    ENTITY: {1: "Create", 3: "Update", 4: "Delete", 6: "Enroll", 10: "Activate", 12: "Suspend"},
    LIFECYCLE: {1: "Install", 3: "Start", 4: "Stop"},
    API: {1: "Create", 2: "Read", 3: "Update", 4: "Delete"},
    ERROR: {1: "General Error"},
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """An event class and one of its activities."""

    class_uid: int
    activity_id: int = OTHER_ACTIVITY

    def activity_name(self, action: str) -> str:
        """Return the activity's caption; for "Other" OCSF asks for the source's own word."""
        return _ACTIVITIES[self.class_uid].get(self.activity_id, action)


KINDS: Mapping[str, Kind] = {
    "answer.request": Kind(API, 1),
    "answer.complete": Kind(API),
    "answer.stop": Kind(API),
    "answer.fail": Kind(API),
    "answer.refuse": Kind(API),
    "embedding.request": Kind(API, 1),
    "embedding.complete": Kind(API),
    "embedding.fail": Kind(API),
    "embedding.refuse": Kind(API),
    "conversation.read": Kind(API, 2),
    "conversation.search": Kind(API, 2),
    "conversation.rename": Kind(API, 3),
    "conversation.archive": Kind(API, 3),
    "conversation.restore": Kind(API, 3),
    "content.erase": Kind(API, 4),
    "content.purge": Kind(API, 4),
    "content.hold": Kind(API, 3),
    "content.release": Kind(API, 3),
    "content.rewrap": Kind(API, 3),
    "session.open": Kind(AUTHENTICATION, 1),
    "session.close": Kind(AUTHENTICATION, 2),
    "session.expire": Kind(AUTHENTICATION, 2),
    "session.refuse": Kind(AUTHENTICATION, 1),
    "session.lock": Kind(ACCOUNT, 9),
    "user.add": Kind(ACCOUNT, 1),
    "user.disable": Kind(ACCOUNT, 5),
    "user.enable": Kind(ACCOUNT, 2),
    "user.unlock": Kind(ACCOUNT, 12),
    "user.reset": Kind(ACCOUNT, 4),
    "user.list": Kind(API, 2),
    "password.change": Kind(ACCOUNT, 3),
    "key.create": Kind(ENTITY, 1),
    "key.revoke": Kind(ENTITY, 4),
    "key.list": Kind(API, 2),
    "key.refuse": Kind(AUTHENTICATION, 1),
    "publisher.trust": Kind(ENTITY, 6),
    "publisher.rotate": Kind(ENTITY, 3),
    "publisher.revoke": Kind(ENTITY, 4),
    "bundle.import": Kind(ENTITY, 1),
    "bundle.step": Kind(API),
    "bundle.verify": Kind(API, 2),
    "bundle.inspect": Kind(API, 2),
    "model.evaluate": Kind(API),
    "model.validation": Kind(API, 2),
    "model.approve": Kind(ENTITY, 3),
    "model.activate": Kind(ENTITY, 10),
    "model.rollback": Kind(ENTITY, 10),
    "model.pin": Kind(ENTITY, 3),
    "model.unpin": Kind(ENTITY, 3),
    "model.retire": Kind(ENTITY, 4),
    "model.export": Kind(API, 2),
    "model.quarantine": Kind(ENTITY, 12),
    "model.load": Kind(LIFECYCLE),
    "model.release": Kind(ENTITY, 3),
    "model.manage": Kind(API),
    "record.read": Kind(EVENT_LOG),
    "record.verify": Kind(EVENT_LOG),
    "record.export": Kind(EVENT_LOG, 3),
    "record.prove": Kind(EVENT_LOG),
    "record.checkpoint": Kind(EVENT_LOG),
    "record.anchor": Kind(EVENT_LOG),
    "record.witness": Kind(EVENT_LOG),
    "record.correct": Kind(EVENT_LOG),
    "record.epoch": Kind(EVENT_LOG, 5),
    "record.prune": Kind(EVENT_LOG, 2),
    "search.save": Kind(API, 1),
    "search.delete": Kind(API, 4),
    "retention.plan": Kind(EVENT_LOG),
    "retention.apply": Kind(EVENT_LOG, 2),
    "appliance.init": Kind(LIFECYCLE, 1),
    "certificate.request": Kind(ENTITY, 1),
    "certificate.install": Kind(ENTITY, 3),
    "airgap.check": Kind(API, 2),
    "engine.restart": Kind(LIFECYCLE, 3),
    "appliance.start": Kind(LIFECYCLE, 3),
    "appliance.stop": Kind(LIFECYCLE, 4),
    "disk.full": Kind(ERROR, 1),
    "request.refuse": Kind(API),
}
# An entry of a later version may name an action that is not here: it is exported all the same.
OTHER = Kind(API)
