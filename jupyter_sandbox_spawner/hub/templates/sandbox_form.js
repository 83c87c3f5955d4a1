// What does the form do besides, where JavaScript runs? It says while one types what the hub would say, and
// shows what a choice changes. The hub judges all the same, and the form is whole without this.
(() => {
  "use strict";
  // What the hub takes for printable (Python's str.isprintable).
  const HIDDEN = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

  const rule = (input) => {
    try {
      return input.dataset.pattern ? new RegExp(`^(?:${input.dataset.pattern})$`, "u") : null;
    } catch {
      return null; // then the hub alone judges
    }
  };

  const isRight = (input, pattern) => {
    const text = input.value;
    if (text === "") return true;
    if ([...text].length > Number(input.dataset.longest) || HIDDEN.test(text)) return false;
    return pattern === null || pattern.test(text);
  };

  const watchText = (input) => {
    const choice = input.closest(".sandbox-choice");
    const list = input.closest(".sandbox-option").querySelector("select");
    const hint = document.getElementById(input.getAttribute("aria-describedby"));
    const pattern = rule(input);
    const look = () => {
      const counts = choice.querySelector("[name=profile]").checked && (!list || list.value === ".own");
      const right = isRight(input, pattern);
      hint.classList.toggle("sandbox-wrong", !right);
      hint.classList.toggle("sandbox-right", right && input.value !== "" && pattern !== null);
      if (right) input.removeAttribute("aria-invalid");
      else input.setAttribute("aria-invalid", "true");
      // What is not sent may stand there as it is.
      input.setCustomValidity(right || !counts ? "" : hint.textContent.trim());
    };
    input.addEventListener("input", look);
    input.form.addEventListener("change", look);
    look();
  };

  const priceWords = (price, currency) => {
    const digits = price >= 0.1 || price < 0.0001 ? price.toFixed(2) : String(Number(price.toPrecision(2)));
    return `${digits} ${currency} an hour`;
  };

  const watchChoices = (choice) => {
    const lists = [...choice.querySelectorAll("select")];
    const shown = new Map();
    for (const limit of choice.querySelectorAll("[data-limit]")) shown.set(limit.dataset.limit, limit);
    const price = choice.querySelector(".sandbox-price");
    const adds = () => lists.reduce((sum, list) => sum + Number(list.selectedOptions[0]?.dataset.adds || 0), 0);
    const without = price ? Number(price.dataset.price) - adds() : 0;
    const look = () => {
      for (const list of lists) {
        const changes = JSON.parse(list.selectedOptions[0]?.dataset.limits || "{}");
        for (const [name, text] of Object.entries(changes)) {
          const limit = shown.get(name);
          if (!limit) continue;
          limit.hidden = text === "";
          limit.querySelector(".sandbox-amount").textContent = text;
        }
      }
      if (price) price.textContent = priceWords(without + adds(), price.dataset.currency);
    };
    for (const list of lists) list.addEventListener("change", look);
  };

  const tellHere = (place) => {
    const instant = new Date(place.dataset.eta);
    if (Number.isNaN(instant.getTime()) || instant.getTimezoneOffset() === 0) return;
    const clock = instant.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    place.textContent = ` (${clock} here)`;
  };

  const begin = () => {
    document.querySelectorAll(".sandbox-own[data-longest]").forEach(watchText);
    document.querySelectorAll(".sandbox-choice").forEach(watchChoices);
    document.querySelectorAll("[data-eta]").forEach(tellHere);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
  else begin();
})();
