// How is the same done at a terminal? A line that a shell takes as it stands, whatever the names hold.

const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;
// Besides control characters what turns the direction of text: a pasted line must be what it looks like.
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/;

/** One word for a POSIX shell; with control characters by $'...', so that a terminal never obeys them. */
export function quoted(text) {
  const word = String(text);
  if (PLAIN.test(word)) {
    return word;
  }
  if (!HIDDEN.test(word)) {
    return `'${word.replaceAll("'", "'\\''")}'`;
  }
  return `$'${[...word].map(escaped).join('')}'`;
}

function escaped(sign) {
  if (sign === "'" || sign === '\\') {
    return `\\${sign}`;
  }
  if (!HIDDEN.test(sign)) {
    return sign;
  }
  const code = sign.codePointAt(0);
  return code < 0x80
    ? `\\x${code.toString(16).padStart(2, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** A line of the admin command; what is empty of its options falls away. */
export function command(words, options = {}) {
  const parts = ['jupyter-sandbox-admin', ...words.map(quoted)];
  for (const [name, value] of Object.entries(options)) {
    if (value === true) {
      parts.push(`--${name}`);
    } else if (value !== '' && value !== null && value !== undefined && value !== false) {
      parts.push(`--${name}`, quoted(value));
    }
  }
  return parts.join(' ');
}

/** USER or USER/SERVER. */
export function server(item) {
  return item.server ? `${item.user}/${item.server}` : item.user;
}
