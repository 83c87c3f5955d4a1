/* A catalogue without a language: what TranslationBundle does where it has no translation. */

const fill = (text, values) => text.replace(/%(\d+)/g, (_, number) => values[number - 1]);

export const trans = {
  __: (text, ...values) => fill(text, values),
  _n: (one, many, count, ...values) => fill(count === 1 ? one : many, [count, ...values])
};
