// What a screen reader needs of a page: names, headings, landmarks, ids.
() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const visible = (e) => e.checkVisibility() && e.type !== "hidden";
  const refers = (e) => [e.getAttribute("aria-describedby"), e.getAttribute("aria-controls")];
  const named = (e) => e.labels?.length || e.getAttribute("aria-label");
  const levels = all("h1, h2, h3, h4, h5, h6").filter(visible).map((e) => Number(e.tagName[1]));
  const ids = all("[id]").map((e) => e.id);
  return {
    unlabelled: all("input, select, textarea").filter(visible).filter((e) => !named(e))
      .map((e) => e.name),
    nameless: all("button, a[href], summary").filter(visible)
      .filter((e) => !e.textContent.trim() && !named(e)).map((e) => e.outerHTML),
    mains: all("main").length,
    h1: levels.filter((level) => level === 1).length,
    jumps: levels.filter((level, i) => level > (i ? levels[i - 1] : 0) + 1),
    live: all("[aria-live]").length,
    twice: ids.filter((id, i) => ids.indexOf(id) !== i),
    dangling: all("[aria-describedby], [aria-controls]").flatMap(refers)
      .filter((id) => id && !document.getElementById(id)),
    pictures: all("img:not([alt])").length,
    headless: all("table").filter((e) => !e.querySelector("th")).length,
    unlabelledNavs: all("nav:not([aria-label])").length,
    outside: all("body > *:not(script)").filter(visible)
      .filter((e) => !e.matches("main, .frame, .skip, [role], [aria-live]"))
      .map((e) => e.outerHTML),
    language: document.documentElement.lang,
    title: document.title,
  };
}
