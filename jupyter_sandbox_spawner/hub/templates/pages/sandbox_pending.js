// What does the page of a start do, where JavaScript runs? It follows the events of the hub, cancels, and
// finds its way back when the hub or the network was away. Nothing here is shown as markup.
(() => {
  "use strict";
  const root = document.getElementById("sandbox-start");
  if (!root) return;
  const find = (name) => root.querySelector(`[data-part=${name}]`);
  const [bar, said, log, lost, cancel, failure, reason, ways, clock, notices] = [
    "bar", "said", "log", "lost", "cancel", "failure", "reason", "ways", "clock", "notices",
  ].map(find);
  const began = performance.now() - 1000 * Number(root.dataset.age || 0);
  const title = document.title;
  let source = null;
  let over = false;
  let lostAt = null;
  let attempts = 0;
  let stage = "";

  const seconds = (number) => `${number < 10 ? number.toFixed(1) : Math.round(number)} s`;

  const draw = (event) => {
    const done = new Map((event.done || []).map((item) => [item.name, item.seconds]));
    if (event.stage !== undefined) stage = event.stage;
    for (const line of root.querySelectorAll("[data-stage]")) {
      const name = line.dataset.stage;
      const state = done.has(name) ? "done" : name === stage ? "now" : "ahead";
      mark(line, state, done.get(name));
    }
  };

  const WORDS = { done: "done", now: "in progress", ahead: "to come", failed: "failed" };
  const mark = (line, state, took) => {
    line.className = `sandbox-stage sandbox-${state}`;
    line.querySelector(".visually-hidden").textContent = `(${WORDS[state]})`;
    line.querySelector(".sandbox-took").textContent = took === undefined ? "" : seconds(took);
    if (state === "now") line.setAttribute("aria-current", "step");
    else line.removeAttribute("aria-current");
  };

  const progress = (percent) => {
    bar.style.width = `${percent}%`;
    bar.parentElement.setAttribute("aria-valuenow", String(percent));
  };

  const note = (event) => {
    const text = String(event.message || "");
    if (!text) return;
    said.textContent = text;
    const at = event.at === undefined ? "" : `${event.at.toFixed(1).padStart(6)} s  `;
    log.append(`${at}${text}\n`);
    if (event.notice) {
      const line = document.createElement("li");
      line.textContent = text;
      notices.append(line);
    }
  };

  const fail = (text) => {
    over = true;
    source.close();
    for (const line of root.querySelectorAll(".sandbox-now")) mark(line, "failed");
    document.title = `Not started - ${title}`;
    bar.classList.add("bg-danger");
    reason.textContent = text.replace(/^Spawn failed: /, "");
    failure.hidden = ways.hidden = false;
    cancel.hidden = clock.hidden = said.hidden = true;
    find("heading").textContent = "Your server did not start";
    find("details").open = true;
    failure.focus();
  };

  const heard = (message) => {
    const event = JSON.parse(message.data);
    if (event.progress !== undefined && !event.failed) progress(event.progress);
    if (event.stage !== undefined) draw(event);
    note(event);
    if (event.ready) {
      over = true;
      source.close();
      // The hub then sends on to the server.
      location.reload();
    }
    if (event.failed) fail(String(event.message || ""));
  };

  const isBack = () => {
    lostAt = null;
    attempts = 0;
    lost.hidden = true;
    // Events come again from the first on.
    log.textContent = notices.textContent = "";
  };

  const isLost = () => {
    if (over) return;
    lostAt = lostAt || new Date();
    const at = lostAt.toLocaleTimeString();
    lost.textContent = `No connection to the hub since ${at}. The start goes on; this page tries again by itself.`;
    lost.hidden = false;
  };

  const again = () => {
    source.close();
    attempts += 1;
    setTimeout(look, Math.min(1000 * 2 ** (attempts - 1), 15000));
  };

  // The hub answers no events: is it away, or is there no start any more, since it was restarted?
  const look = async () => {
    if (over) return;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status < 500) {
        const page = answer.type === "opaqueredirect" ? "" : await answer.text();
        if (page.includes('id="sandbox-start"')) follow();
        else location.reload();
        return;
      }
      // A failed start has its own page with such a status, written by the hub.
      if ((await answer.text()).includes('id="sandbox-stopped"')) location.reload();
      else again();
    } catch {
      again();
    }
  };

  const follow = () => {
    source = new EventSource(root.dataset.progress);
    source.onopen = isBack;
    source.onmessage = heard;
    source.onerror = () => {
      isLost();
      // Otherwise the browser itself connects again.
      if (source.readyState === EventSource.CLOSED) again();
    };
  };

  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    cancel.textContent = "Cancelling…";
    try {
      const answer = await fetch(root.dataset.cancel, {
        method: "DELETE",
        credentials: "same-origin",
        headers: { "X-XSRFToken": window.jhdata ? window.jhdata.xsrf_token : "" },
      });
      if (!answer.ok) throw new Error(`The hub says ${answer.status}.`);
      over = true;
      location.reload();
    } catch (error) {
      cancel.disabled = false;
      cancel.textContent = "Cancel the start";
      lost.textContent = `It was not cancelled. ${error.message} Try again.`;
      lost.hidden = false;
    }
  });

  const tick = () => {
    if (!over) clock.textContent = `${Math.floor((performance.now() - began) / 1000)} s so far`;
  };
  cancel.hidden = false;
  setInterval(tick, 1000);
  tick();
  follow();
  // What the hub's own page says as well when it is there.
  window._jupyterhub_page_loaded = true;
})();
