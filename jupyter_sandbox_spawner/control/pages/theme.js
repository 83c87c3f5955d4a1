// Light or dark? As the system says, until somebody chooses; the choice is kept in this browser.

import { announce } from './dom.js';

const KEY = 'sandbox-theme';
const NAMES = { system: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };

function chosen() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept in NAMES ? kept : 'system';
  } catch {
    return 'system';
  }
}

function apply(button, name) {
  if (name === 'system') {
    delete document.documentElement.dataset.theme;
  } else {
    document.documentElement.dataset.theme = name;
  }
  button.textContent = NAMES[name];
}

/** The button goes round the three; another tab's choice counts here at once. */
export function useTheme(button) {
  apply(button, chosen());
  button.addEventListener('click', () => {
    const names = Object.keys(NAMES);
    const next = names[(names.indexOf(chosen()) + 1) % names.length];
    try {
      localStorage.setItem(KEY, next);
    } catch {
      announce('This browser keeps nothing for this page: the theme lasts until you leave it.');
    }
    apply(button, next);
    announce(NAMES[next]);
  });
  addEventListener('storage', () => apply(button, chosen()));
}
