// Tables that can be sorted and filtered. Without this script they are simply there.
(() => {
  "use strict";

  const FEW = 6;
  const LONG = 24;
  const NUMBER = /^[+\-\u2212]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?/i;
  const DASH = /^[-\u2013\u2014\u2212]?$/;
  const letters = new Intl.Collator(undefined, { sensitivity: "base" });
  let tables = 0;

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const text = (cell) => cell.textContent.trim().replace(/\s+/g, " ");

  // The number a text begins with: 0.97 of "97%(±5%)", 5000 of "5k", -1.2 of "−1.2 points".
  const number = (shown) => {
    const found = NUMBER.exec(shown);
    if (!found) return NaN;
    const value = Number(found[0].replace(/,/g, "").replace("\u2212", "-"));
    const unit = shown.charAt(found[0].length);
    if (unit === "%") return value / 100;
    return unit === "k" ? value * 1000 : value;
  };

  // Texts by their letters, the numbers in them by size: "row 0.055" before "row 0.2".
  const words = (a, b) => {
    const [one, other] = [a, b].map((shown) => shown.split(/(\d+(?:\.\d+)?)/));
    for (let part = 0; part < Math.min(one.length, other.length); part += 1) {
      const order = part % 2 ? one[part] - other[part] : letters.compare(one[part], other[part]);
      if (order) return order;
    }
    return one.length - other.length;
  };

  // The header cells of a plain grid; nothing for any other table.
  const header = (table) => {
    const rows = table.tHead ? [...table.tHead.rows] : [];
    if (rows.length !== 1 || table.tBodies.length !== 1) return null;
    const cells = [...rows[0].cells];
    const plain = [...rows, ...table.tBodies[0].rows].every(
      (row) => row.cells.length === cells.length && [...row.cells].every((cell) => cell.colSpan === 1 && cell.rowSpan === 1),
    );
    return plain && table.tBodies[0].rows.length > 1 ? cells : null;
  };

  const comparison = (rows, column) => {
    const shown = rows.map((row) => row.texts[column]).filter((cell) => !DASH.test(cell));
    const numeric = shown.every((cell) => !Number.isNaN(number(cell)));
    const order = numeric ? (a, b) => number(a) - number(b) : words;
    return (direction) => (a, b) => {
      const [one, other] = [a.texts[column], b.texts[column]];
      const last = DASH.test(one) - DASH.test(other);
      if (last) return last;
      return (DASH.test(one) ? 0 : direction * order(one, other)) || a.place - b.place;
    };
  };

  const sortable = (table, heads, rows) => {
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const label = text(head);
      if (!label || head.querySelector("a, button, input, select, img, math, svg")) return;
      const compare = comparison(rows, column);
      const button = element("button", { type: "button" }, label, element("span", { className: "order" }));
      button.lastChild.setAttribute("aria-hidden", "true");
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        if (next !== null) head.setAttribute("aria-sort", next || "ascending");
        const order = next === null ? (a, b) => a.place - b.place : compare(next ? -1 : 1);
        body.append(...[...rows].sort(order).map((row) => row.element));
      });
    });
  };

  const choices = (rows, column) => {
    const found = [...new Set(rows.map((row) => row.texts[column]))].sort(words);
    return found.length > 1 && found.length <= FEW && found.length < rows.length / 2 ? found : [];
  };

  const filterable = (table, heads, rows, labels) => {
    const name = `table-filter-${(tables += 1)}`;
    const search = element("input", { type: "search", id: `${name}-text`, autocomplete: "off" });
    const status = element("p", { className: "count" });
    status.setAttribute("role", "status");
    const controls = element("div", { className: "table-controls" });
    controls.setAttribute("role", "group");
    controls.setAttribute("aria-label", `Filters of the table${table.caption ? `: ${text(table.caption)}` : ""}`);
    controls.append(element("div", {}, element("label", { htmlFor: search.id }, "Rows with"), search));
    const selects = [];
    heads.forEach((head, column) => {
      const found = choices(rows, column);
      if (!found.length || !labels[column]) return;
      const select = element("select", { id: `${name}-${column}` }, new Option("all", ""));
      select.append(...found.map((choice) => new Option(DASH.test(choice) ? "none" : choice, choice || "\u2013")));
      controls.append(element("div", {}, element("label", { htmlFor: select.id }, labels[column]), select));
      selects.push([select, column]);
    });
    controls.append(status);

    const apply = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let left = 0;
      rows.forEach((row) => {
        const fits = wanted.every((word) => row.search.includes(word))
          && selects.every(([select, column]) => !select.value || select.value === (row.texts[column] || "\u2013"));
        row.element.hidden = !fits;
        left += fits;
      });
      status.textContent = `${left} of ${rows.length} rows`;
    };
    // Columns keep the width they have with all rows, so that nothing jumps while one types.
    const hold = () => {
      const widths = heads.map((head) => head.getBoundingClientRect().width);
      heads.forEach((head, column) => { head.style.minWidth = `${widths[column]}px`; });
    };
    controls.addEventListener("input", () => { hold(); apply(); });
    window.addEventListener("resize", () => heads.forEach((head) => { head.style.minWidth = ""; }));
    table.before(controls);
    apply();
  };

  const enhance = (table) => {
    const heads = header(table);
    if (!heads || table.previousElementSibling?.matches(".table-controls")) return;
    const labels = heads.map(text);
    const rows = [...table.tBodies[0].rows].map((row, place) => {
      const texts = [...row.cells].map(text);
      return { element: row, place, texts, search: texts.join(" ").toLowerCase() };
    });
    heads.forEach((head, column) => {
      if (rows.every((row) => row.texts[column].length <= LONG)) return;
      rows.forEach((row) => row.element.cells[column].classList.add("prose"));
    });
    sortable(table, heads, rows);
    filterable(table, heads, rows, labels);
  };

  const begin = () => document.querySelectorAll("table.artefact.sortable").forEach(enhance);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
