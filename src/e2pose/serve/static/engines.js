// Where frames are computed: by the server over a WebSocket, or in this browser by a worker. Both engines have
//   models()                    the models on offer
//   open(model)                 prepares a model
//   compute(frame, settings)    { persons, latency }, persons in pixels of the source, times in milliseconds
//   close()                     ends the session
// A frame is { image, width, height, time } with the size of the source, and `file` for a still image. One frame is in
// flight at a time: the caller waits for the answer. `say` shows a sentence to the user, "" removes it.

import { fitInput, scaleRecord } from "./decode.js";

const MAX_PAUSE_MS = 3000;
const ANSWER_TIMEOUT_MS = 15000;
const START_TIMEOUT_MS = 30000;
const JPEG_QUALITY = 0.9; // about 20 kB; at 0.85, keypoints of persons that are hard to see move by several pixels

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** An error whose message is a sentence for the user. */
export class UserError extends Error {}

/** A frame without an answer, because the connection, the session or the model ended. */
export class Interrupted extends Error {}

export class ServerEngine {
  place = "Computed on this server";
  #token = new URLSearchParams(location.hash.slice(1)).get("token");
  #small = document.createElement("canvas");
  #socket = null; // promise of an open WebSocket
  #model = null;
  #sent = ""; // settings that the server has
  #pending = null;
  #session = 0; // increases when the session ends

  constructor(say) {
    this.say = say;
  }

  async models() {
    return (await this.#request("v1/models")).json();
  }

  async open(model) {
    if (this.#model !== model) this.close(); // the next frame opens a session with the new model
    this.#model = model;
  }

  async compute(frame, settings) {
    return frame.file ? this.#post(frame, settings) : this.#send(frame, settings);
  }

  close() {
    this.#session++;
    this.#socket?.then((socket) => this.#lose(socket), () => {});
    this.#socket = null;
    this.say("");
  }

  async #request(path, options = {}) {
    const headers = this.#token ? { Authorization: `Bearer ${this.#token}` } : {};
    const response = await fetch(path, { ...options, headers }).catch(() => {
      throw new UserError("The connection to the server is lost. Check that it runs.");
    });
    if (response.ok) return response;
    if (response.status === 401) {
      throw new UserError("This server needs a token. Open the address that e2pose serve printed, with #token=... at its end.");
    }
    const problem = await response.json().catch(() => ({ title: `HTTP ${response.status}` }));
    throw new UserError(toSentence(problem));
  }

  /** Sends the file itself, so that the poses equal those of `e2pose predict`. */
  async #post(frame, settings) {
    const started = performance.now();
    const query = new URLSearchParams({ model: settings.model.name, threshold: settings.threshold });
    const response = await this.#request(`v1/poses?${query}`, { method: "POST", body: frame.file });
    const answer = await response.json();
    return toResult(answer, frame, 0, performance.now() - started);
  }

  async #send(frame, settings) {
    const session = this.#session;
    const { width, height } = frame;
    const [inputHeight, inputWidth] = settings.model.input_size_hw;
    const scale = Math.min(1, inputWidth / width, inputHeight / height);
    const started = performance.now();
    drawScaled(this.#small, frame.image, Math.round(scale * width), Math.round(scale * height));
    const jpeg = await new Promise((resolve) => this.#small.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
    const encoded = performance.now();
    if (session !== this.#session) throw new Interrupted();
    this.#socket ??= this.#connect(settings);
    const socket = await this.#socket;
    this.#update(socket, settings);
    const answer = await this.#ask(socket, jpeg);
    return toResult(answer, frame, encoded - started, performance.now() - encoded);
  }

  async #ask(socket, jpeg) {
    const timer = setTimeout(() => this.#lose(socket), ANSWER_TIMEOUT_MS);
    try {
      return await new Promise((resolve, reject) => {
        this.#pending = { resolve, reject };
        socket.send(jpeg);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends settings that changed since the connection was opened. */
  #update(socket, settings) {
    const { threshold, track, smooth } = settings;
    const text = JSON.stringify({ threshold, track: track || smooth, smooth });
    if (text !== this.#sent) socket.send(text);
    this.#sent = text;
  }

  /** Opens a WebSocket; tries again with doubling pauses until it opens or the session ends. */
  async #connect(settings) {
    const session = this.#session;
    for (let wait = 250; session === this.#session; wait = Math.min(2 * wait, MAX_PAUSE_MS)) {
      try {
        const socket = await this.#open(settings);
        this.say("");
        return socket;
      } catch {
        this.say(await this.#explainFailure());
        await pause(wait);
      }
    }
    throw new Interrupted();
  }

  /** Browsers do not tell a page why a WebSocket was refused; an ordinary request does. */
  async #explainFailure() {
    try {
      await this.models();
      return "The server answers, but all its live sessions may be in use. Trying again.";
    } catch (error) {
      return `${error.message} Trying again.`;
    }
  }

  #open(settings) {
    const url = new URL(`v1/live?model=${encodeURIComponent(settings.model.name)}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    url.hash = "";
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url, ["e2pose.v1", ...(this.#token ? [`token.${this.#token}`] : [])]);
      socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
      socket.onclose = () => reject(new Interrupted());
      socket.onopen = () => {
        socket.onclose = () => this.#lose(socket);
        resolve(socket);
      };
    });
  }

  #lose(socket) {
    socket.onclose = socket.onmessage = null;
    socket.close();
    this.#socket = null;
    this.#sent = "";
    this.#pending?.reject(new Interrupted());
  }

  #receive(answer) {
    if (!answer.error) this.#pending.resolve(answer); // one frame is in flight, so it is that one's
    else if (answer.frame === undefined) this.say(toSentence(answer.error));
    else this.#pending.reject(new UserError(toSentence(answer.error)));
  }
}

export class BrowserEngine {
  place = "Computed in this browser";
  #input = document.createElement("canvas");
  #worker = null;
  #abort = () => {}; // rejects the answer of the worker that is waited for
  #model = null;
  #loading = null;
  #manifest = null;

  constructor(say) {
    this.say = say;
  }

  async models() {
    const response = await fetch("manifest.json");
    if (!response.ok) throw new UserError("The file manifest.json is missing: write the folder again with e2pose serve --static.");
    this.#manifest = await response.json();
    return this.#manifest.models;
  }

  async compute(frame, settings) {
    const started = performance.now();
    const fit = fitInput(frame.width, frame.height, settings.model);
    const rgba = this.#letterbox(frame, fit);
    const { threshold, track, smooth } = settings;
    const prepared = performance.now();
    const message = { rgba, fit, threshold, time: frame.time, track: track && !frame.file, smooth: smooth && !frame.file };
    const { persons, compute } = await this.#ask(message, [rgba.buffer]);
    const network = performance.now() - prepared - compute; // between page and worker
    return { persons, latency: { prepare: prepared - started, network, wait: 0, decode: 0, compute } };
  }

  close() {}

  /** Loads a model, or waits until it is loaded. A failure stays until another model is chosen or the page reloaded. */
  open(model) {
    if (this.#model !== model) this.#loading = this.#load(model);
    this.#model = model;
    return this.#loading;
  }

  async #load(model) {
    const threads = self.crossOriginIsolated ? Math.min(4, Math.ceil(0.75 * navigator.hardwareConcurrency)) : 1;
    this.say(`Loading ${model.name}`, 0);
    try {
      await this.#start(model, threads);
    } catch (error) {
      if (threads === 1 || !(error instanceof StartTimeout)) throw error;
      await this.#start(model, 1); // threads do not start in some browsers
    }
    this.say("");
  }

  #start(model, threads) {
    this.#worker?.terminate();
    this.#abort(new Interrupted());
    this.#worker = new Worker(new URL("compute.js", import.meta.url), { type: "module" });
    return this.#ask({ model, runtime: this.#manifest.runtime, threads });
  }

  #letterbox({ image, width, height }, fit) {
    const { inputWidth, inputHeight, left, top, scaleX, scaleY } = fit;
    const [right, bottom] = [left + scaleX * width, top + scaleY * height];
    drawScaled(this.#input, image, inputWidth, inputHeight, [left, top, right - left, bottom - top]);
    return this.#input.getContext("2d").getImageData(0, 0, inputWidth, inputHeight).data;
  }

  #ask(message, transfer = []) {
    return new Promise((resolve, reject) => {
      let timer;
      this.#abort = reject;
      this.#worker.onerror = (event) => reject(new UserError(`The worker failed: ${event.message}. Reload the page.`));
      this.#worker.onmessage = ({ data }) => {
        if (data.progress !== undefined) {
          this.say(data.progress < 1 ? `Loading ${message.model.name}` : `Starting ${message.model.name}`, data.progress);
          if (data.progress === 1) timer ??= setTimeout(() => reject(new StartTimeout()), START_TIMEOUT_MS);
          return;
        }
        clearTimeout(timer);
        if (!data.error) return resolve(data);
        this.#worker.onmessage = null; // other downloads still report their progress
        reject(new UserError(data.error));
      };
      this.#worker.postMessage(message, transfer);
    });
  }
}

class StartTimeout extends UserError {
  constructor() {
    super("The model did not start. Reload the page, or use another browser.");
  }
}

/** Draws an image over a canvas of the given size; the rest gets the colour that the network's normalisation maps to 0. */
function drawScaled(canvas, image, width, height, box = [0, 0, width, height]) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  context.fillStyle = "rgb(124 116 104)";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, ...box);
}

function toResult(answer, frame, prepare, elapsed) {
  const { wait = 0, decode = 0, compute = 0 } = answer.latency_ms;
  const scale = frame.width / answer.width;
  return {
    persons: scale === 1 ? answer.persons : answer.persons.map((person) => scaleRecord(person, scale)),
    latency: { prepare, network: Math.max(0, elapsed - wait - decode - compute), wait, decode, compute },
  };
}

function toSentence({ title, detail, hint }) {
  const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
  return [detail || title, hint].filter(Boolean).map(sentence).join(" ");
}
