// Contrast of every visible text with what lies under it, as WCAG 2.1 computes it (1.4.3).
(selectors) => {
  const parse = (color) => {
    const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
    return color.startsWith("color(srgb") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const light = (color) => {
    const [r, g, b] = color.map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const selector of selectors) {
    for (const element of document.querySelectorAll(selector)) {
      if (!element.checkVisibility() || element.closest(".unseen") || element.disabled) continue;
      const under = ground(element);
      const ink = over(parse(getComputedStyle(element).color), under);
      const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
      const text = element.textContent.trim().slice(0, 40);
      found.push({ selector, text, ratio: (a + 0.05) / (b + 0.05) });
    }
  }
  for (const element of document.querySelectorAll("[placeholder]")) {
    const under = ground(element);
    const ink = over(parse(getComputedStyle(element, "::placeholder").color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
    const text = element.placeholder;
    found.push({ selector: "::placeholder", text, ratio: (a + 0.05) / (b + 0.05) });
  }
  return found;
}
