// How is a table drawn again without taking focus or selection away? Row by row, cell by cell, what changed.

import { h, put } from './dom.js';

const ARROW = { ascending: ' ▲', descending: ' ▼', none: '' };

/**
 * `columns`: {name, label, sort, text(item), show(item), wide}. `text` is what the cell says: it is drawn
 * again when that changes, by `show` where there is one. `key(item)` names a row. `sorted(sort, order)` hears
 * a click at a header.
 */
export class Table {
  constructor({ caption, columns, key, sorted, empty }) {
    this._columns = columns;
    this._key = key;
    this._rows = new Map();
    this._sorted = sorted;
    this._heads = columns.map((column) => this._head(column));
    this._body = h('tbody', { role: 'rowgroup' });
    this._empty = h('p', { class: 'empty', hidden: true }, empty ?? 'Nothing here.');
    this._table = h(
      'table',
      { role: 'table' },
      h('caption', { class: 'unseen' }, caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...this._heads)),
      this._body,
    );
    this.element = h('div', { class: 'sheet' }, this._table, this._empty);
  }

  _head(column) {
    const head = h('th', { role: 'columnheader', scope: 'col', class: column.number ? 'number' : undefined });
    if (!column.sort) {
      head.append(column.label || h('span', { class: 'unseen' }, 'Actions'));
      return head;
    }
    const arrow = h('span', { 'aria-hidden': 'true', class: 'arrow' });
    head.append(h('button', { type: 'button', onclick: () => this._turn(column) }, column.label, arrow));
    return head;
  }

  _turn(column) {
    const again = this._sort === column.sort;
    const order = again ? (this._order === 'asc' ? 'desc' : 'asc') : (column.first ?? 'asc');
    this.order(column.sort, order);
    this._sorted(column.sort, order);
  }

  /** Show by which column it is ordered. */
  order(sort, order) {
    this._sort = sort;
    this._order = order;
    this._columns.forEach((column, place) => {
      if (!column.sort) {
        return;
      }
      const way = column.sort === sort ? (order === 'asc' ? 'ascending' : 'descending') : 'none';
      this._heads[place].setAttribute('aria-sort', way);
      this._heads[place].querySelector('.arrow').textContent = ARROW[way];
    });
  }

  /** Say in other words what is not there. */
  emptyText(text) {
    this._empty.textContent = text;
  }

  /** Show these items in this order. */
  update(items) {
    const focused = document.activeElement;
    const wanted = new Set(items.map(this._key));
    for (const [key, row] of this._rows) {
      if (!wanted.has(key)) {
        this._leave(row, focused);
        this._rows.delete(key);
      }
    }
    let next = this._body.firstChild;
    for (const item of items) {
      const row = this._row(item);
      if (row.element === next) {
        next = next.nextSibling;
      } else {
        this._body.insertBefore(row.element, next);
      }
    }
    if (focused !== document.activeElement && this._body.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    this._empty.hidden = items.length > 0;
    this._table.hidden = items.length === 0;
  }

  _leave(row, focused) {
    // Whoever stood in it stays in the table, else the keyboard would begin at the page's top again.
    const beside = row.element.nextElementSibling ?? row.element.previousElementSibling;
    const inside = row.element.contains(focused);
    row.element.remove();
    if (inside) {
      beside?.querySelector('a, button')?.focus({ preventScroll: true });
    }
  }

  _row(item) {
    const key = this._key(item);
    let row = this._rows.get(key);
    if (row === undefined) {
      row = { element: h('tr', { role: 'row' }), cells: [], texts: [], item };
      row.cells = this._columns.map((column) => this._cell(column));
      row.element.append(...row.cells);
      this._rows.set(key, row);
    }
    Object.assign(row.item, item);
    this._columns.forEach((column, place) => {
      const text = column.text(row.item);
      if (row.texts[place] !== text) {
        row.texts[place] = text;
        put(row.cells[place], column.show ? column.show(row.item) : text);
      }
    });
    return row;
  }

  _cell(column) {
    const classes = [column.number && 'number', column.wide && 'wide'].filter(Boolean).join(' ');
    return h(column.head ? 'th' : 'td', {
      role: column.head ? 'rowheader' : 'cell',
      scope: column.head ? 'row' : undefined,
      class: classes || undefined,
      'data-label': column.label || undefined,
    });
  }
}

/** The page's number and the way to others; `turned(page)` hears a click. */
export class Pager {
  constructor(label, turned) {
    this._text = h('span', {});
    this._back = h('button', { type: 'button', onclick: () => turned(this._page - 1) }, 'Previous');
    this._on = h('button', { type: 'button', onclick: () => turned(this._page + 1) }, 'Next');
    this.element = h('nav', { class: 'pager', 'aria-label': label }, this._text, this._back, this._on);
  }

  /** Show where one is. */
  update({ page, pages, total, size }) {
    this._page = page;
    const first = total === 0 ? 0 : (page - 1) * size + 1;
    const last = Math.min(page * size, total);
    const count = total.toLocaleString();
    this._text.textContent = `${first.toLocaleString()}–${last.toLocaleString()} of ${count}`;
    this._back.disabled = page <= 1;
    this._on.disabled = page >= pages;
    this.element.hidden = total === 0;
  }
}
