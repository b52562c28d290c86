// The live page: the loop with one frame in flight, settings and controls.

import { Anonymiser } from "./anonymise.js";
import { paint } from "./draw.js";
import { BrowserEngine, Interrupted, ServerEngine, UserError } from "./engines.js";
import { addFrame, clearFrames, showReadOuts } from "./readouts.js";
import { offerDownloads, Recording } from "./recording.js";
import { listCameras, openCamera, openFile, openScreen, play, release } from "./sources.js";

const READ_OUT_MS = 250;
const ERROR_PAUSE_MS = 1000;
const CONTROL_MS = 3000; // a service worker that takes longer is not waited for

const $ = (id) => document.getElementById(id);
const [view, video, stage] = [$("view"), $("video"), $("stage")];
const inBrowser = document.querySelector('meta[name="e2pose-compute"]').content === "browser";
const engine = new (inBrowser ? BrowserEngine : ServerEngine)(say);
const held = document.createElement("canvas"); // the frame that is computed, for the overlay in step

let models = [];
let source = null; // see sources.js; also: persons, busy, again, frame numbers and the last line of JSON
let attempt = 0; // number of sources opened; one that still starts when the next is opened is released
let recording = null;
let wakeLock = null;

// Settings and messages

function settings() {
  return {
    model: models[$("model").selectedIndex],
    threshold: Number($("threshold").value),
    track: $("track").checked,
    smooth: $("smooth").checked,
    mirrored: $("mirror").checked,
    blur: $("blur").value,
    inStep: $("step").checked || $("blur").value !== "", // a blur that trails its person would show the person
  };
}

function showThreshold() {
  $("score").textContent = Number($("threshold").value).toFixed(2);
}

function selectModel() {
  const { model } = settings();
  $("model").title = model.description;
  $("threshold").value = model.threshold;
  showThreshold();
  if (source) source.persons = [];
  engine.open(model).catch(report);
}

/** Shows a sentence or an element over the stage, and the progress of a download from 0 to 1; "" hides both. */
function say(message, progress) {
  $("notice").replaceChildren(message);
  $("notice").hidden = message === "";
  $("progress").hidden = progress === undefined;
  $("progress").value = progress ?? 0;
}

function report(error) {
  say(error instanceof UserError ? error.message : `An unexpected error occurred: ${error.message}. Reload the page.`);
}

/** Says why there is no camera on this page, and what to do. */
function explainMissingCamera() {
  const port = location.port || "80";
  const message = $("insecure").content.cloneNode(true);
  message.querySelector(".forward").textContent = `ssh -L ${port}:localhost:${port} ${location.hostname}`;
  message.querySelector(".address").textContent = `http://localhost:${port}`;
  say(message);
}

// Sources

/** Closes the open source and opens another one, which `start` returns. */
async function open(start) {
  close();
  const number = attempt;
  let next;
  try {
    next = await start();
    if (number === attempt) next = await play(video, next);
    if (number !== attempt) return release(next); // another source was opened meanwhile
    source = { persons: [], busy: false, again: false, index: -1, computed: 0, started: performance.now(), ...next };
    showSource();
  } catch (error) {
    if (next) release(next);
    if (number === attempt) report(error);
  }
}

function close() {
  attempt++;
  stopRecording();
  if (source) release(source);
  source = null;
  video.srcObject = null;
  video.removeAttribute("src");
  engine.close();
  wakeLock?.release();
  wakeLock = null;
  showSource();
}

function startCamera() {
  if (!navigator.mediaDevices) return explainMissingCamera();
  return open(() => openCamera($("device").value));
}

/** Lists the cameras, and mirrors front cameras; those of computers do not say where they are. */
async function showCameras(current) {
  const { deviceId, facingMode } = current.stream.getVideoTracks()[0].getSettings();
  $("mirror").checked = facingMode !== "environment";
  $("device").replaceChildren(...(await listCameras()));
  $("device").value = deviceId;
  $("cameras").hidden = current !== source || $("device").length < 2;
}

function startScreen() {
  if (!navigator.mediaDevices?.getDisplayMedia) return say("This browser cannot share the screen.");
  return open(openScreen);
}

function startFile(file) {
  if (file) open(() => openFile(file));
}

/** Shows the controls of the open source, or the welcome. */
function showSource() {
  const hadFocus = $("welcome").contains(document.activeElement) || $("bar").contains(document.activeElement);
  stage.classList.toggle("empty", !source);
  $("bar").hidden = !source;
  if (hadFocus) $(source ? "stop" : "camera").focus();
  clearFrames();
  say("");
  if (!source) return;
  const isImage = source.kind === "image";
  $("mirror").checked = false;
  $("cameras").hidden = true;
  if (source.kind === "camera") showCameras(source);
  $("pause").hidden = isImage;
  press($("pause"), false, "Pause");
  press($("record"), false, isImage ? "Save" : "Record");
  $("record").classList.toggle("dot", !isImage);
  $("stop").textContent = isImage ? "Close" : "Stop";
  $("downloads").replaceChildren();
  [view.width, view.height] = [source.image.width || source.width, source.image.height || source.height];
  if (isImage) {
    if (!settings().blur) draw(source.image);
    compute();
    return;
  }
  source.stream?.getVideoTracks()[0].addEventListener("ended", close);
  keepAwake(source);
  nextFrame(source);
}

async function keepAwake(current) {
  const lock = await navigator.wakeLock?.request("screen").catch(() => null); // refused when the battery is low
  if (current === source) wakeLock = lock;
  else lock?.release();
}

// The loop: every new frame of a video is drawn, and computed if no other frame is in flight. Hidden pages get no frames.

function nextFrame(current) {
  if (video.requestVideoFrameCallback) {
    video.requestVideoFrameCallback((_, { presentedFrames }) => onFrame(current, presentedFrames));
  } else {
    requestAnimationFrame(() => onFrame(current, current.index + 1));
  }
}

function onFrame(current, presented) {
  if (current !== source) return;
  source.first ??= presented;
  source.index = presented - source.first;
  if (source.width !== video.videoWidth || source.height !== video.videoHeight) resize();
  if (!settings().inStep) draw(video);
  if (!source.busy) compute();
  nextFrame(current);
}

/** Follows a camera that was turned, or a window that changed its size. */
function resize() {
  [source.width, source.height] = [video.videoWidth, video.videoHeight];
  [view.width, view.height] = [source.width, source.height];
  source.persons = [];
}

async function compute() {
  const current = source;
  const chosen = settings();
  const { file, width, height } = current;
  current.busy = true;
  current.again = false;
  try {
    await engine.open(chosen.model);
    const captured = performance.now();
    const image = current.image === video && chosen.inStep ? hold() : current.image;
    const time = current.kind === "video" ? video.currentTime : current.index < 0 ? 0 : (captured - current.started) / 1000;
    const line = { file: current.name, frame: Math.max(0, current.index), time_s: Number(time.toFixed(6)) };
    const found = await engine.compute({ image, width, height, file, time }, Anonymiser.engineSettings(chosen));
    if (current !== source || chosen.model !== settings().model || width !== source.width) return;
    current.anonymiser ??= new Anonymiser();
    const { shown, blurred } = current.anonymiser.divide(found.persons, time, chosen);
    current.blurred = blurred;
    show(image, { ...line, persons: shown }, captured, found.latency);
  } catch (error) {
    if (current !== source) return;
    source.persons = [];
    if (!(error instanceof Interrupted)) report(error);
    await new Promise((resolve) => setTimeout(resolve, ERROR_PAUSE_MS));
  } finally {
    current.busy = false;
    if (current === source && current.again) compute();
  }
}

/** Copies the current frame of the video, so that it can be drawn with its own poses. */
function hold() {
  if (held.width !== source.width) held.width = source.width;
  if (held.height !== source.height) held.height = source.height;
  held.getContext("2d").drawImage(video, 0, 0, held.width, held.height);
  return held;
}

/** Shows the poses of a frame. Programs can listen to the event `e2pose:frame`. */
function show(image, line, captured, latency) {
  source.persons = line.persons;
  source.line = line;
  source.computed++;
  source.dropped = source.index + 1 - source.computed;
  if (image !== video || !settings().inStep) draw(image);
  const delay = performance.now() - captured;
  addFrame(delay, latency);
  recording?.add(line);
  document.dispatchEvent(new CustomEvent("e2pose:frame", { detail: { ...line, delay, latency } }));
}

function draw(image) {
  const chosen = settings();
  paint(view, image, source, source.persons, chosen.model, { ...chosen, blurred: source.blurred, ids: chosen.track });
}

/** Applies changed settings to an image or a paused video; others get them with the next frame. */
function refresh() {
  if (!source || (source.kind !== "image" && !video.paused)) return;
  if (source.busy) source.again = true;
  else compute();
}

// Recording

function record() {
  const name = source.name.replace(/\.[^.]*$/, "");
  const offer = (media, lines) => offerDownloads($("downloads"), `${name}-poses`, media, lines);
  if (source.kind === "image") return source.line && view.toBlob((blob) => offer(blob, [source.line]));
  if (recording) return stopRecording();
  try {
    recording = new Recording(view, offer);
    press($("record"), true, "Stop recording");
  } catch (error) {
    report(error);
  }
}

function stopRecording() {
  recording?.stop();
  recording = null;
  press($("record"), false, "Record");
}

function press(button, pressed, label) {
  button.setAttribute("aria-pressed", pressed);
  button.textContent = label;
}

// Controls

$("camera").onclick = startCamera;
$("device").onchange = startCamera;
$("screen").onclick = startScreen;
$("open").onclick = () => $("file").click();
$("file").onchange = () => {
  startFile($("file").files[0]);
  $("file").value = "";
};
$("stop").onclick = close;
$("record").onclick = record;
$("pause").onclick = () => {
  if (video.paused) video.play();
  else video.pause();
  press($("pause"), video.paused, video.paused ? "Continue" : "Pause");
};
$("model").onchange = () => {
  selectModel();
  refresh();
};
$("threshold").oninput = showThreshold;
$("blur").addEventListener("change", () => (view.width = view.width)); // clears what was shown without blur
for (const id of ["threshold", "blur", "track", "smooth", "mirror", "step"]) $(id).addEventListener("change", refresh);
document.querySelector("form").onsubmit = (event) => event.preventDefault();
document.ondragover = (event) => {
  event.preventDefault();
  stage.classList.add("drop");
};
document.ondragleave = () => stage.classList.remove("drop");
document.ondrop = (event) => {
  event.preventDefault();
  stage.classList.remove("drop");
  startFile(event.dataTransfer.files[0]);
};
document.onpaste = (event) => startFile(event.clipboardData.files[0]);

document.onvisibilitychange = () => {
  if (source && !document.hidden) keepAwake(source); // hidden pages lose the lock
};

/**
 * Installs the service worker, which keeps all files for use without a network. Its answers also isolate the page, which
 * permits threads, on hosts that do not send the headers for it; that takes one reload.
 */
async function useServiceWorker() {
  const workers = navigator.serviceWorker; // absent on plain http
  if (!workers) return;
  const controlled = new Promise((resolve) => (workers.controller ? resolve() : (workers.oncontrollerchange = resolve)));
  await workers.register("service-worker.js");
  await Promise.race([controlled, new Promise((resolve) => setTimeout(resolve, CONTROL_MS))]);
  if (self.crossOriginIsolated || !workers.controller || sessionStorage.getItem("reloaded")) return;
  sessionStorage.setItem("reloaded", "yes");
  location.reload();
  await new Promise(() => {}); // until the page is gone
}

/** Removes the service worker of a static folder that was served at the same address before. */
async function removeServiceWorkers() {
  for (const worker of (await navigator.serviceWorker?.getRegistrations()) ?? []) await worker.unregister();
}

async function start() {
  $("place").textContent = engine.place;
  $("privacy").textContent = inBrowser ? "Nothing leaves this device." : "Frames go to this server only, which stores none.";
  setInterval(() => showReadOuts(source), READ_OUT_MS);
  await (inBrowser ? useServiceWorker() : removeServiceWorkers()).catch((error) => console.warn(error.message));
  models = await engine.models();
  $("model").replaceChildren(...models.map(({ name }) => new Option(name)));
  selectModel();
  if (!navigator.mediaDevices) explainMissingCamera();
}

start().catch(report);
