// Watches answers while they are written. Each event is a whole snapshot of sanitised HTML made
// by the server, so losing one, or the connection, loses nothing.

export function watch(article, onEnd) {
  const events = new EventSource(article.dataset.events);
  let began = Date.now() - elapsedOf(article);
  const ticking = window.setInterval(() => tick(article, began), 250);

  function finish() {
    window.clearInterval(ticking);
    events.close();
    delete article.dataset.events;
    onEnd(article);
  }

  events.addEventListener("message", (event) => {
    const answer = JSON.parse(event.data);
    if (answer.ended) {
      article.innerHTML = answer.card;
      finish();
      return;
    }
    began = Date.now() - answer.elapsed_ms;
    article.querySelector(".prose").innerHTML = answer.html;
    article.querySelector(".label").textContent = answer.label;
    tick(article, began);
  });
  events.addEventListener("over", () => {
    events.close();
    fetchEnded(article).then(finish, () => location.reload());
  });
  events.addEventListener("signed-out", () => {
    finish();
    location.assign("/sign-in?reason=ended");
  });
  events.addEventListener("error", () => {
    const label = article.querySelector(".label");
    if (label) label.textContent = "Connection lost, trying again";
    // The browser gives up by itself only when the server refuses; the page then says why.
    if (events.readyState === EventSource.CLOSED) location.reload();
  });
}

// An answer that ended while nobody watched is read on its page, and the record says so.
async function fetchEnded(article) {
  const response = await fetch(location.pathname);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const ended = page.getElementById(article.id);
  if (!response.ok || !ended || ended.dataset.events) throw new Error("the page has no end of it");
  article.innerHTML = ended.innerHTML;
}

function elapsedOf(article) {
  return Number(article.querySelector("[data-elapsed]")?.dataset.elapsed || 0);
}

function tick(article, began) {
  const clock = article.querySelector(".elapsed");
  if (clock) clock.textContent = `${Math.max(0, (Date.now() - began) / 1000).toFixed(0)} s`;
}
