/** In Node: files, traces, strokes and samples. */

import { readFile } from 'node:fs/promises';

import { expect, test } from '@playwright/test';

import { modelWith } from '../src/assets.ts';
import { network, parse, signed, write } from '../src/safetensors.ts';
import { choose, gather } from '../src/samples.ts';
import { codes, picture, SIDE } from '../src/strokes.ts';
import { bytesOf, type Tensor } from '../src/tensors.ts';
import { crc32, trace } from '../src/trace.ts';
import { assetsOf } from './files.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A safetensors file with this header and body. */
function file(header: unknown, body: number[] = []): Uint8Array {
  const text = bytes(JSON.stringify(header));
  const length = bytesOf(BigInt64Array.of(BigInt(text.length)));
  return Uint8Array.of(...length, ...text, ...body);
}

test('CRC-32 is the usual one, and goes on', () => {
  expect(crc32(bytes('123456789'))).toBe(0xcbf43926);
  expect(crc32(bytes('6789'), crc32(bytes('12345')))).toBe(0xcbf43926);
});

test('a trace depends on step, names and values, not on the order of the tensors', () => {
  const [a, b] = [1, 2].map((n): Tensor => ({ dtype: 'I8', shape: [1], data: Int8Array.of(n) }));
  if (!a || !b) throw new Error('two tensors');
  const of = (entries: [string, Tensor][], step = 0) => trace(new Map(entries), step);

  expect(of([['node/x/w', a], ['state/y', b]])).toBe(of([['state/y', b], ['node/x/w', a]])); // prettier-ignore
  expect(of([['node/x/w', a]])).not.toBe(of([['node/x/w', b]]));
  expect(of([['node/x/w', a]])).not.toBe(of([['node/x/b', a]]));
  expect(of([['node/x/w', a]])).not.toBe(of([['node/x/w', a]], 1));
});

test('a file that is written is read again, with every type aligned', () => {
  const tensors = new Map<string, Tensor>([
    ['a', { dtype: 'I8', shape: [3], data: Int8Array.of(-128, 0, 127) }],
    ['b', { dtype: 'I32', shape: [1, 2], data: Int32Array.of(-5, 2 ** 30) }],
    ['c', { dtype: 'F64', shape: [], data: Float64Array.of(0.1) }],
  ]);
  const found = parse(write({ metadata: { note: 'é' }, tensors }));

  expect(found.metadata).toEqual({ note: 'é' });
  expect(new Map([...found.tensors].sort())).toEqual(tensors);
});

const BAD: [string, Uint8Array, string][] = [
  ['nothing', new Uint8Array(), 'truncated, or no safetensors'],
  ['text', bytes('This is a letter, and no model.'), 'truncated, or no safetensors'],
  ['a header that is not JSON', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7b), 'not JSON'],
  ['a header that is a number', file(7), 'not JSON'],
  ['half of a tensor', file({ a: { dtype: 'I32', shape: [2], data_offsets: [0, 8] } }, [1]), 'truncated'],
  ['a wrong size', file({ a: { dtype: 'I8', shape: [3], data_offsets: [0, 1] } }, [1]), 'truncated'],
  ['an unknown type', file({ a: { dtype: 'BF16', shape: [0], data_offsets: [0, 0] } }), 'no type'],
  ['a type of JavaScript', file({ a: { dtype: 'toString', shape: [0], data_offsets: [0, 0] } }), 'no type'],
  ['no place', file({ a: null }), 'no type or place'],
]; // prettier-ignore
for (const [name, content, message] of BAD) {
  test(`a file with ${name} is refused`, () => {
    expect(() => parse(content)).toThrow(message);
  });
}

test('a model of something else is told from ours', async () => {
  const { model } = await assetsOf('page');
  const checkpoint = { edgetrain: '{"kind":"checkpoint"}' };

  expect(() => network(parse(file({})))).toThrow('not of edgetrain');
  expect(() => network({ metadata: checkpoint, tensors: new Map() })).toThrow('holds a checkpoint');
  expect(network(parse(model))).not.toBe(network(parse((await assetsOf('large')).model)));
});

for (const name of ['node/hidden1/scale', 'head/hidden2/b'])
  test(`a model with another ${name} is told from ours`, async () => {
    const model = parse((await assetsOf('page')).model);
    const tensor = model.tensors.get(name) as Tensor;
    const data = Float64Array.from(tensor.data as Float64Array, (scale) => 2 * scale);
    const other = new Map(model.tensors).set(name, { dtype: 'F64', shape: tensor.shape, data });

    expect(network({ ...model, tensors: new Map(model.tensors) })).toBe(network(model));
    expect(network({ ...model, tensors: other })).not.toBe(network(model));
    other.delete(name);
    expect(network({ ...model, tensors: other })).not.toBe(network(model));
  });

test('a line of history leaves the rest of the header as it is', () => {
  const entry = (history: string) => `{"a":1.0,"history":${history},"kind":"model","note":"]"}`;
  const sign = (history: string, line: string) => {
    const file = { metadata: { edgetrain: entry(history) }, tensors: new Map() };
    return signed(file, line).metadata['edgetrain'];
  };

  expect(sign('[]', 'one')).toBe(entry('["one"]'));
  expect(sign('["one"]', 'two "2"')).toBe(entry('["one","two \\"2\\""]'));
  expect(sign('["\\u00e9 \\"[x]\\"", "\\\\"]', 'é')).toBe(
    entry('["\\u00e9 \\"[x]\\"", "\\\\","é"]'),
  );
});

test('a history does not make another network', async () => {
  const model = parse((await assetsOf('page')).model);

  expect(network(signed(model, 'taught'))).toBe(network(model));
});

test('only what was learned is new in a model', async () => {
  const { model } = await assetsOf('page');
  const head = { dtype: 'I8', shape: [1], data: Int8Array.of(5) } as const;
  const found = modelWith(parse(model), new Map([['state/head/hidden1/w', head]]));

  expect(found.tensors.get('head/hidden1/w')).toBe(head);
  expect(found.tensors.has('state/head/hidden1/w')).toBe(false);
  expect(found.tensors.size).toBe(parse(model).tensors.size);
});

test('files of Python are equal after a round trip but for the place of their tensors', async () => {
  const content = await readFile(new URL('../build/page/model.safetensors', import.meta.url));
  expect(parse(write(parse(content)))).toEqual(parse(content));
});

test('a stroke fills the frame, wherever it was drawn', () => {
  const one = [{ x: 0.5, y: 0.4 }, { x: 0.5, y: 0.6 }]; // prettier-ignore
  const ink = picture([one], 0);
  const moved = picture([one.map(({ x, y }) => ({ x: 100 + 9 * x, y: 3 + 9 * y }))], 0);
  const columns = Array.from({ length: SIDE }, (_, column) =>
    ink.filter((_, i) => i % SIDE === column).reduce((sum, share) => sum + share, 0),
  );

  expect(moved).toEqual(ink);
  expect(columns.map((sum) => sum > 0)).toEqual([0, 0, 0, 1, 1, 0, 0, 0].map(Boolean));
  expect(columns[3]).toBe(columns[4]);
});

test('a camera that is turned by 90 degrees sees a lying stroke', () => {
  const upright = picture([[{ x: 0, y: 0 }, { x: 0, y: 1 }]], 90); // prettier-ignore
  const lying = picture([[{ x: 0, y: 0 }, { x: 1, y: 0 }]], 0); // prettier-ignore

  expect(upright).toEqual(lying);
});

test('the turn is clockwise', () => {
  const flag = [[{ x: 0, y: 0 }, { x: 0, y: 4 }], [{ x: 0, y: 0 }, { x: 2, y: 0 }]]; // prettier-ignore
  const top = (ink: Float64Array) => ink.slice(0, 4 * SIDE).reduce((a, b) => a + b, 0);
  const right = (ink: Float64Array) => ink.filter((_, i) => i % SIDE >= 4).reduce((a, b) => a + b);

  expect(right(picture(flag, 90))).toBeCloseTo(top(picture(flag, 0)), 0);
});

test('a dot is a picture too', () => {
  expect(picture([[{ x: 3, y: 3 }]], 30).filter((share) => share > 0)).toHaveLength(4);
});

test('codes saturate', () => {
  expect([...codes(Float64Array.of(0, 0.5, 1, 9), 1 / 255, -128)]).toEqual([-128, 0, 127, 127]);
});

test('samples are chosen in turn, the newest own ones first', () => {
  expect(choose(0, 4, 10, 0)).toEqual([0, 1, 2, 3]);
  expect(choose(3, 4, 10, 0)).toEqual([2, 3, 4, 5]);
  expect(choose(0, 4, 10, 1)).toEqual([10, 0, 1, 2]);
  expect(choose(1, 4, 10, 1)).toEqual([10, 3, 4, 5]);
  expect(choose(0, 4, 10, 3)).toEqual([12, 11, 0, 1]);
  expect(choose(1, 4, 10, 3)).toEqual([10, 12, 2, 3]);
  expect(Math.min(...choose(9, 32, 10, 100).slice(0, 16))).toBeGreaterThanOrEqual(46);
});

test('chosen samples come in the order of the choice', () => {
  const samples = { x: Int8Array.of(1, 2, 3, 4, 5, 6), y: Int32Array.of(7, 8, 9) };
  expect(gather(samples, [2, 0, 2])).toEqual({
    x: Int8Array.of(5, 6, 1, 2, 5, 6),
    y: Int32Array.of(9, 7, 9),
  });
});
