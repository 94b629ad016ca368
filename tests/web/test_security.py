"""What every request must pass, and what every response carries."""

from __future__ import annotations

import pytest

from appliance.web.headers import CONTENT_SECURITY_POLICY
from tests.simulators.clinic import CSRF, Browser, Clinic


def token_of(browser: Browser) -> str:
    found = CSRF.search(browser.get("/account").get_data(as_text=True))
    assert found is not None
    return found[1]


# --- headers


@pytest.mark.parametrize("path", ["/sign-in", "/no-such-page", "/healthz", "/v1/models", "/"])
def test_every_response_forbids_what_is_never_done(answering: Clinic, path: str) -> None:
    """Pages, errors, redirects and JSON all carry the same strict headers."""
    headers = Browser(answering).get(path).headers
    assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Cache-Control"] == "no-store"


def test_static_files_may_be_kept_because_their_address_has_their_digest(
    answering: Clinic,
) -> None:
    """The stylesheet that a page names is fetched once and kept."""
    page = Browser(answering).get("/sign-in").get_data(as_text=True)
    address = page.split('rel="stylesheet" href="')[1].split('"')[0]
    response = Browser(answering).get(address)
    assert response.status_code == 200
    assert "immutable" in response.headers["Cache-Control"]


@pytest.mark.parametrize("name", ["../security.py", "..%2fsecurity.py", "/etc/passwd", "none.js"])
def test_nothing_but_static_files_is_sent(answering: Clinic, name: str) -> None:
    """A path that climbs out of the folder finds nothing."""
    response = Browser(answering).get(f"/static/{name}", follow_redirects=True)
    assert response.status_code == 404


def test_pages_have_no_inline_code(answering: Clinic) -> None:
    """No page has a script, style or handler in its own text, so the policy needs no exception."""
    browser = answering.browser("clinician")
    for path in ("/", "/account", "/history", "/models", "/sign-in"):
        page = browser.get(path).get_data(as_text=True)
        assert "<script>" not in page
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick=" not in page
        assert "http://" not in page.replace("http://www.w3.org", "")


def test_a_page_weighs_little(answering: Clinic) -> None:
    """The chat page with all its files stays far below 150 KB."""
    browser = answering.browser("clinician")
    files = ("style.css", "page.js", "chat.js", "answers.js", "icon.svg")
    weight = sum(len(browser.get(f"/static/{name}").data) for name in files)
    assert weight + len(browser.get("/").data) < 60_000


# --- host


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "x:y", "[", "a b"]
)
def test_a_foreign_host_name_is_refused(answering: Clinic, host: str) -> None:
    """A name that an attacker points at this address opens nothing (DNS rebinding)."""
    assert Browser(answering).get("/sign-in", headers={"Host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "localhost"])
def test_the_appliances_own_names_are_served(answering: Clinic, host: str) -> None:
    """The configured name and the loopback names work on any port."""
    assert Browser(answering).get("/sign-in", headers={"Host": host}).status_code == 200


# --- forged requests


def _refused_for(code: str, clinic: Clinic) -> bool:
    """Tell whether a recent refusal says so; one that was counted meanwhile may stand before it."""
    return code in [one["content"]["code"] for one in clinic.record(action="request.refuse")[:3]]


def test_a_form_without_its_token_is_refused_and_recorded(answering: Clinic) -> None:
    """A POST with the cookie alone does nothing."""
    browser = answering.browser("clinician")
    response = browser.client.post("/c", data={"prompt": "x", "once": "x"})
    assert response.status_code == 403
    assert _refused_for("forged_request", answering)


def test_a_token_of_another_session_is_refused(answering: Clinic) -> None:
    """A token is worth something only with the session it was made for."""
    foreign = token_of(answering.browser("steward"))
    browser = answering.browser("clinician")
    response = browser.client.post("/sign-out", data={"csrf": foreign})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
    ],
)
def test_a_form_from_another_site_is_refused_even_with_its_token(
    answering: Clinic, headers: dict[str, str]
) -> None:
    """What the browser says about the sender counts beside the token."""
    browser = answering.browser("clinician")
    data = {"csrf": token_of(browser)}
    assert browser.client.post("/sign-out", data=data, headers=headers).status_code == 403


def test_the_sign_in_form_is_protected_before_there_is_a_session(answering: Clinic) -> None:
    """Nobody can sign a victim in under an account of the attacker's."""
    response = Browser(answering).client.post(
        "/sign-in", data={"name": "clinician", "password": "x", "csrf": "0" * 64}
    )
    assert response.status_code == 403


# --- cookies and keys


def test_the_session_cookie_is_out_of_reach(answering: Clinic) -> None:
    """The cookie is HttpOnly, SameSite=Strict, for the whole path, and ends with the browser."""
    cookie = Browser(answering).sign_in("clinician").headers.getlist("Set-Cookie")[0]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Max-Age" not in cookie
    assert "Domain" not in cookie


def test_behind_tls_the_cookie_is_bound_to_the_host_and_secure() -> None:
    """With the TLS edge in front the cookie carries the __Host- prefix and Secure."""
    clinic = Clinic(behind_tls=True)
    try:
        response = Browser(clinic).get("/sign-in", headers={"X-Forwarded-Proto": "https"})
        cookie = response.headers["Set-Cookie"]
        assert cookie.startswith("__Host-")
        assert "Secure" in cookie
        assert "Strict-Transport-Security" in response.headers
    finally:
        clinic.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("ai.ward.example", 200), ("AI.Ward.Example:443", 200), ("appliance.lan", 200),
        ("ward.example", 403), ("ai.ward.example.evil", 403), ("", 403),
    ],
)  # fmt: skip
def test_behind_tls_the_edges_names_are_served_and_no_others(host: str, status: int) -> None:
    """The names in gateway.names open the door; what a caller claims in a header does not."""
    clinic = Clinic(behind_tls=True, names=("ai.ward.example", "Appliance.lan"))
    try:
        headers = {"Host": host, "X-Forwarded-Host": "ai.ward.example"}
        assert Browser(clinic).get("/sign-in", headers=headers).status_code == status
    finally:
        clinic.close()


def test_a_session_cookie_opens_no_api(answering: Clinic) -> None:
    """Under /v1 a cookie proves nothing, so no page can be tricked into calling it."""
    response = answering.browser("clinician").get("/v1/models")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_an_api_key_opens_no_page(answering: Clinic) -> None:
    """On pages a key proves nothing."""
    headers = {"Authorization": f"Bearer {answering.key()}"}
    assert Browser(answering).get("/account", headers=headers).status_code == 303


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic abc", "Bearer apl_x", "Bearer é"]
)
def test_a_bad_key_is_refused_in_openais_shape(answering: Clinic, value: str) -> None:
    """Whatever is wrong with the key, the answer is a 401 that an OpenAI client understands."""
    response = Browser(answering).get("/v1/models", headers={"Authorization": value})
    assert response.status_code == 401
    assert response.get_json()["error"]["type"] == "authentication_error"


# --- bodies


def test_an_oversized_form_is_refused_and_recorded(answering: Clinic) -> None:
    """A body over the limit is answered 413 with the limit, and recorded."""
    browser = answering.browser("clinician")
    limit = answering.config.gateway.max_body_bytes
    response = browser.submit("/c", {"prompt": "x" * limit})
    assert response.status_code == 413
    assert str(limit) in response.get_data(as_text=True)
    assert _refused_for("too_large", answering)


def test_an_oversized_body_to_the_api_is_refused(answering: Clinic) -> None:
    """The API answers 413 as JSON."""
    response = Browser(answering).client.post(
        "/v1/chat/completions",
        data=b" " * (answering.config.gateway.max_body_bytes + 1),
        headers={"Authorization": f"Bearer {answering.key()}"},
    )
    assert response.status_code == 413
    assert response.get_json()["error"]["code"] == "too_large"


def test_a_file_is_refused_before_it_could_touch_the_disk(answering: Clinic) -> None:
    """A multipart body is never parsed, so nothing of it is spooled to a temporary file."""
    browser = answering.browser("clinician")
    head = b'--b\r\nContent-Disposition: form-data; name="prompt"; filename="note.txt"\r\n\r\n'
    body = head + b"x" * 600_000 + b"\r\n--b--\r\n"
    headers = {"X-CSRF-Token": token_of(browser)}
    kind = "multipart/form-data; boundary=b"
    response = browser.client.post("/c", data=body, content_type=kind, headers=headers)
    assert response.status_code == 400


def test_a_body_without_a_stated_length_is_refused(answering: Clinic) -> None:
    """A chunked body would be cut off silently at the limit; it is refused instead."""
    browser = answering.browser("clinician")
    headers = {"X-CSRF-Token": token_of(browser), "Transfer-Encoding": "chunked"}
    response = browser.client.post("/c", data={"prompt": "x", "once": "x"}, headers=headers)
    assert response.status_code == 400
    assert "does not state its length" in response.get_data(as_text=True)


def test_an_error_page_has_a_reference_and_no_trace(clinic: Clinic) -> None:
    """A fault of ours is a plain sentence with an id; the id is in the response header too."""

    def broken() -> str:
        raise RuntimeError("secret words of a patient")

    from appliance.identity.permissions import Permission
    from appliance.web.access import allow

    clinic.app.add_url_rule("/broken", "broken", allow(Permission.OWN_PASSWORD)(broken))
    response = clinic.browser("clinician").get("/broken")
    page = response.get_data(as_text=True)
    assert response.status_code == 500
    assert response.headers["X-Request-Id"] in page
    assert "secret words" not in page
    assert "Traceback" not in page


def test_a_wrong_method_is_a_clear_405(answering: Clinic) -> None:
    """A GET on a form's address is answered with a page."""
    response = answering.browser("clinician").get("/sign-out")
    assert response.status_code == 405
    assert "does not take that kind" in response.get_data(as_text=True)
    assert "GET" in response.headers["Allow"] or "POST" in response.headers["Allow"]


@pytest.mark.parametrize("host", ["a..b", ".evil", "x" * 70, "[", "evil.example"])
def test_an_odd_host_gets_a_plain_refusal(clinic: Clinic, host: str) -> None:
    """Also when no page can be made for it."""
    response = clinic.app.test_client().get("/sign-in", headers={"Host": host})
    assert response.status_code in {400, 403}


@pytest.mark.parametrize("origin", ["http://[", "http://evil.example", "nonsense"])
def test_an_odd_origin_is_a_forged_request(clinic: Clinic, origin: str) -> None:
    """It is refused and recorded, not a fault of ours."""
    client = clinic.app.test_client()
    response = client.post("/sign-in", data={"name": "a"}, headers={"Origin": origin})
    assert response.status_code == 403
    assert clinic.record(action="request.refuse")
