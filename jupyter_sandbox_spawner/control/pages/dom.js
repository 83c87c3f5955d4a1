// How is an element made? Text only ever as text: nothing that a user wrote becomes markup.

const SVG = 'http://www.w3.org/2000/svg';
const LONGEST_TITLE = 500;
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** An element: `props` are attributes, functions by `onNAME`, and `class`; children are nodes or text. */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** An element of a drawing. */
export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) {
      continue;
    }
    if (name.startsWith('on')) {
      element.addEventListener(name.slice(2), value);
    } else {
      element.setAttribute(name, value === true ? '' : String(value));
    }
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Control characters as their pictures: a terminal's codes do nothing here, and are seen. */
export function visible(text) {
  return String(text ?? '').replace(CONTROLS, (sign) => {
    const code = sign.charCodeAt(0);
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd';
  });
}

/** At most so many characters; whole ones. */
export function cut(text, most = 60) {
  const part = String(text ?? '').slice(0, most * 2 + 2);
  const signs = [...visible(part)];
  return signs.length > most ? `${signs.slice(0, most - 1).join('')}…` : signs.join('');
}

/** What a user may have written: its direction does not turn what is around it; cut, more in the title. */
export function said(text, most = 60) {
  const short = cut(text, most);
  const whole = String(text ?? '');
  const title = whole.length > most ? cut(whole, LONGEST_TITLE) : undefined;
  return h('bdi', { title, class: 'said' }, short);
}

/** Text that a button copies. */
export function copyable(text, label) {
  const shown = h('code', { class: 'command', tabindex: '0' }, text);
  const button = h('button', { type: 'button', class: 'quiet', 'aria-label': `Copy ${label}` }, 'Copy');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(shown.textContent);
      button.textContent = 'Copied';
    } catch {
      // Browsers give the clipboard to secure pages only: select it, so that Ctrl+C is enough.
      getSelection().selectAllChildren(shown);
      button.textContent = 'Selected: press Ctrl+C';
    }
    announce(button.textContent);
  });
  return h('div', { class: 'copyable' }, shown, button);
}

/** Have a screen reader say it. What is outside an open dialog is inert, so each has a place of its own. */
export function announce(text) {
  const inside = [...document.querySelectorAll('dialog[open] .heard')].at(-1);
  (inside ?? document.getElementById('said')).textContent = text;
}

/** Replace what is inside. */
export function put(element, ...children) {
  element.replaceChildren(...children.flat(2).filter((child) => child !== null && child !== undefined));
}
