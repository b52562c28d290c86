// Choice of the persons to blur, as in Python's e2pose.inference.anonymise: also those that are too uncertain to be shown,
// and those that are missed for a moment.

const KEPT_S = 1; // a person who is no longer detected stays blurred for this long

export class Anonymiser {
  #last = new Map(); // track id to the person and the time of its last detection
  #shown = new Set(); // track ids of the persons of the previous frame

  /** Returns the settings of the engine that finds the persons to blur. */
  static engineSettings(settings) {
    return settings.blur ? { ...settings, threshold: settings.threshold / 2, track: true } : settings;
  }

  /** Divides the persons of a frame into those to show and those to blur; a frame without ids has no memory. */
  divide(persons, time, { threshold, track, blur }) {
    if (!blur) return { shown: persons, blurred: [] };
    const isShown = ({ score, track_id: id }) => score >= threshold || (track && score >= threshold / 2 && this.#shown.has(id));
    const shown = persons.filter(isShown);
    this.#shown = new Set(shown.map((person) => person.track_id));
    for (const person of persons) if (person.track_id) this.#last.set(person.track_id, { person, time });
    for (const [id, last] of this.#last) if (Math.abs(time - last.time) > KEPT_S) this.#last.delete(id);
    const kept = [...this.#last.values()].map((last) => last.person);
    const blurred = [...persons.filter((person) => !person.track_id), ...kept];
    return { shown: track ? shown : shown.map(({ track_id: _, ...person }) => person), blurred };
  }
}
