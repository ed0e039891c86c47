/* The threshold explorer: first numbers, equal to those of deepcovid_lib.metrics, then the page. Nothing is fetched. */
(function () {
  "use strict";

  const Z = 1.959963984540054; // normal quantile of 0.975

  /* Numbers. Scores come highest first; an image is positive when score >= threshold. */

  function reaching(descending, threshold) {
    let low = 0, high = descending.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (descending[middle] >= threshold) low = middle + 1; else high = middle;
    }
    return low;
  }

  function confusion(covid, others, threshold) {
    const tp = reaching(covid, threshold), fp = reaching(others, threshold);
    return { tp, fn: covid.length - tp, fp, tn: others.length - fp };
  }

  const ratio = (part, whole) => (whole > 0 ? part / whole : NaN);

  function wilson(successes, trials) {
    const share = ratio(successes, trials), square = Z * Z, scale = 1 + square / trials;
    const centre = (share + square / (2 * trials)) / scale;
    const reach = (Z * Math.sqrt((share * (1 - share)) / trials + square / (4 * trials * trials))) / scale;
    return [successes === 0 ? 0 : Math.max(0, centre - reach), successes === trials ? 1 : Math.min(1, centre + reach)];
  }

  function predictive(sensitivity, specificity, prevalence) {
    const found = sensitivity * prevalence, missed = (1 - sensitivity) * prevalence;
    const spared = specificity * (1 - prevalence), alarmed = (1 - specificity) * (1 - prevalence);
    return { ppv: ratio(found, found + alarmed), npv: ratio(spared, spared + missed) };
  }

  /* The highest observed score whose sensitivity is >= the target. */
  function operatingPoint(covid, others, target) {
    let needed = 0;
    while (needed / covid.length < target) needed += 1;
    return needed ? covid[needed - 1] : Math.max(covid[0], others[0]);
  }

  /* Every threshold that calls differently: the distinct scores, lowest first, then one above them all. */
  function steps(covid, others) {
    return [...new Set([...covid, ...others])].sort((a, b) => a - b).concat(Infinity);
  }

  /* The step that calls as a threshold does. */
  const place = (ascending, threshold) => ascending.findIndex((step) => step >= threshold);

  /* A threshold in at least four digits, as many as it takes to make the same calls when typed back. */
  function told(ascending, threshold) {
    if (threshold === Infinity) return "";
    for (let digits = 4; digits < 17; digits += 1) {
      const short = Number(threshold.toPrecision(digits));
      if (place(ascending, short) === place(ascending, threshold)) return String(short);
    }
    return String(threshold);
  }

  /* A crowd in four whole groups that add up; larger than 1,000 where a group that is not empty would have nobody. */
  function crowd(sensitivity, specificity, prevalence) {
    const shares = [sensitivity * prevalence, (1 - sensitivity) * prevalence,
      (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)];
    let people = 1000;
    while (people < 1e12 && shares.some((share) => share > 0 && share * people < 1)) people *= 10;
    const exact = shares.map((share) => share * people);
    const whole = exact.map(Math.floor);
    const left = people - whole.reduce((sum, count) => sum + count);
    exact.map((share, k) => [share - whole[k], k]).sort((a, b) => b[0] - a[0]).slice(0, left)
      .forEach(([, k]) => { whole[k] += 1; });
    const [found, missed, alarmed, spared] = whole;
    return { people, found, missed, alarmed, spared };
  }

  /* One decimal, halves to the even digit as in the book's tables: of all halves only .25 is rounded otherwise. More
     decimals where one would make all or nothing of a share that is neither. */
  function percent(share) {
    const hundredths = 100 * share;
    const text = (hundredths % 1 === 0.25 ? hundredths - 0.01 : hundredths).toFixed(1);
    const whole = share <= 0 || share >= 1;
    if (whole || (Number(text) !== 0 && Number(text) !== 100)) return `${text}%`;
    const more = [2, 3, 4, 5, 6, 7, 8].map((digits) => hundredths.toFixed(digits));
    return `${more.find((told) => Number(told) !== 0 && Number(told) !== 100) || hundredths}%`;
  }

  /* A number from 0 to `highest`, or NaN. */
  function number(text, highest) {
    const given = text.trim(), unclear = /^[1-9]\d{0,2}(,\d{3})+$/.test(given); // 1,000 may be one or a thousand
    const plain = unclear ? "" : given.replace(",", ".");
    const value = /^(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
    return value <= highest ? value : NaN;
  }

  /* Per cent as a share, by moving the point, so that 0.7 becomes 0.007. */
  const asShare = (perCent) => Number(perCent + "e-2") || perCent / 100;

  /* The setting in an address: what it asks for that can be had, and what it asks for that cannot. */
  function read(hash, names) {
    const asked = new URLSearchParams(hash.replace(/^#/, "")), setting = {}, faults = [];
    const take = (key, parse, wanted) => {
      if (!asked.has(key)) return;
      const value = parse(asked.get(key));
      if (value === undefined || Number.isNaN(value)) faults.push(`“${asked.get(key).slice(0, 40)}” is no ${wanted}`);
      else setting[key] = value;
    };
    take("model", (text) => names.find((name) => name === text), "model here");
    take("threshold", (text) => (text === "none" ? Infinity : number(text, 1)), "threshold from 0 to 1");
    take("prevalence", (text) => number(text, 1), "prevalence from 0 to 1");
    return { setting, faults };
  }

  function write({ model, threshold, prevalence }) {
    const kept = threshold === Infinity ? "none" : String(threshold);
    return `#model=${encodeURIComponent(model)}&threshold=${kept}&prevalence=${prevalence}`;
  }

  if (typeof module !== "undefined" && module.exports) {
    module.exports = { reaching, confusion, wilson, predictive, operatingPoint, steps, place, told, crowd, percent,
      number, asShare, read, write };
    return;
  }

  /* Drawing. */

  const LEFT = 46, TOP = 26, WIDTH = 256, HEIGHT = 226;
  const across = (value) => LEFT + value * WIDTH;
  const up = (value) => TOP + (1 - value) * HEIGHT;

  function draw(parent, name, attributes, text) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function axes(svg, below) {
    svg.setAttribute("viewBox", "0 0 320 300");
    draw(svg, "path", { class: "axis", d: `M${across(0)} ${up(0)}H${across(1)}` });
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      draw(svg, "path", { class: "axis", d: `M${across(tick)} ${up(0)}v4` });
      draw(svg, "text", { x: across(tick), y: up(0) + 18, "text-anchor": "middle" }, below.ticks(tick));
    }
    draw(svg, "text", { x: across(0.5), y: up(0) + 38, "text-anchor": "middle" }, below.label);
  }

  function curve({ covid, others, steps: ascending }) {
    const points = [...ascending].reverse().map((threshold) => {
      const { tp, fp } = confusion(covid, others, threshold);
      return `${across(fp / others.length).toFixed(2)} ${up(tp / covid.length).toFixed(2)}`;
    });
    return "M" + points.join("L");
  }

  function drawRoc(svg, models) {
    axes(svg, { ticks: (tick) => `${100 * tick}%`, label: "false alarms among non-COVID images" });
    for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
      draw(svg, "path", { class: "grid", d: `M${across(0)} ${up(tick)}H${across(1)}` });
      draw(svg, "text", { x: across(0) - 6, y: up(tick) + 4, "text-anchor": "end" }, `${100 * tick}%`);
    }
    draw(svg, "text", { x: 2, y: 12 }, "sensitivity");
    draw(svg, "path", { class: "chance", d: `M${across(0)} ${up(0)}L${across(1)} ${up(1)}` });
    const curves = models.map((model) => draw(svg, "path", { class: "curve", d: curve(model) }));
    const point = draw(svg, "circle", { class: "point", r: 6 });
    return (model, { tp, fp }) => {
      curves.forEach((path, k) => path.classList.toggle("chosen", models[k] === model));
      svg.insertBefore(curves[models.indexOf(model)], point);
      point.setAttribute("cx", across(fp / model.others.length));
      point.setAttribute("cy", up(tp / model.covid.length));
    };
  }

  /* A dot for each image, at its score; the height within a row only keeps dots apart. */
  function dots(scores, top, height) {
    return scores.map((score, k) =>
      `M${across(score).toFixed(1)} ${(top + height * ((0.5 + k * 0.6180339887) % 1)).toFixed(1)}h.01`).join("");
  }

  function drawScores(svg, classes) {
    const called = draw(svg, "rect", { class: "called", y: TOP - 6, height: HEIGHT + 6 });
    axes(svg, { ticks: String, label: "score" });
    const rows = [["covid", TOP + 26, 66, 4], ["others", TOP + 128, 88, 3]].map(([key, top, height, size]) => ({
      key, top, height,
      label: draw(svg, "text", { x: 2, y: top - 10 }),
      path: draw(svg, "path", { class: `dots ${key}`, "stroke-width": size }),
    }));
    const line = draw(svg, "path", { class: "threshold" });
    const word = draw(svg, "text", { class: "strong", y: 12 }, "called positive");
    return (model, threshold) => {
      for (const { key, top, height, label, path } of rows) {
        label.textContent = `${classes[key].label}, ${model[key].length} images`;
        path.style.stroke = classes[key].colour;
        if (path.dataset.model !== model.name) path.setAttribute("d", dots(model[key], top, height));
        path.dataset.model = model.name;
      }
      const x = Math.min(across(threshold), 320 - 2);
      called.setAttribute("x", x);
      called.setAttribute("width", 320 - x);
      line.setAttribute("d", rows.map(({ top, height }) => `M${x} ${top - 4}v${height + 8}`).join(""));
      const roomy = x < 215;
      word.setAttribute("x", roomy ? x : 320);
      word.setAttribute("text-anchor", roomy ? "start" : "end");
    };
  }

  /* The page. */

  const many = (value) => value.toLocaleString("en");

  function sentence({ people, found, missed, alarmed }, perCent) {
    const alarms = found + alarmed, ill = found + missed;
    const plural = alarms === 1 ? "" : "s";
    const raised = alarms ? `${many(alarms)} alarm${plural}, ${many(alarmed)} of them false` : "no alarm";
    const lost = ill ? `miss ${many(missed)} of the ${many(ill)} with COVID-19` : "have nobody with COVID-19 to miss";
    return `Of ${many(people)} people like this, ${perCent}% of whom have COVID-19, ` +
      `the test would raise ${raised}, and ${lost}.`;
  }

  function start(section) {
    const data = JSON.parse(section.querySelector(".explorer-data").textContent);
    const classes = { covid: data.classes.covid, others: data.classes.non_covid };
    const models = data.models.map(({ non_covid: others, ...model }) => (
      { ...model, others, steps: steps(model.covid, others) }));
    const one = (selector) => section.querySelector(selector);
    const control = (name) => one(`[data-control="${name}"]`);
    const say = (name, text) => { one(`[data-value="${name}"]`).textContent = text; };
    const describe = (name, caption, alternative) => {
      one(`[data-caption="${name}"]`).textContent = caption;
      one(`[data-picture="${name}"]`).setAttribute("aria-label", alternative);
    };
    const [typed, slider, prevalenceTyped, copy, link, copied] =
      ["threshold", "slider", "prevalence", "copy", "link", "copied"].map(control);
    const note = one(".explorer-note"), words = one(".explorer-words");
    const showRoc = drawRoc(one('[data-picture="roc"]'), models);
    const showScores = drawScores(one('[data-picture="scores"]'), classes);

    /* Either a target or a threshold is set; without a prevalence it is the test's own. */
    const state = { model: models[0], target: data.target, threshold: undefined, prevalence: undefined };
    let settling;

    function now() {
      const { model, target } = state;
      const threshold = target === undefined ? state.threshold : operatingPoint(model.covid, model.others, target);
      const own = model.covid.length / (model.covid.length + model.others.length);
      return { model, threshold, own, prevalence: state.prevalence === undefined ? own : state.prevalence };
    }

    function address() {
      const { model, threshold, prevalence } = now();
      return write({ model: model.name, threshold, prevalence });
    }

    function showControls({ model, threshold, own, prevalence, short, perCent, rates }, writing) {
      const press = (buttons, meant) => section.querySelectorAll(buttons).forEach(
        (button) => button.setAttribute("aria-pressed", meant(button.dataset)));
      section.style.setProperty("--explorer-model", model.colour);
      section.querySelectorAll('[type="radio"]').forEach((radio) => { radio.checked = radio.value === model.name; });
      if (writing !== typed) typed.value = short;
      if (writing !== prevalenceTyped) prevalenceTyped.value = perCent;
      slider.max = model.steps.length - 1;
      slider.value = place(model.steps, threshold);
      slider.setAttribute("aria-valuetext", (short ? `threshold ${short}` : "nothing called positive") +
        `, sensitivity ${percent(rates.sensitivity)}, specificity ${percent(rates.specificity)}`);
      press("[data-target]", (asked) => operatingPoint(model.covid, model.others, Number(asked.target)) === threshold);
      press("[data-prevalence]", (asked) => (asked.prevalence === "own" ? own : Number(asked.prevalence)) === prevalence);
    }

    function showNumbers({ cells, rates, values, prevalence, perCent }) {
      const { tp, fn, fp, tn } = cells;
      Object.entries(cells).forEach(([cell, images]) => say(cell, many(images)));
      for (const [name, right, wrong] of [["sensitivity", tp, fn], ["specificity", tn, fp]]) {
        const [low, high] = wilson(right, right + wrong).map(percent);
        say(name, percent(rates[name]));
        say(`${name}-interval`, `95% interval ${low} to ${high}`);
      }
      for (const [name, call] of [["ppv", "positive"], ["npv", "negative"]]) {
        const defined = !Number.isNaN(values[name]);
        say(name, defined ? percent(values[name]) : "–");
        say(`${name}-reason`, defined ? `share of ${call} calls that are right, at ${perCent}% prevalence`
          : `undefined: nobody is called ${call}`);
      }
      words.textContent = sentence(crowd(rates.sensitivity, rates.specificity, prevalence), perCent);
    }

    function showPictures({ model, threshold, short, cells }) {
      const { tp, fn, fp, tn } = cells, where = short ? `at threshold ${short}` : "where nothing is called positive";
      showRoc(model, cells);
      showScores(model, threshold);
      describe("roc", `ROC curve of ${model.label}` + (models.length > 1 ? "; the other models in grey" : ""),
        `ROC curve of ${model.label}: sensitivity ${percent(tp / (tp + fn))}, ` +
        `false alarms ${percent(fp / (fp + tn))} ${where}.`);
      describe("scores", `A dot is a test image, at the score ${model.label} gives it`,
        `Scores of both classes by ${model.label}: ${tp} of ${tp + fn} COVID-19 images and ${fp} of ${fp + tn} ` +
        `others are called positive ${where}.`);
    }

    /* Shows the state; a field that is being typed in is left as it is. */
    function show(writing) {
      const setting = now(), { model, threshold, prevalence } = setting;
      const cells = confusion(model.covid, model.others, threshold);
      const rates = { sensitivity: cells.tp / model.covid.length, specificity: cells.tn / model.others.length };
      const values = predictive(rates.sensitivity, rates.specificity, prevalence);
      const short = Number((100 * prevalence).toPrecision(4));
      const perCent = short === 100 && prevalence < 1 ? percent(prevalence).slice(0, -1) : String(short);
      const seen = { ...setting, cells, rates, values, perCent, short: told(model.steps, threshold) };
      showControls(seen, writing);
      showNumbers(seen);
      showPictures(seen);
    }

    /* Once the reader pauses: the address, and a word to those who listen. Browsers limit how often it may change. */
    function settle() {
      clearTimeout(settling);
      settling = setTimeout(() => {
        history.replaceState(null, "", address());
        one(".explorer-said").textContent = words.textContent;
      }, 300);
    }

    function set(change, writing) {
      Object.assign(state, change);
      [note, copied].forEach((line) => { line.textContent = ""; });
      [typed, prevalenceTyped].forEach((input) => input.removeAttribute("aria-invalid"));
      link.hidden = true;
      show(writing);
      settle();
    }

    function field(input, parse, change, wanted) {
      const use = (writing) => {
        const value = parse(input.value);
        if (!Number.isNaN(value)) set(change(value), writing);
        return !Number.isNaN(value);
      };
      input.addEventListener("input", () => use(input));
      input.addEventListener("change", () => {
        if (use()) return;
        input.setAttribute("aria-invalid", "true");
        note.textContent = `${wanted} “${input.value.slice(0, 40)}” is none; the last one stands.`;
      });
    }

    function obey() {
      const { setting, faults } = read(location.hash, models.map((model) => model.name));
      clearTimeout(settling);
      if ("model" in setting) state.model = models.find((model) => model.name === setting.model);
      if ("threshold" in setting) Object.assign(state, { threshold: setting.threshold, target: undefined });
      if ("prevalence" in setting) state.prevalence = setting.prevalence;
      note.textContent = faults.length ? `In the address, ${faults.join("; ")}. That part is ignored.` : "";
      show();
    }

    section.querySelectorAll('[type="radio"]').forEach((radio) => radio.addEventListener("change",
      () => set({ model: models.find((model) => model.name === radio.value) })));
    slider.addEventListener("input",
      () => set({ threshold: state.model.steps[Number(slider.value)], target: undefined }));
    section.querySelectorAll("[data-target]").forEach((button) => button.addEventListener("click",
      () => set({ target: Number(button.dataset.target) })));
    section.querySelectorAll("[data-prevalence]").forEach((button) => button.addEventListener("click", () => {
      const asked = button.dataset.prevalence;
      set({ prevalence: asked === "own" ? undefined : Number(asked) });
    }));
    field(typed, (text) => number(text, 1), (threshold) => ({ threshold, target: undefined }),
      "A threshold is a number from 0 to 1.");
    field(prevalenceTyped, (text) => asShare(number(text, 100)), (prevalence) => ({ prevalence }),
      "A prevalence is a number from 0 to 100.");
    copy.addEventListener("click", () => {
      const whole = location.href.split("#")[0] + address();
      const offer = () => {
        link.value = whole;
        link.hidden = false;
        link.select();
        copied.textContent = "Copy the link from this field.";
      };
      if (!navigator.clipboard) return offer();
      return navigator.clipboard.writeText(whole).then(() => { copied.textContent = "Copied."; }, offer);
    });
    addEventListener("hashchange", obey);

    obey();
    one(".explorer-body").hidden = false;
    one(".explorer-fallback").hidden = true;
  }

  const begin = () => document.querySelectorAll(".threshold-explorer").forEach(start);
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", begin); else begin();
})();
