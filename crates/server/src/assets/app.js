// Keeps an open page up to date, makes times relative, and copies commands. Without it every page still works: it is only older.
"use strict";

(() => {
  const main = document.getElementById("main");
  const live = document.getElementById("live");

  // --- times ---------------------------------------------------------------------------------------------------------------------------------

  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

  function showTimes(root) {
    for (const time of root.querySelectorAll("time")) {
      const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
      if (Math.abs(seconds) > 7 * 86400) continue;
      const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) || ["second", 1];
      time.textContent = relative.format(Math.trunc(seconds / size), unit);
    }
  }

  // --- commands ------------------------------------------------------------------------------------------------------------------------------

  function offerCopies(root) {
    if (!navigator.clipboard) return;
    for (const command of root.querySelectorAll(".command")) {
      if (command.querySelector("button")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(command.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      command.append(button);
    }
  }

  // --- news ----------------------------------------------------------------------------------------------------------------------------------

  // The parts as they came, so that one is replaced only when the server says something else than before.
  const came = new Map();
  for (const part of main.querySelectorAll("[data-live]")) came.set(part.id, part.outerHTML);

  // Whether somebody is in the middle of something here that a replacement would take away.
  function isInUse(part) {
    if (part.querySelector("details.act[open]")) return true;
    const active = document.activeElement;
    return part.contains(active) && active.matches("input, textarea, select");
  }

  function replace(part, fresh) {
    const open = new Set([...part.querySelectorAll("details[open][id]")].map((details) => details.id));
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const place = active && [...part.querySelectorAll("a, button, summary")].indexOf(active);
    part.replaceWith(fresh);
    for (const details of fresh.querySelectorAll("details[id]")) if (open.has(details.id)) details.open = true;
    if (active) {
      const href = active.getAttribute("href");
      const again = (active.id && document.getElementById(active.id))
        || (href && fresh.querySelector(`a[href="${CSS.escape(href)}"]`))
        || fresh.querySelectorAll("a, button, summary")[place];
      if (again) again.focus({ preventScroll: true });
    }
    showTimes(fresh);
    offerCopies(fresh);
  }

  async function refresh() {
    const url = new URL(location.href);
    url.searchParams.delete("done");
    url.searchParams.set("fragment", "1");
    const response = await fetch(url, { headers: { accept: "text/html" } });
    if (response.redirected || response.status === 401) return location.reload();
    if (!response.ok) throw new Error(response.status);
    const news = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const fresh of news.querySelectorAll("[data-live]")) {
      const part = document.getElementById(fresh.id);
      const text = fresh.outerHTML;
      if (!part || came.get(fresh.id) === text) continue;
      if (isInUse(part)) { waits = true; continue; }
      came.set(fresh.id, text);
      replace(part, document.adoptNode(fresh));
    }
  }

  // Whether news waits until somebody is done with a form.
  let waits = false;
  const released = () => { if (waits) { waits = false; refreshSoon(); } };
  main.addEventListener("toggle", released, true);
  main.addEventListener("focusout", released);

  let timer = null;
  let again = false;

  // At most once a second, and never two at a time.
  function refreshSoon() {
    if (timer !== null) { again = true; return; }
    again = false;
    timer = -1;
    refresh().then(() => say("Live"), () => say("Not up to date: the server does not answer")).finally(() => {
      timer = setTimeout(() => { timer = null; if (again) refreshSoon(); }, 1000);
    });
  }

  function say(text) {
    if (live.textContent !== text) live.textContent = text;
  }

  function listen(path) {
    const events = new EventSource(path);
    events.addEventListener("change", refreshSoon);
    events.addEventListener("open", refreshSoon);
    events.addEventListener("error", () => {
      say("Not up to date: trying to reach the server");
      // A stream that was refused does not come back by itself.
      if (events.readyState === EventSource.CLOSED) setTimeout(() => listen(path), 5000);
    });
  }

  showTimes(document);
  offerCopies(document);
  setInterval(() => showTimes(document), 10000);
  if (main.dataset.events) listen(main.dataset.events);
})();
