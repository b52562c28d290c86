// Drawing of images, blur and skeletons, as Python's e2pose.render does.

const SIDE_COLOUR = { left: "rgb(255 158 36)", right: "rgb(64 176 255)", middle: "rgb(248 248 242)" };
const SHADOW = "rgb(0 0 0 / 0.72)";
const GOLDEN_RATIO = 0.618034;
const CELLS = { heads: 5, bodies: 9, frame: 24 }; // along the longer side of a blurred region: too few for a face

const cells = document.createElement("canvas");

/**
 * Draws an image with the regions of the persons in `blurred` blurred, and the skeletons of `persons`.
 *
 * Persons are records in pixels of the source, whose size is given; the image and the canvas may be smaller. `mirrored`
 * flips the image, not the labels.
 */
export function paint(canvas, image, { width, height }, persons, model, { mirrored, blur, blurred, ids }) {
  const context = canvas.getContext("2d");
  const scale = canvas.width / width;
  const view = { width, height, flip: ([x, y]) => [mirrored ? width - x : x, y] };
  context.setTransform(mirrored ? -scale : scale, 0, 0, scale, mirrored ? canvas.width : 0, 0);
  context.drawImage(image, 0, 0, width, height);
  const shown = persons.map((person) => toPoints(person, model)).sort((a, b) => a.size - b.size);
  if (blur) blurRegions(context, image, view, blurred ?? persons, model, blur);
  context.setTransform(scale, 0, 0, scale, 0, 0);
  for (const person of shown) drawPerson(context, person, model, ids, view);
  if (ids) for (const person of shown) drawLabel(context, person, view);
}

function toPoints(person, model) {
  const points = model.keypoints.map((name) => person.keypoints[name]);
  const isFinite = ([x, y]) => x !== null && y !== null;
  const visible = points.map((point) => isFinite(point) && point[2] >= (model.keypoint_threshold ?? 0.5));
  const head = points.filter((point, index) => isFinite(point) && isHead(model.keypoints[index]));
  const size = longerSide(points.filter((_, index) => visible[index]));
  return { id: person.track_id, points, finite: points.filter(isFinite), head, visible, size };
}

function bounds(points) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function longerSide(points) {
  const [left, top, right, bottom] = bounds(points);
  return points.length ? Math.max(right - left, bottom - top) : 0;
}

function words(name) {
  return name.toLowerCase().split(/[^a-z]+/);
}

function sideOf(name) {
  return ["left", "right"].find((side) => words(name).includes(side)) ?? "middle";
}

function isHead(name) {
  return words(name).some((word) => ["nose", "eye", "ear", "head"].includes(word));
}

function colourOf(id) {
  return `hsl(${(360 * ((id * GOLDEN_RATIO) % 1)).toFixed(1)} 100% 65%)`; // hue and contrast of Python's track_rgb
}

function drawPerson(context, { id, points, visible, size }, model, ids, view) {
  const longest = Math.max(view.width, view.height);
  const width = Math.max(1, size / 75, Math.min(longest / 350, 0.05 * size));
  const fine = model.keypoints.map((name) => (isHead(name) ? 0.6 : 1));
  const colour = (side) => (ids && id ? colourOf(id) : SIDE_COLOUR[side]);
  const strokes = [];
  for (const [first, second] of model.edges) {
    if (!visible[first] || !visible[second]) continue;
    const sides = [first, second].map((index) => sideOf(model.keypoints[index])).filter((side) => side !== "middle");
    const side = new Set(sides).size === 1 ? sides[0] : "middle";
    const lineWidth = width * Math.min(fine[first], fine[second]);
    strokes.push({ from: view.flip(points[first]), to: view.flip(points[second]), lineWidth, colour: colour(side) });
  }
  points.forEach((point, index) => {
    if (!visible[index]) return;
    const lineWidth = Math.max(2.4, 2.2 * width * fine[index]);
    strokes.push({ from: view.flip(point), to: view.flip(point), lineWidth, colour: colour(sideOf(model.keypoints[index])) });
  });
  context.lineCap = "round";
  context.strokeStyle = SHADOW;
  context.beginPath(); // one path, so that the shadows of crossing strokes do not add up
  for (const { from, to } of strokes) {
    context.moveTo(...from);
    context.lineTo(...to);
  }
  context.lineWidth = 2 * width + 2;
  context.stroke();
  for (const { from, to, lineWidth, colour } of strokes) {
    context.strokeStyle = colour;
    context.lineWidth = lineWidth;
    context.beginPath();
    context.moveTo(...from);
    context.lineTo(...to);
    context.stroke();
  }
}

function drawLabel(context, { id, points, visible, size }, view) {
  if (!id || !visible.includes(true)) return;
  const height = Math.max(14, Math.max(view.width, view.height) / 55, size / 14);
  const [x, y] = view.flip(points.filter((_, index) => visible[index]).reduce((a, b) => (a[1] < b[1] ? a : b)));
  context.font = `600 ${height}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const half = context.measureText(id).width / 2 + 0.35 * height;
  const at = Math.max(y - 1.3 * height, 0.7 * height);
  context.fillStyle = SHADOW;
  context.beginPath();
  context.roundRect(x - half, at - 0.65 * height, 2 * half, 1.3 * height, 0.3 * height);
  context.fill();
  context.fillStyle = colourOf(id);
  context.fillText(id, x, at);
}

/** Blurs heads, bodies or the frame. All keypoints count, whatever their score: too large a region is safer. */
function blurRegions(context, image, view, persons, model, blur) {
  if (blur === "frame") blurBox(context, image, view, [0, 0, view.width, view.height], CELLS.frame);
  else {
    const points = persons.map((person) => toPoints(person, model));
    for (const person of points) if (person.finite.length) blurPerson(context, image, view, person, blur);
  }
}

function blurPerson(context, image, view, { finite, head }, blur) {
  const size = longerSide(finite);
  let box = bounds(finite);
  if (head.length) {
    const [left, top, right, bottom] = bounds(head);
    const radius = Math.max(1.05 * Math.hypot(right - left, bottom - top), 0.09 * size, 3);
    const [x, y] = [(left + right) / 2, (top + bottom) / 2];
    const circle = [x - radius, y - radius, x + radius, y + radius];
    if (blur === "heads") {
      context.save();
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.clip();
      blurBox(context, image, view, circle, CELLS.heads);
      context.restore();
      return;
    }
    box = bounds([...finite, [circle[0], circle[1]], [circle[2], circle[3]]]);
  }
  const margin = Math.max(0.15 * size, 3);
  blurBox(context, image, view, [box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin], CELLS.bodies);
}

/** Averages a box of the image over a coarse grid and interpolates between the averages. */
function blurBox(context, image, view, box, count) {
  const cell = Math.max(Math.max(box[2] - box[0], box[3] - box[1]) / count, 3);
  const [left, right] = [box[0], box[2]].map((x) => Math.min(Math.max(x, 0), view.width));
  const [top, bottom] = [box[1], box[3]].map((y) => Math.min(Math.max(y, 0), view.height));
  const [width, height] = [right - left, bottom - top];
  if (width <= 0 || height <= 0) return;
  const scale = image.width / view.width;
  cells.width = Math.max(1, Math.round(width / cell)); // also clears the grid
  cells.height = Math.max(1, Math.round(height / cell));
  const grid = cells.getContext("2d");
  grid.imageSmoothingQuality = "high";
  grid.drawImage(image, scale * left, scale * top, scale * width, scale * height, 0, 0, cells.width, cells.height);
  context.drawImage(cells, left, top, width, height);
}
