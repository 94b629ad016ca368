// The chat page: sends without leaving the page, shows Stop while an answer is written.

import { watch } from "./answers.js";

const form = document.getElementById("composer");
const thread = document.getElementById("thread");
const announce = document.getElementById("announce");
const prompt = document.getElementById("prompt");
const send = document.getElementById("send");
const stop = document.getElementById("stop");
const size = document.getElementById("size");
const problem = document.getElementById("problem");
const bytes = new TextEncoder();
let sending = false;

function underWay() {
  return [...thread.querySelectorAll("[data-events]")];
}

function show() {
  const busy = underWay().length > 0;
  const hadFocus = document.activeElement === stop;
  send.hidden = busy;
  stop.hidden = !busy;
  send.disabled = sending || size.classList.contains("over");
  if (!busy && hadFocus) prompt.focus();
}

function nearEnd() {
  const page = document.scrollingElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 160;
}

function toEnd() {
  document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
}

function announceEnd(article) {
  const text = article?.querySelector(".prose")?.textContent || "";
  announce.textContent = `Answer ended. ${text}`;
}

// A quick answer has ended before the page of a new chat is there; it is announced all the same.
function announceQuick() {
  const asked = sessionStorage.getItem("asked");
  sessionStorage.removeItem("asked");
  if (asked === location.pathname && underWay().length === 0) {
    announceEnd([...thread.querySelectorAll("article.answer")].pop());
  }
}

function attach(article) {
  // Follow the text while the reader is at its end; leave them alone when they scrolled up.
  const follow = new MutationObserver(() => { if (following) toEnd(); });
  let following = nearEnd();
  const look = () => { following = nearEnd(); };
  window.addEventListener("scroll", look, { passive: true });
  follow.observe(article, { childList: true, subtree: true, characterData: true });
  watch(article, () => {
    if (following) toEnd();
    follow.disconnect();
    window.removeEventListener("scroll", look);
    announceEnd(article);
    stop.disabled = false;
    show();
  });
  show();
}

function measure() {
  const used = bytes.encode(prompt.value).length;
  const limit = Number(form.dataset.limit);
  size.hidden = used < 1000;
  size.textContent = `${used.toLocaleString()} of ${limit.toLocaleString()} bytes`;
  size.classList.toggle("over", used > limit);
  send.disabled = sending || used > limit;
  prompt.style.height = "auto";
  prompt.style.height = `${prompt.scrollHeight + 2}px`;
}

function complain(words, reference) {
  const box = document.createElement("div");
  box.className = "notice bad";
  box.setAttribute("role", "alert");
  box.textContent = words + (reference ? ` Reference for IT: ${reference}` : "");
  problem.replaceChildren(box);
}

function explain(status, body) {
  const error = body?.error ?? {};
  const words = error.message ?? "The appliance does not answer. Nothing was asked.";
  const text = `${words.charAt(0).toUpperCase()}${words.slice(1)}.`;
  complain(status === 401 ? `${text} Your text is still here: copy it, then sign in again.` : text, error.reference);
}

async function post(address, fields) {
  const response = await fetch(address, { method: "POST", body: fields, headers: { Accept: "application/json" } });
  const body = await response.json().catch(() => null);
  return { response, body };
}

function take(body) {
  if (body.location) {
    sessionStorage.setItem("asked", new URL(body.location, location).pathname);
    location.assign(body.location);
    return;
  }
  problem.replaceChildren();
  form.elements.once.value = body.once;
  prompt.value = "";
  measure();
  thread.insertAdjacentHTML("beforeend", body.html);
  toEnd();
  attach(document.getElementById(body.answer));
}

async function ask() {
  if (sending || send.disabled || underWay().length > 0 || !prompt.value.trim()) return;
  sending = true;
  show();
  try {
    const { response, body } = await post(form.action, new URLSearchParams(new FormData(form)));
    document.dispatchEvent(new Event("appliance:asked"));
    if (response.ok && body) take(body);
    else explain(response.status, body);
  } catch {
    complain("The appliance cannot be reached. Your text is still here; try again.");
  }
  sending = false;
  show();
}

async function halt() {
  stop.disabled = true;
  const token = new URLSearchParams({ csrf: form.elements.csrf.value });
  await Promise.allSettled(underWay().map((article) => post(article.dataset.stop, token)));
  stop.disabled = false;
}

function keys(event) {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    ask();
  }
}

if (form) {
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  prompt.addEventListener("keydown", keys);
  prompt.addEventListener("input", measure);
  stop.addEventListener("click", halt);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && underWay().length > 0) halt();
  });
  for (const button of document.querySelectorAll("[data-starter]")) {
    button.addEventListener("click", () => {
      prompt.value = button.dataset.starter;
      measure();
      prompt.focus();
    });
  }
  measure();
  underWay().forEach(attach);
  announceQuick();
  if (thread.querySelector(".turn")) toEnd();
  show();
  // From here on Enter sends; before, it starts a new line as in a page without scripts.
  form.dataset.ready = "true";
}
