// How does a sum over days look? Stacked bars, one colour a name; the same numbers in a table below.

import { cut, h, s, said } from './dom.js';

const WIDTH = 960;
const HEIGHT = 230;
const LEFT = 52;
const BOTTOM = 26;
const TOP = 10;
const COLOURS = 8;

/** Largest names first, the rest together: [{name, values}], `days` alike for all. */
export function stacked(series, measure, shown = COLOURS - 1) {
  const days = [...new Set(series.flatMap((one) => one.days.map((day) => day.day)))].sort();
  const rows = series.map((one) => {
    const byDay = new Map(one.days.map((day) => [day.day, Number(day[measure] ?? 0)]));
    const values = days.map((day) => byDay.get(day) ?? 0);
    return { name: one.name, values, sum: values.reduce((all, value) => all + value, 0) };
  });
  const named = rows
    .filter((row) => row.name !== null && row.sum > 0)
    .sort((one, other) => other.sum - one.sum);
  const rest = [...named.slice(shown), ...rows.filter((row) => row.name === null)];
  const found = named.slice(0, shown);
  if (rest.some((row) => row.sum > 0)) {
    const values = days.map((_, place) => rest.reduce((all, row) => all + row.values[place], 0));
    found.push({ name: null, values, sum: values.reduce((all, value) => all + value, 0) });
  }
  return { days, rows: found };
}

/** The drawing with its legend; `title` is read in its place. */
export function plot({ days, rows }, title, format) {
  if (days.length === 0 || rows.length === 0) {
    return h('p', { class: 'empty' }, 'Nothing was used in this time.');
  }
  const sums = days.map((_, place) => rows.reduce((all, row) => all + row.values[place], 0));
  const top = nice(Math.max(...sums));
  const drawing = s(
    'svg',
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', class: 'plot' },
    s('title', {}, title),
    s(
      'desc',
      {},
      `From ${days[0]} to ${days.at(-1)}; the most on one day: ${format(Math.max(...sums))}. `,
      'The numbers are in the table below.',
    ),
    ...scale(top, format),
    ...bars(days, rows, top, format),
    ...labels(days),
  );
  return h(
    'figure',
    {},
    h('div', { class: 'plot-box', tabindex: '0', role: 'group', 'aria-label': title }, drawing),
    legend(rows, format),
  );
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  const step = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => value <= factor * power) ?? 10;
  return step * power;
}

function scale(top, format) {
  return [0, 0.5, 1].flatMap((share) => {
    const y = HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
    return [
      s('line', { x1: LEFT, x2: WIDTH, y1: y, y2: y, class: 'grid' }),
      s('text', { x: LEFT - 6, y: y + 4, 'text-anchor': 'end', class: 'tick' }, format(top * share)),
    ];
  });
}

function bars(days, rows, top, format) {
  const step = (WIDTH - LEFT) / days.length;
  const gap = Math.min(step * 0.2, 6);
  const height = HEIGHT - BOTTOM - TOP;
  return days.map((day, place) => {
    let y = HEIGHT - BOTTOM;
    const parts = rows.map((row, colour) => {
      const tall = (row.values[place] / top) * height;
      y -= tall;
      return s(
        'rect',
        {
          x: LEFT + place * step + gap / 2,
          y,
          width: Math.max(step - gap, 0.5),
          height: tall,
          class: tone(row, colour),
        },
        s('title', {}, `${day}, ${nameOf(row)}: ${format(row.values[place])}`),
      );
    });
    return s('g', {}, ...parts);
  });
}

function labels(days) {
  const step = (WIDTH - LEFT) / days.length;
  const every = Math.ceil(days.length / 8);
  return days.flatMap((day, place) =>
    place % every === 0
      ? [
          s(
            'text',
            { x: LEFT + (place + 0.5) * step, y: HEIGHT - 8, 'text-anchor': 'middle', class: 'tick' },
            day.slice(5),
          ),
        ]
      : [],
  );
}

function tone(row, colour) {
  return row.name === null ? 'c-rest' : `c${colour % COLOURS}`;
}

function nameOf(row) {
  return row.name === null ? 'all others' : row.name === '' ? 'none' : cut(row.name, 40);
}

function legend(rows, format) {
  const items = rows.map((row, colour) => {
    const box = s(
      'svg',
      { width: 12, height: 12, 'aria-hidden': 'true' },
      s('rect', { width: 12, height: 12, class: tone(row, colour) }),
    );
    return h('li', {}, box, ' ', said(nameOf(row), 40), h('span', { class: 'faint' }, ` ${format(row.sum)}`));
  });
  return h('figcaption', {}, h('ul', { class: 'legend' }, ...items));
}

/** The same numbers to read, copy and hear. */
export function twin({ days, rows }, caption, format) {
  const head = h(
    'tr',
    {},
    h('th', { scope: 'col' }, 'Day'),
    ...rows.map((row) => h('th', { scope: 'col' }, said(nameOf(row), 30))),
  );
  const lines = days.map((day, place) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, day),
      ...rows.map((row) => h('td', { class: 'number' }, format(row.values[place]))),
    ),
  );
  const table = h(
    'table',
    { class: 'small' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', {}, head),
    h('tbody', {}, ...lines),
  );
  const box = h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption }, table);
  return h('details', {}, h('summary', {}, 'The numbers of the picture'), box);
}
