"""Every route is declared, closed to whoever may not, and leaves its trace in the record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from appliance.conversations.store import ModelUsed
from appliance.identity.permissions import GRANTS, Permission
from appliance.identity.roles import ASSIGNABLE
from appliance.operations.scopes import Wanted
from appliance.web.access import Access, access_of
from tests.simulators.clinic import CSRF, PASSWORD, Browser, Clinic

FOR_PROGRAMS = ("/v1/", "/api/")
ROLES = sorted(str(role) for role in ASSIGNABLE)
FILLED = {
    "conversation_id": f"cnv_{0:024}", "answer_id": f"msg_{0:024}", "key_id": f"key_{0:024}",
    "name": "clinician", "version": "1.0", "seq": 0, "search_id": f"sch_{0:024}",
    "hold_id": f"hld_{0:024}", "erasure_id": f"ers_{0:024}", "wish": "pull",
}  # fmt: skip


def every_rule(app: Flask) -> list[tuple[str, str, str, Access | None]]:
    """Return (endpoint, method, path, access) of every route."""
    found: list[tuple[str, str, str, Access | None]] = []
    for rule in app.url_map.iter_rules():
        values = {name: FILLED[name] for name in rule.arguments}
        if rule.endpoint == "static_files.file":
            values = {"name": "style.css"}
        with app.test_request_context():
            _, path = rule.build(values) or ("", "")
        access = access_of(app.view_functions[rule.endpoint])
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        found += [(rule.endpoint, method, path, access) for method in methods]
    return found


def test_every_route_declares_who_may_call_it(answering: Clinic) -> None:
    """No route exists without `@allow` or `@public`."""
    undeclared = [name for name, _, _, access in every_rule(answering.app) if access is None]
    assert undeclared == []


def test_public_routes_are_few_and_say_why(answering: Clinic) -> None:
    """What is open to everyone is listed here, each with a reason in the code."""
    public = {
        name: access.reason
        for name, _, _, access in every_rule(answering.app)
        if access is not None and access.permission is None
    }
    assert set(public) == {
        "static_files.file", "session.sign_in", "session.sign_in_now", "health.healthz",
        "health.metrics",
    }  # fmt: skip
    assert all(public.values())


def test_an_undeclared_route_is_closed_to_everyone(clinic: Clinic) -> None:
    """A view that somebody forgot to declare answers 403 to the most powerful person too."""
    clinic.app.add_url_rule("/forgotten", "forgotten", lambda: "open")
    assert clinic.browser("administrator").get("/forgotten").status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_a_role_gets_403_on_whatever_it_may_not(answering: Clinic, role: str) -> None:
    """Each role is refused on every page and form whose permission it does not hold."""
    browser = answering.browser(role)
    for name, method, path, access in every_rule(answering.app):
        if path.startswith(FOR_PROGRAMS) or access is None or access.permission is None:
            continue
        if access.permission in GRANTS[answering.actor(role).role]:
            continue
        response = browser.get(path) if method == "GET" else browser.submit(path)
        assert response.status_code == 403, f"{role} {method} {name}"


def test_without_a_session_every_closed_page_leads_to_the_sign_in_page(answering: Clinic) -> None:
    """Nobody in particular sees nothing but the sign-in page."""
    browser = Browser(answering)
    for name, method, path, access in every_rule(answering.app):
        if path.startswith(FOR_PROGRAMS) or access is None or access.permission is None:
            continue
        response = browser.client.open(path, method=method)
        assert response.status_code == 303, name
        assert response.location.startswith("/sign-in"), name


def test_every_refusal_of_a_role_is_in_the_record(answering: Clinic) -> None:
    """A closed page that somebody tried to open is recorded with who, where and why."""
    answering.browser("clinician").get("/people")
    entry = answering.record(action="request.refuse")[0]
    assert entry["agent"]["user"] == answering.actor("clinician").user
    assert entry["content"]["code"] == "forbidden"
    assert entry["content"]["route"].endswith("GET /people")


# --- every route that changes something

Prepare = Callable[[Clinic], tuple[str, dict[str, Any]]]


def conversation(clinic: Clinic) -> str:
    user = clinic.actor("clinician").user
    used = ModelUsed("tiny", "1.0", "ab" * 32)
    return clinic.appliance.conversations.begin(user, "a chat", "chat", "hello", used)[0]


def own_key(clinic: Clinic) -> str:
    key, _ = clinic.operations.people.create_key(clinic.actor("clinician"), "clinician", "x")
    return key.id


def disabled(clinic: Clinic) -> str:
    clinic.operations.people.disable_user(clinic.actor("administrator"), "steward")
    return "steward"


def saved_search(clinic: Clinic) -> str:
    return clinic.operations.searches.save(clinic.actor("auditor"), "a", {"role": "clinician"}).id


def held(clinic: Clinic) -> str:
    officer = clinic.actor("privacy-officer")
    return clinic.operations.content.hold(officer, Wanted("all"), "case 1/26").id


NEW = "another horse battery staple"
CHANGES: dict[str, tuple[str, Prepare, str]] = {
    "session.sign_in_now": (
        "", lambda c: ("/sign-in", {"name": "auditor", "password": PASSWORD}), "session.open"),
    "session.sign_out": ("auditor", lambda c: ("/sign-out", {}), "session.close"),
    "account.change_password": (
        "steward",
        lambda c: ("/account/password", {"old": PASSWORD, "new": NEW, "again": NEW}),
        "password.change"),
    "account.create_key": (
        "clinician", lambda c: ("/account/keys", {"label": "a", "once": "k"}), "key.create"),
    "account.revoke_key": (
        "clinician", lambda c: (f"/account/keys/{own_key(c)}/revoke", {}), "key.revoke"),
    "keys.revoke": ("administrator", lambda c: (f"/keys/{own_key(c)}/revoke", {}), "key.revoke"),
    "chat.create": (
        "clinician", lambda c: ("/c", {"prompt": "hello", "once": "q"}), "answer.request"),
    "chat.ask": (
        "clinician",
        lambda c: (f"/c/{conversation(c)}/ask", {"prompt": "hello", "once": "r"}),
        "answer.request"),
    "chat.rename": (
        "clinician",
        lambda c: (f"/c/{conversation(c)}/rename", {"title": "new"}),
        "conversation.rename"),
    "chat.archive": (
        "clinician", lambda c: (f"/c/{conversation(c)}/archive", {}), "conversation.archive"),
    "chat.restore": (
        "clinician", lambda c: (f"/c/{conversation(c)}/restore", {}), "conversation.restore"),
    "people.add": (
        "administrator",
        lambda c: ("/people", {"name": "anna", "role": "clinician", "once": "a"}),
        "user.add"),
    "people.disable": ("administrator", lambda c: ("/people/steward/disable", {}), "user.disable"),
    "people.enable": (
        "administrator", lambda c: (f"/people/{disabled(c)}/enable", {}), "user.enable"),
    "people.unlock": ("administrator", lambda c: ("/people/steward/unlock", {}), "user.unlock"),
    "people.reset": (
        "administrator", lambda c: ("/people/steward/reset", {"once": "b"}), "user.reset"),
    "privacy.hold": (
        "privacy-officer",
        lambda c: ("/privacy/hold", {"kind": "all", "reason": "case 1/26", "once": "h"}),
        "content.hold"),
    "privacy.release": (
        "privacy-officer",
        lambda c: (f"/privacy/holds/{held(c)}/release", {"reason": "closed", "once": "i"}),
        "content.release"),
    "privacy.erase": (
        "privacy-officer",
        lambda c: ("/privacy/erase", {
            "kind": "conversation", "whose": conversation(c), "basis": "GDPR Art. 17(1)(a)",
            "confirm": "ERASE", "once": "e"}),
        "content.erase"),
    "corrections.correct": (
        "auditor",
        lambda c: ("/record/entries/0/correct", {"wrong": "other", "once": "c"}),
        "record.correct"),
    "record.export": ("auditor", lambda c: ("/record/export", {"format": "csv"}), "record.export"),
    "searches.save": (
        "auditor",
        lambda c: ("/record/searches", {"name": "a", "role": "clinician", "once": "s"}),
        "search.save"),
    "searches.delete": (
        "auditor", lambda c: (f"/record/searches/{saved_search(c)}/delete", {}), "search.delete"),
}  # fmt: skip
# These record elsewhere what they change, each with a test of its own (the model's life, a stop
# whose outcome is `answer.stop`, a verification, whose one entry is its outcome, the API).
ELSEWHERE = {
    "answers.stop", "record.verify", "privacy.plan", "privacy.find",
    "openai_chat.chat", "openai_completions.completions", "openai_embeddings.embeddings",
    "ollama_chat.chat", "ollama_chat.generate", "ollama_embed.embed", "ollama_embed.embed_one",
    "ollama_models.show", "ollama_refused.refused",
    "models.approve", "models.activate", "models.rollback", "models.evaluate", "models.pin",
    "models.release", "models.unpin", "models.retire",
}  # fmt: skip


def test_the_walk_below_covers_every_route_that_changes_something(answering: Clinic) -> None:
    """A new form fails this test until its trace is tested."""
    posts = {name for name, method, _, _ in every_rule(answering.app) if method != "GET"}
    assert posts == set(CHANGES) | ELSEWHERE


@pytest.mark.parametrize("endpoint", sorted(CHANGES))
def test_every_change_leaves_an_intent_and_an_outcome(clinic: Clinic, endpoint: str) -> None:
    """Whatever changes through a page is in the record twice: meant, and done."""
    role, prepare, action = CHANGES[endpoint]
    browser = clinic.browser(role) if role else Browser(clinic)
    path, fields = prepare(clinic)
    start = clinic.head()
    response = browser.submit(path, fields, page="/account" if role else "/sign-in")
    assert response.status_code in {200, 303}, response.get_data(as_text=True)
    list(response.response)
    clinic.operations.asking.shutdown()
    entries = [entry for entry in clinic.record() if entry["seq"] >= start]
    outcomes = [entry["outcome"] for entry in entries if entry["action"] == action]
    assert "intent" in outcomes
    noun = action.split(".")[0]
    ends = {entry["outcome"] for entry in entries if entry["action"].startswith(f"{noun}.")}
    assert ends & {"success", "failure"}


def test_a_forged_form_changes_nothing_on_any_route(answering: Clinic) -> None:
    """Every form without its token is refused before anything happens."""
    for name, method, path, access in every_rule(answering.app):
        if method == "GET" or path.startswith(FOR_PROGRAMS) or access is None:
            continue
        holder = next(
            (r for r in ROLES if access.permission in GRANTS[answering.actor(r).role]), None
        )
        browser = answering.browser(holder) if holder else Browser(answering)
        response = browser.client.post(path, data={"csrf": "0" * 64})
        assert response.status_code == 403, name
        assert "forged_request" in response.get_data(as_text=True), name


def test_metrics_permission_is_known(answering: Clinic) -> None:
    """Metrics need a permission that only the administrator holds."""
    holders = {str(role) for role in ASSIGNABLE if Permission.METRICS_READ in GRANTS[role]}
    assert holders == {"administrator"}


def test_forms_carry_the_token_of_their_session(answering: Clinic) -> None:
    """Two people never have the same token in their forms."""
    tokens = set()
    for role in ("clinician", "auditor"):
        found = CSRF.search(answering.browser(role).get("/account").get_data(as_text=True))
        assert found is not None
        tokens.add(found[1])
    assert len(tokens) == 2
