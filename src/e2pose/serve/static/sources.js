// Cameras, screens, videos and images. A source is { kind, name, image, width, height } with sizes in pixels; `image` is
// the video element or a bitmap. Streams also have `stream`, videos `url`, images `file` and `bitmap`.

import { UserError } from "./engines.js";

const MAX_IMAGE_SIDE = 2560; // pixels of a displayed still image; the server receives the file itself

/** Opens a camera; without a device, the front camera or the only one. */
export function openCamera(device) {
  const chosen = device ? { deviceId: { exact: device } } : { facingMode: "user" };
  const constraints = { video: { ...chosen, width: { ideal: 1280 }, height: { ideal: 720 } } };
  return openStream("camera", () => navigator.mediaDevices.getUserMedia(constraints));
}

export function openScreen() {
  return openStream("screen", () => navigator.mediaDevices.getDisplayMedia({ video: true }));
}

async function openStream(kind, request) {
  const stream = await request().catch((error) => {
    throw new UserError(explain(error, kind));
  });
  return { kind, name: kind, stream };
}

function explain(error, device) {
  const reasons = {
    NotAllowedError: `The browser did not allow the ${device}. Allow it in the address bar and try again.`,
    NotFoundError: `No ${device} was found. Connect one and try again, or open an image or a video.`,
    NotReadableError: `The ${device} is in use by another program. Close that program and try again.`,
    OverconstrainedError: `This ${device} is no longer connected. Choose another one.`,
  };
  return reasons[error.name] ?? `The ${device} cannot be opened: ${error.message}`;
}

export function openFile(file) {
  const isVideo = file.type.startsWith("video/");
  return isVideo ? { kind: "video", name: file.name, url: URL.createObjectURL(file) } : openImage(file);
}

async function openImage(file) {
  const whole = await createImageBitmap(file).catch(() => {
    throw new UserError(`The browser cannot read ${file.name}. Open a JPEG, PNG or WebP image, or an MP4 or WebM video.`);
  });
  const { width, height } = whole;
  const scale = Math.min(1, MAX_IMAGE_SIDE / Math.max(width, height));
  const size = { resizeWidth: Math.round(scale * width), resizeHeight: Math.round(scale * height), resizeQuality: "high" };
  const bitmap = scale < 1 ? await createImageBitmap(whole, size) : whole;
  return { kind: "image", name: file.name, file, bitmap, image: bitmap, width, height };
}

/** Plays a stream or a video in the video element; returns the complete source. */
export async function play(video, source) {
  if (source.image) return source;
  video.loop = true;
  if (source.stream) video.srcObject = source.stream;
  else video.src = source.url;
  await video.play().catch(() => {
    throw new UserError(`The browser cannot play ${source.name}. Convert it to MP4 (H.264) or WebM.`);
  });
  if (!video.videoWidth) await new Promise((resolve) => video.addEventListener("resize", resolve, { once: true }));
  return { ...source, image: video, width: video.videoWidth, height: video.videoHeight };
}

/** Stops cameras and frees memory. */
export function release(source) {
  source.stream?.getTracks().forEach((track) => track.stop());
  if (source.url) URL.revokeObjectURL(source.url);
  source.bitmap?.close();
}

/** Returns the cameras as options of a list. Their names are known once a camera has been allowed. */
export async function listCameras() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  const cameras = devices.filter(({ kind }) => kind === "videoinput");
  return cameras.map(({ label, deviceId }, index) => new Option(label || `Camera ${index + 1}`, deviceId));
}
