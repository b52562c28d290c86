// Geometry between images and the network's input, and decoding of its output, as in Python's e2pose.transforms.fit and
// e2pose.inference.decode. Coordinates are continuous: (0, 0) is the outer corner of the first pixel.

/** Returns input size, scale and margins that letterbox or stretch a source of the given size in pixels. */
export function fitInput(width, height, spec) {
  let [inputHeight, inputWidth] = spec.input_size_hw;
  const scale = Math.min(inputWidth / width, inputHeight / height);
  if (spec.multiple_of) {
    const crop = (side) => spec.multiple_of * Math.ceil((scale * side - 1e-6) / spec.multiple_of);
    [inputHeight, inputWidth] = [crop(height), crop(width)];
  }
  if (spec.fit === "stretch") {
    return { inputWidth, inputHeight, scaleX: inputWidth / width, scaleY: inputHeight / height, left: 0, top: 0 };
  }
  const fitted = Math.min(inputWidth / width, inputHeight / height);
  const [left, top] = [(inputWidth - fitted * width) / 2, (inputHeight - fitted * height) / 2];
  return { inputWidth, inputHeight, scaleX: fitted, scaleY: fitted, left, top };
}

/** Returns the RGB planes, (3, height, width) uint8, of RGBA pixels. */
export function toPlanes(rgba) {
  const size = rgba.length / 4;
  const planes = new Uint8Array(3 * size);
  for (let pixel = 0, at = 0; pixel < size; pixel++, at += 4) {
    planes[pixel] = rgba[at];
    planes[size + pixel] = rgba[at + 1];
    planes[2 * size + pixel] = rgba[at + 2];
  }
  return planes;
}

/**
 * Returns the persons at or above the threshold, with keypoints in pixels of the source.
 *
 * `outputs` holds the arrays of one image: scores (M), keypoint_scores (M, K) and keypoints (M, K, 2) in [0, 1].
 */
export function decode(outputs, fit, spec, threshold) {
  const count = spec.keypoints.length;
  const persons = [];
  outputs.scores.forEach((score, candidate) => {
    if (!(score >= threshold)) return;
    const points = spec.keypoints.map((_, index) => {
      const at = candidate * count + index;
      const x = (outputs.keypoints[2 * at] * fit.inputWidth - fit.left) / fit.scaleX;
      const y = (outputs.keypoints[2 * at + 1] * fit.inputHeight - fit.top) / fit.scaleY;
      return [x, y, Math.min(1, Math.max(0, outputs.keypoint_scores[at] * spec.keypoint_score_scale))];
    });
    persons.push({ score, points });
  });
  return persons.sort((a, b) => b.score - a.score);
}

/** Returns a person as in the `.jsonl` output: rounded, with named keypoints; null for numbers that are not finite. */
export function toRecord({ score, points, trackId }, spec) {
  const finite = points.filter(([x, y]) => Number.isFinite(x) && Number.isFinite(y));
  const [xs, ys] = [finite.map(([x]) => x), finite.map(([, y]) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return {
    score: round(score, 4),
    ...(trackId ? { track_id: trackId } : {}),
    box: [left, top, Math.max(...xs) - left, Math.max(...ys) - top].map((value) => round(value, 2)),
    keypoints: Object.fromEntries(
      spec.keypoints.map((name, index) => {
        const [x, y, keypointScore] = points[index];
        return [name, [round(x, 2), round(y, 2), round(keypointScore, 4)]];
      }),
    ),
  };
}

/** Returns the record of a person with lengths multiplied by `scale`. */
export function scaleRecord(person, scale) {
  const length = (value) => (value === null ? null : round(value * scale, 2));
  return {
    ...person,
    box: person.box.map(length),
    keypoints: Object.fromEntries(
      Object.entries(person.keypoints).map(([name, [x, y, score]]) => [name, [length(x), length(y), score]]),
    ),
  };
}

function round(value, digits) {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}
