/* Is every text of the source in the catalogue of each language? Texts are read by the compiler of TypeScript. */

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const LOCALES = join(HERE, '../jupyter_sandbox_spawner/locale');
const NAME = 'jupyter_sandbox_spawner';

/** Every call of the catalogue in a file: [key] or [one, many]; a text that is no literal is null. */
function textsOf(path) {
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
  const found = [];
  const visit = node => {
    const name = ts.isCallExpression(node) && node.expression.name?.text;
    if (name === '__' || name === '_n') {
      found.push(node.arguments.slice(0, name === '_n' ? 2 : 1).map(literal));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function literal(node) {
  if (ts.isStringLiteralLike(node)) {
    return node.text;
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const parts = [literal(node.left), literal(node.right)];
    return parts.includes(null) ? null : parts.join('');
  }
  return null;
}

const files = readdirSync(join(HERE, 'src'), { recursive: true })
  .filter(name => /\.tsx?$/.test(name))
  .map(name => join(HERE, 'src', name));
const texts = files.flatMap(textsOf);
const marks = text => [...new Set(text.match(/%\d/g) ?? [])].sort();

test('Texts are literals, so that they can be translated.', () => {
  const spoilt = files.filter(path => textsOf(path).some(parts => parts.includes(null)));
  assert.deepEqual(spoilt, []);
  assert.ok(texts.length > 50);
});

for (const language of readdirSync(LOCALES)) {
  const catalogue = JSON.parse(readFileSync(join(LOCALES, language, 'LC_MESSAGES', `${NAME}.json`), 'utf8'));

  test(`${language}: every text of the source is in the catalogue.`, () => {
    const missing = texts.filter(([key]) => !(key in catalogue)).map(([key]) => key);
    assert.deepEqual([...new Set(missing)], []);
  });

  test(`${language}: every text of a number has each form.`, () => {
    const forms = Number(/nplurals=(\d+)/.exec(catalogue[''].plural_forms)[1]);
    const wrong = texts.filter(([key, many]) => (catalogue[key] ?? []).length !== (many ? forms : 1));
    assert.deepEqual(wrong.map(([key]) => key), []);
  });

  test(`${language}: a translation has the same places for values.`, () => {
    const wrong = texts.filter(([key, many]) => {
      const forms = catalogue[key] ?? [];
      const places = many ? ['', '%1', marks(key).join()] : [marks(key).join()];
      return forms.some(form => !form || !places.includes(marks(form).join()));
    });
    assert.deepEqual(wrong, []);
  });

  test(`${language}: the catalogue names its domain and language as JupyterLab wants them.`, () => {
    assert.equal(catalogue[''].domain, NAME);
    assert.equal(catalogue[''].language, language);
  });
}
