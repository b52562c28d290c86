// Recordings of what is shown, blur included, with the poses of the same frames.

const TYPES = ["video/webm;codecs=vp8", "video/webm", "video/mp4"]; // Safari has the last one only
const BITS_PER_SECOND = 6e6;

/** Records a canvas and lines of text until `stop`, which calls `onStop(media, lines)`. */
export class Recording {
  #lines = [];
  #recorder;

  constructor(canvas, onStop) {
    const mimeType = TYPES.find((type) => self.MediaRecorder?.isTypeSupported(type));
    if (!mimeType) throw new Error("this browser cannot record video");
    const chunks = [];
    this.#recorder = new MediaRecorder(canvas.captureStream(), { mimeType, videoBitsPerSecond: BITS_PER_SECOND });
    this.#recorder.ondataavailable = ({ data }) => chunks.push(data);
    this.#recorder.onstop = () => onStop(new Blob(chunks, { type: mimeType }), this.#lines);
    this.#recorder.start(1000);
  }

  add(line) {
    this.#lines.push(line);
  }

  stop() {
    this.#recorder.stop();
  }
}

/** Puts links into `place` that download an image or a video, and its poses as JSON lines. */
export function offerDownloads(place, name, media, lines) {
  const poses = new Blob(lines.map((line) => `${JSON.stringify(line)}\n`), { type: "application/jsonl" });
  for (const link of place.children) URL.revokeObjectURL(link.href);
  const toLink = (blob) => {
    const suffix = blob.type.split(/[/;]/)[1];
    const [href, download] = [URL.createObjectURL(blob), `${name}.${suffix}`];
    return Object.assign(document.createElement("a"), { href, download, textContent: `Save ${download}` });
  };
  place.replaceChildren(toLink(media), toLink(poses));
}
