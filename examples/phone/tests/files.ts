/** What make_model.py made, for tests. */

import { readFile } from 'node:fs/promises';

import * as ort from 'onnxruntime-web';

import { loadAssets, startOf, type Assets } from '../src/assets.ts';
import { Learner, openGraphs } from '../src/learner.ts';
import { parse } from '../src/safetensors.ts';

ort.env.wasm.numThreads = 1;

/** Reads the files of one network, "page" or "large". */
export function assetsOf(network: string): Promise<Assets> {
  return loadAssets((name) => readFile(new URL(`../build/${network}/${name}`, import.meta.url)));
}

/** A learner with a network as it was shipped. */
export async function learnerOf({ about, train, infer, model, state }: Assets): Promise<Learner> {
  const graphs = await openGraphs(ort, train, infer);
  return new Learner(graphs, startOf(parse(model), state), about.seed);
}
