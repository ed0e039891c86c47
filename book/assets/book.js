// Copy buttons under figures and tables, and links that open the folded code they lead to.
(() => {
  "use strict";

  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.style.position = "fixed";
      area.style.opacity = "0";
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };

  const text = (button) =>
    button.dataset.copy === "permalink"
      ? new URL(button.dataset.text, window.location.href).href
      : button.dataset.text;

  const press = async (button) => {
    const said = button.closest(".artefact-tools").querySelector("[role=status]");
    const what = button.dataset.copy === "permalink" ? "Link" : "BibTeX";
    said.textContent = (await copied(text(button))) ? `${what} copied` : "Copying is not allowed here: see below";
    window.setTimeout(() => { said.textContent = ""; }, 4000);
  };

  const open = () => {
    if (!window.location.hash.startsWith("#code-")) return;
    const anchor = document.getElementById(window.location.hash.slice(1));
    if (!anchor) return;
    let next = anchor.closest("p") || anchor;
    while (next && !next.matches(".cell")) next = next.nextElementSibling;
    const folded = next && next.querySelector("details");
    if (folded) folded.open = true;
    anchor.scrollIntoView();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest(".artefact-tools button[data-copy]");
    if (button) press(button);
    if (event.target.closest("a.code")) window.setTimeout(open);
  });
  window.addEventListener("hashchange", open);
  document.addEventListener("DOMContentLoaded", () => {
    document.documentElement.classList.add("scripted");
    open();
  });
})();
