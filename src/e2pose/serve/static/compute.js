// The worker of the page that computes in the browser: loads a model into ONNX Runtime Web and turns pixels into persons.

import { decode, toPlanes, toRecord } from "./decode.js";
import { Smoother, Tracker } from "./track.js";

let ort, session, spec, tracker, smoother;

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, ...(await (data.model ? load(data) : run(data))) });
  } catch (error) {
    self.postMessage({ id: data.id, error: error.message });
  }
};

/** Loads runtime and model, and runs the model once, so that the first frame is as fast as the others. */
async function load({ runtime, model, threads }) {
  received = {};
  const [binary, file] = await Promise.all([runtime.binary, model.file, runtime.module].map(fetchVerified));
  ort = await import(addressOf(runtime.module));
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmBinary = binary;
  self.postMessage({ progress: 1 });
  session = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
  spec = model;
  [tracker, smoother] = [new Tracker(), new Smoother()];
  const [height, width] = spec.input_size_hw;
  await infer(new Uint8ClampedArray(4 * height * width), width, height);
  return { ready: true };
}

async function run({ rgba, fit, threshold, track, smooth, time }) {
  const started = performance.now();
  const outputs = await infer(rgba, fit.inputWidth, fit.inputHeight);
  let persons = decode(outputs, fit, spec, threshold);
  if (track || smooth) persons = tracker.update(persons, time, spec.sigmas);
  if (smooth) persons = smoother.update(persons, time, spec.sigmas);
  return { persons: persons.map((person) => toRecord(person, spec)), compute: performance.now() - started };
}

async function infer(rgba, width, height) {
  const pixels = new ort.Tensor("uint8", toPlanes(rgba), [1, 3, height, width]);
  const { scores, keypoint_scores, keypoints } = await session.run({ pixels });
  return { scores: scores.data, keypoint_scores: keypoint_scores.data, keypoints: keypoints.data };
}

/** Returns an address that changes with the content, so that caches never mix versions. */
function addressOf({ path, sha256 }) {
  return new URL(`../${path}?sha256=${sha256}`, self.location).href;
}

let received = {}; // path: [bytes received, size in bytes]

/** Downloads a file, reports the progress of all downloads and checks the SHA-256 of the content. */
async function fetchVerified({ path, size_bytes, sha256 }) {
  const url = addressOf({ path, sha256 });
  const response = await fetch(url);
  if (!response.ok) throw new Error(`The file ${path} cannot be loaded: HTTP ${response.status}.`);
  const content = new Uint8Array(size_bytes);
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (length + value.length <= size_bytes) content.set(value, length);
    length += value.length;
    received[path] = [length, size_bytes];
    const sums = Object.values(received).reduce((sum, pair) => [sum[0] + pair[0], sum[1] + pair[1]], [0, 0]);
    self.postMessage({ progress: sums[0] / sums[1] });
  }
  const hash = self.crypto.subtle && (await self.crypto.subtle.digest("SHA-256", content)); // absent on plain http
  const hex = hash && [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (length !== size_bytes || (hex && hex !== sha256)) {
    for (const name of (await self.caches?.keys()) ?? []) await (await caches.open(name)).delete(url);
    const remedy = "Reload the page, or write the folder again with e2pose serve --static.";
    throw new Error(`The file ${path} is damaged: its content does not match the hash in manifest.json. ${remedy}`);
  }
  return content;
}
