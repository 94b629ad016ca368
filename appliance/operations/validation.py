"""The validation record of a model: what a review of model risk asks for, in one file.

It states who the model is (every digest, every signature), what it is meant for, how it did on
this machine prompt by prompt and beside the active model, what people did with it and when, and
where in the record all this stands. Making one is recorded with the SHA-256 of the file, so that
a file can be checked against the record later. Rules that ask for one are named in
docs/reference/golden-prompts.md.
Not here: running anything; the words of the page (`validation_page`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from appliance.assembly import Appliance
from appliance.audit.checkpoint import SignedCheckpoint
from appliance.audit.query import MAX_LIMIT, Query
from appliance.bundles import trust
from appliance.bundles.evaluations.results import EvaluationInfo, PromptResult
from appliance.bundles.golden import GoldenPrompt
from appliance.bundles.inventory import ModelInfo
from appliance.clock import rfc3339
from appliance.errors import ApplianceError, BadInputError, ConflictError
from appliance.identity.permissions import Actor, Permission
from appliance.operations import validation_page
from appliance.operations.comparison import Comparison
from appliance.operations.evaluation import Evaluations
from appliance.operations.machine import machine
from appliance.operations.recording import Recorder

FORMAT = "appliance-validation-record/1"
FORMS = ("json", "markdown")
MAX_PAGES = 50


class Validations:
    """Makes validation records."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._library = appliance.library
        self._ledger = appliance.ledger
        self._evaluations = Evaluations(appliance)
        self._recorder = Recorder(appliance.ledger)

    def make(
        self, actor: Actor, name: str, version: str | None = None, form: str = "json"
    ) -> bytes:
        """Return the record of one model as JSON or Markdown; raises BadInputError, NotFoundError.

        A model that was never evaluated has one too, and it says so.
        """
        with self._recorder.change(
            actor, Permission.MODELS_VALIDATION, "model.validation"
        ) as change:
            if form not in FORMS:
                raise BadInputError(f"a validation record is made as {' or '.join(FORMS)}")
            model = self._library.by_name(name, version)
            change.entity = model.id
            value = self._value(actor, model)
            data = _encoded(value) if form == "json" else validation_page.page(value).encode()
            change.facts |= {
                "digest": model.digest, "form": form, "sha256": hashlib.sha256(data).hexdigest()
            }  # fmt: skip
        return data

    def _value(self, actor: Actor, model: ModelInfo) -> dict[str, Any]:
        shown = self._evaluations.of(actor, model.name, model.version)
        return {
            "format": FORMAT,
            "made": rfc3339(self._appliance.clock.now()),
            "made_by": self._person(actor.user, str(actor.role)),
            "site": self._appliance.config.site.name,
            "model": _identity(model),
            "origin": self._origin(model),
            "card": {"text": model.card_text, **_stated(model)},
            "machine": machine(),
            "evaluation": self._evaluation(model, shown.evaluation),
            "comparison": _comparison(shown.comparison),
            "runs": [_run(info) for info in shown.runs],
            "history": list(self._history(model)),
            "record": self._place(),
        }

    def _origin(self, model: ModelInfo) -> dict[str, Any]:
        publishers = {item.id: item for item in self._library.publishers()}
        publisher = publishers[model.publisher]
        return {
            "publisher": publisher.name,
            "root_sha256": publisher.root_sha256,
            "root_version": publisher.root_version,
            "targets_version": publisher.targets_version,
            "signatures_needed": trust.threshold(publisher.root),
            "trusted_by": self._person(publisher.added_by),
            "trusted": rfc3339(publisher.created),
            "revoked": None if publisher.revoked is None else rfc3339(publisher.revoked),
            "signer_key_ids": list(model.signers),
            "model_signature_key_id": trust.name_of_key(publisher.root, model.oms_key),
            "model_signature_key_sha256": model.oms_key_sha256,
        }

    def _evaluation(self, model: ModelInfo, info: EvaluationInfo | None) -> dict[str, Any] | None:
        if info is None:
            return None
        asked = self._asked(model)
        return {
            **_run(info),
            "conditions": None if info.conditions is None else asdict(info.conditions),
            "prompts": [_prompt(item, asked.get(item.id)) for item in info.results],
        }

    def _asked(self, model: ModelInfo) -> Mapping[str, GoldenPrompt]:
        """Return the prompts by id; none when their file is gone: the results stand without it."""
        try:
            _, prompts = self._evaluations.prompts_of(model)
        except ApplianceError:
            return {}
        return {prompt.id: prompt for prompt in prompts}

    def _history(self, model: ModelInfo) -> Iterator[dict[str, Any]]:
        """Yield what the record says of the model, oldest first, intents left out."""
        own = list(self._entries(Query(entity=model.id, limit=MAX_LIMIT)))
        imports = self._entries(Query(action="bundle.import", limit=MAX_LIMIT))
        own += [entry for entry in imports if model.digest in json.dumps(entry["content"])]
        for _, entry in sorted({entry["seq"]: entry for entry in own}.items()):
            if entry["outcome"] != "intent":
                yield {
                    "seq": entry["seq"],
                    "leaf": entry["leaf"],
                    "t": entry["t"],
                    "action": entry["action"],
                    "outcome": entry["outcome"],
                    "by": self._person(entry["agent"]["user"], entry["agent"]["role"]),
                    "content": entry["content"],
                }

    def _entries(self, query: Query) -> Iterator[dict[str, Any]]:
        before: int | None = None
        for _ in range(MAX_PAGES):
            page = self._ledger.search(Query(**{**query.to_json(), "before_seq": before}))
            yield from page.entries
            before = page.next_before
            if before is None:
                return
        raise ConflictError("the record holds too many entries about this model to list them")

    def _place(self) -> dict[str, Any]:
        """Return how far the record went, and a signed checkpoint that covers all of it."""
        note = self._ledger.checkpoint()
        signed = SignedCheckpoint.parse(note).checkpoint
        return {
            "log": signed.origin,
            "entries": signed.size,
            "newest_seq": signed.size - 1,
            "root": signed.root.hex(),
            "checkpoint": note,
        }

    def _person(self, user: str, role: str = "") -> dict[str, str]:
        """Return id and name of an account; the id alone for a part of the appliance."""
        names = {item.id: item.name for item in self._appliance.people.list()}
        return {"id": user, "name": names.get(user, user.partition(":")[2] or user), "role": role}


def _encoded(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1).encode() + b"\n"


def _identity(model: ModelInfo) -> dict[str, Any]:
    return {
        "id": model.id,
        "name": model.name,
        "version": model.version,
        "state": str(model.state),
        "reason": model.reason,
        "demo": model.demo,
        "licence": model.licence,
        "architecture": model.architecture,
        "parameters": model.parameters,
        "quantisation": model.quantisation,
        "context_tokens": model.context_tokens,
        "bytes": model.bytes,
        "security_epoch": model.security_epoch,
        "template_from": model.template_from,
        "roles": sorted(model.roles),
        "files": {"weights": model.digest, **dict(sorted(model.files.items()))},
    }


def _stated(model: ModelInfo) -> dict[str, Any]:
    """Return what the card says of use, limits and hardware; null where it says nothing."""
    names = ("intended_use", "known_limits", "training_data", "hardware_floor")
    return {name: model.card.get(name) for name in names}


def _run(info: EvaluationInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "state": info.state,
        "reason": info.reason,
        "engine": info.engine,
        "prompts_sha256": info.prompts_sha256,
        "by": info.by,
        "started": rfc3339(info.started),
        "finished": None if info.finished is None else rfc3339(info.finished),
        "passed": info.passed,
        "failed": info.failed,
    }


def _prompt(result: PromptResult, prompt: GoldenPrompt | None) -> dict[str, Any]:
    asked = [] if prompt is None else [asdict(turn) for turn in prompt.turns]
    system = None if prompt is None else prompt.system
    return {**asdict(result), "passed": result.passed, "asked": asked, "system": system}


def _comparison(found: Comparison | None) -> dict[str, Any] | None:
    if found is None:
        return None
    answers = {item.id: item for item in found.active.results}
    return {
        "active": found.active_name,
        "evaluation": _run(found.active),
        **{change: found.count(change) for change in ("improved", "same", "worse")},
        "prompts": [
            {
                "id": item.id,
                "required": item.required,
                "change": item.change,
                "passed": item.candidate_passed,
                "active_passed": item.active_passed,
                "active_answer": answers[item.id].answer,
            }
            for item in found.prompts
        ],
    }
