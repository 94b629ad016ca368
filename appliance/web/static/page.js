// Every page: the menu, questions before something that cannot be taken back, copying a secret,
// and leaving a page that nobody looks at any more.

const announce = document.getElementById("announce");

// A page that comes back by the Back button is asked for again: it may be closed to them by now.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

const menu = document.getElementById("menu");
const sidebar = document.getElementById("sidebar");

function openMenu(open) {
  sidebar.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", String(open));
  if (open) sidebar.querySelector("a, button, input")?.focus();
}

if (menu) {
  menu.addEventListener("click", () => openMenu(!sidebar.classList.contains("open")));
  document.addEventListener("click", (event) => {
    if (!sidebar.contains(event.target) && event.target !== menu) openMenu(false);
  });
  sidebar.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && sidebar.classList.contains("open")) {
      event.stopPropagation();
      openMenu(false);
      menu.focus();
    }
  });
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !window.confirm(question)) event.preventDefault();
});

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying is not allowed here";
  }
  announce.textContent = button.textContent;
  window.setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy-text]");
  if (button) copy(button.dataset.copyText, button);
});

// The server ends an idle session. The page follows: on a shared computer no text stays behind.
const idle = Number(document.body.dataset.idleS || 0) * 1000;
const warning = 60_000;
const STAY = "Press any key or touch the page to stay.";
let active = Date.now();
let told = active;
const tabs = "BroadcastChannel" in window ? new BroadcastChannel("appliance-activity") : null;

function note() {
  told = Date.now();
  tabs?.postMessage("active");
}

function leave() {
  const here = location.pathname + location.search;
  location.replace(`/sign-in?reason=idle&next=${encodeURIComponent(here)}`);
}

async function keep() {
  note();
  const response = await fetch("/session", { headers: { Accept: "application/json" } }).catch(() => null);
  if (response && response.status === 401) leave();
}

function watch() {
  const now = Date.now();
  const left = told + idle - now;
  const box = document.getElementById("leaving");
  if (active > told && (now - told > warning || left < warning)) keep();
  if (left <= 0) leave();
  const close = left <= warning;
  // Said once to a screen reader, which would otherwise hear every second of it.
  if (close && box.hidden) announce.textContent = `Signing out soon. ${STAY}`;
  box.hidden = !close;
  box.textContent = `Nobody seems to be here. Signing out in ${Math.ceil(left / 1000)} s. ${STAY}`;
}

if (idle) {
  for (const kind of ["keydown", "pointerdown", "wheel", "touchstart"]) {
    document.addEventListener(kind, () => { active = Date.now(); }, { passive: true });
  }
  document.addEventListener("appliance:asked", note);
  tabs?.addEventListener("message", () => { told = Date.now(); });
  window.setInterval(watch, 1000);
}
