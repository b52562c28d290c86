// The measured numbers beside the image.

const WINDOW_MS = 2000;
const PARTS = ["prepare", "network", "wait", "decode", "compute"];

const $ = (id) => document.getElementById(id);
const frames = []; // { shown, delay, latency } of the last WINDOW_MS

/** Adds a frame: its delay from capture to display, and the parts of that delay, in milliseconds. */
export function addFrame(delay, latency) {
  frames.push({ shown: performance.now(), delay, latency });
}

export function clearFrames() {
  frames.length = 0;
}

/** Shows the means over the last seconds; of an image, the last numbers stay. */
export function showReadOuts(source) {
  const now = performance.now();
  const isImage = source?.kind === "image";
  while (frames.length > (isImage ? 1 : 0) && (isImage || now - frames[0].shown > WINDOW_MS)) frames.shift();
  const mean = (value) => frames.reduce((sum, frame) => sum + value(frame), 0) / frames.length;
  const write = (id, value) => ($(id).textContent = frames.length && Number.isFinite(value) ? value : "–");
  const seconds = frames.length > 1 ? (frames.at(-1).shown - frames[0].shown) / 1000 : NaN;
  write("persons", source?.persons.length);
  write("rate", Math.round((10 * (frames.length - 1)) / seconds) / 10);
  write("delay", Math.round(mean(({ delay }) => delay)));
  write("dropped", isImage ? NaN : source?.dropped);
  const parts = PARTS.map((name) => ({ name, ms: mean(({ latency }) => latency[name]) })).filter(({ ms }) => ms > 0);
  $("parts").replaceChildren(...parts.map(({ name, ms }) => {
    const part = toElement("i", name);
    part.style.flexGrow = ms;
    return part;
  }));
  $("legend").replaceChildren(...parts.map(({ name, ms }) => toElement("li", name, `${name} ${ms.toFixed(ms < 10 ? 1 : 0)}`)));
}

function toElement(tag, className, textContent = "") {
  return Object.assign(document.createElement(tag), { className, textContent });
}
