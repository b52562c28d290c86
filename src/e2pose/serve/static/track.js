// Track ids and smoothing for poses that are computed in the browser: a small version of the Python tracker, which also
// handles occlusion. Persons are { score, points: [[x, y, score], ...] }; times are seconds.

const KEPT_S = 1; // an id is kept for this long without a detection,
const KEPT_FRAMES = 3; // and for at least so many frames, for slow devices
const MIN_SIMILARITY = 0.3;
const VELOCITY_S = 0.2; // time constant of the velocity average

// One-Euro filter, as in Python's e2pose.tracking.smoothing.
const REST_CUTOFF_HZ = 1;
const CUTOFF_HZ_PER_SPEED = 10;
const JITTER_SPEED = 0.85;
const VELOCITY_DECAY_S = 1;

/** Assigns ids by similarity to the predicted pose, best pair first. */
export class Tracker {
  #tracks = [];
  #lastId = 0;

  /** Returns the persons with a `trackId`. */
  update(persons, time, sigmas) {
    this.#tracks = this.#tracks.filter((track) => time - track.time <= KEPT_S || track.missed < KEPT_FRAMES);
    for (const track of this.#tracks) track.missed++;
    const pairs = [];
    for (const track of this.#tracks) {
      for (const person of persons) {
        const similarity = compare(predict(track, time), person, sigmas);
        if (similarity >= MIN_SIMILARITY) pairs.push({ track, person, similarity });
      }
    }
    pairs.sort((a, b) => b.similarity - a.similarity);
    const assigned = new Map();
    for (const { track, person } of pairs) {
      if (assigned.has(person) || [...assigned.values()].includes(track)) continue;
      assigned.set(person, track);
    }
    return persons.map((person) => {
      let track = assigned.get(person);
      if (!track) {
        track = { id: ++this.#lastId, velocity: [0, 0] };
        this.#tracks.push(track);
      } else if (time > track.time) {
        const elapsed = time - track.time;
        const [now, before] = [center(person.points), center(track.points)];
        const gain = 1 - Math.exp(-elapsed / VELOCITY_S);
        track.velocity = track.velocity.map((v, axis) => v + gain * ((now[axis] - before[axis]) / elapsed - v));
      }
      track.points = person.points;
      track.time = time;
      track.missed = 0;
      return { ...person, trackId: track.id };
    });
  }
}

/** Smooths the keypoints of tracked persons: less jitter at rest, almost no lag in motion. */
export class Smoother {
  #filters = new Map();

  /** Returns the persons with smooth keypoints. */
  update(persons, time, sigmas) {
    const smooth = persons.map((person) => {
      const states = this.#filters.get(person.trackId)?.states ?? [];
      const size = personSize(person.points);
      const next = person.points.map((point, index) => filter(states[index], point, time, size, sigmas[index]));
      this.#filters.set(person.trackId, { states: next, time });
      return { ...person, points: next.map((state, index) => [...state.position, person.points[index][2]]) };
    });
    for (const [id, { time: seen }] of this.#filters) if (time - seen > KEPT_S) this.#filters.delete(id);
    return smooth;
  }
}

function filter(state, [x, y, score], time, size, sigma) {
  const elapsed = state ? time - state.time : Infinity;
  if (!(elapsed > 0 && elapsed <= KEPT_S / 2)) return { position: [x, y], velocity: [0, 0], time };
  const motion = Math.max(Math.hypot(...state.velocity) / size - JITTER_SPEED * sigma, 0);
  const cutoff = (REST_CUTOFF_HZ + CUTOFF_HZ_PER_SPEED * motion) * Math.min(score / 0.5, 1);
  const retained = 1 / (1 + 2 * Math.PI * cutoff * elapsed);
  const velocity = state.velocity.map((v) => v * Math.exp(-elapsed / VELOCITY_DECAY_S));
  const expected = state.position.map((p, axis) => p + velocity[axis] * elapsed);
  const residual = [x - expected[0], y - expected[1]];
  return {
    position: expected.map((p, axis) => p + (1 - retained ** 2) * residual[axis]),
    velocity: velocity.map((v, axis) => v + ((1 - retained) ** 2 * residual[axis]) / elapsed),
    time,
  };
}

function predict(track, time) {
  const [dx, dy] = track.velocity.map((v) => v * (time - track.time));
  return track.points.map(([x, y, score]) => [x + dx, y + dy, score]);
}

/** Returns the object keypoint similarity, weighted by the scores of the keypoints, with doubled tolerances. */
function compare(expected, { points }, sigmas) {
  const size = personSize(points);
  let [sum, weights] = [0, 0];
  points.forEach(([x, y, score], index) => {
    const distance = Math.hypot(x - expected[index][0], y - expected[index][1]);
    const weight = Math.min(score, expected[index][2]);
    sum += weight * Math.exp(-(distance ** 2) / (2 * (4 * sigmas[index] * size) ** 2));
    weights += weight;
  });
  return weights ? sum / weights : 0;
}

function center(points) {
  const total = points.reduce((sum, [, , score]) => sum + score, 0) || 1;
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[2] * point[axis], 0) / total);
}

function personSize(points) {
  const [x, y] = center(points);
  const total = points.reduce((sum, [, , score]) => sum + score, 0) || 1;
  const squared = points.reduce((sum, point) => sum + point[2] * ((point[0] - x) ** 2 + (point[1] - y) ** 2), 0);
  return Math.max(Math.sqrt(squared / total), 8);
}
