// Keeps a page up to date: it is asked for again, and its content replaced, while nobody works on it.
"use strict";
// What a link leads to is shown open: an entry of the runbook is closed else.
const open = () => {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named?.tagName === "DETAILS") {
    named.open = true;
    named.scrollIntoView();
  }
};
addEventListener("hashchange", open);
open();
(() => {
  const box = document.getElementById("live");
  const main = document.getElementById("content");
  if (!main || !main.hasAttribute("data-live") || !box) return;
  const remembered = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("live", value);
      return localStorage.getItem("live");
    } catch {
      return null;
    }
  };
  box.checked = remembered() !== "off";
  box.parentElement.hidden = false;
  box.addEventListener("change", () => remembered(box.checked ? "on" : "off"));
  const busy = () =>
    document.hidden || !box.checked || main.querySelector("details[open]") ||
    main.contains(document.activeElement) || !getSelection().isCollapsed;
  setInterval(async () => {
    if (busy()) return;
    try {
      const asked = new URL(location.href);
      asked.searchParams.delete("note");  // What was done is said once.
      const answer = await fetch(asked, { headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok || busy()) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("content");
      if (fresh) main.replaceChildren(...fresh.childNodes);
    } catch {
      // The daemon is away: the page stays as it was, and says of when it is.
    }
  }, 5000);
})();
