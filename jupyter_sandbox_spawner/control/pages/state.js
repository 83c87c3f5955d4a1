// What is looked at? The address says it: view, filters, order, page; so it can be shared and gone back to.

let heard = () => {};

/** The address as an object of texts. */
export function state() {
  return Object.fromEntries(new URLSearchParams(location.search));
}

/** The address after a change; what is empty or null falls away. */
export function address(change, base = state()) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...base, ...change })) {
    if (value !== null && value !== undefined && value !== '') {
      found.set(name, String(value));
    }
  }
  const text = found.toString();
  return text ? `?${text}` : location.pathname;
}

/** Go there: a new entry of the history, or (`quiet`, while somebody types) in place of this one. */
export function go(change, { quiet = false, fresh = false } = {}) {
  const where = address(change, fresh ? {} : state());
  if (quiet) {
    history.replaceState(null, '', where);
  } else {
    history.pushState(null, '', where);
  }
  heard();
}

/** Call this after each change, also by the back button. */
export function listen(listener) {
  heard = listener;
  addEventListener('popstate', () => heard());
}

/** A link that changes the address without loading the page; with a key held it is an ordinary one. */
export function follow(link, change, options = {}) {
  link.href = address(change, options.fresh ? {} : state());
  link.addEventListener('click', (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) {
      return;
    }
    event.preventDefault();
    go(change, options);
  });
  return link;
}
