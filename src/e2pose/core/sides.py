"""Left and right in keypoint names, in the forms that annotation tools and data sets use.

The side is a word of its own ("left_eye", "Left Eye", "leftEye", "eye.L", "shoulder_lft"), a full word joined to the
part ("lefteye", "eyeleft"), or a letter joined to a known part ("lshoulder", "HIPR"). The last form is restricted to
known parts because it also fits words without a side: "lip" and "rip", "lower" and "rower".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

_RIGHT_OF = {"left": "right", "l": "r", "lft": "rgt", "lt": "rt"}
_OPPOSITE = _RIGHT_OF | {right: left for left, right in _RIGHT_OF.items()}

_PART_NAMES = """
    ank ankle antenna arm back bigtoe breast brow buttock calf cheek chest clavicle collar collarbone ear elb elbow eye
    eyebrow fin finger foot fore forearm forefoot forepaw front frontpaw hand heel hind hindfoot hindpaw hip hoof horn
    index jaw kne knee leg middle mouth nostril palm paw pinky pupil ring scapula shank shin sho shoulder side smalltoe
    thigh thumb tip toe wing wri wrist
"""
_PARTS = frozenset(_PART_NAMES.split())
_WORDS_WITHOUT_SIDE = {"rear", "rank", "lank"}  # unless the other side is a keypoint, too


def side_of(name: str) -> str:
    """Returns the body side in a keypoint name: "left", "right" or "middle"."""
    words = _split_words(name)
    for word in words:
        if word in _OPPOSITE:
            return "left" if word in _RIGHT_OF else "right"
    for word in words:
        side = re.match(r"left(?=..)|right(?=..)", word)
        if side or (word[:1] in _OPPOSITE and word[1:] in _PARTS and word not in _WORDS_WITHOUT_SIDE):
            return side[0] if side else {"l": "left", "r": "right"}[word[0]]
    return "middle"


def find_mirrored_names(keypoints: Sequence[str]) -> list[tuple[str, str]]:
    """Finds the pairs (left, right) of distinct names that differ only in their side, in the order of left names."""
    words_of = [tuple(_split_words(name)) for name in keypoints]
    counts = Counter(words_of)
    position = {words: name for words, name in zip(words_of, keypoints, strict=True) if counts[words] == 1}
    pairs = []
    for words, name in position.items():
        partner = next((position[mirrored] for mirrored in _mirror_left(words) if mirrored in position), None)
        if partner is not None:
            pairs.append((name, partner))
    return pairs


def parts_of(name: str) -> set[str]:
    """Returns the words of a keypoint name, also without the side that may be joined to them: "lefteye" has "eye"."""
    parts = set()
    for word in _split_words(name):
        joined = [word.removeprefix(side) for side in _OPPOSITE] + [word.removesuffix(side) for side in _OPPOSITE]
        parts |= {word} if word in _WORDS_WITHOUT_SIDE else {word, *joined}
    return parts


def _mirror_left(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yields what a name with the side "left" may be called on the right."""
    if any(word in _OPPOSITE for word in words):
        if any(word in _RIGHT_OF for word in words):
            yield tuple(_RIGHT_OF.get(word, word) for word in words)
        return
    for index, word in enumerate(words):
        for mirrored in _mirror_joined(word):
            yield (*words[:index], mirrored, *words[index + 1 :])


def _mirror_joined(word: str) -> Iterator[str]:
    """Yields the counterparts of a word to which a left side is joined, before or after the part."""
    for left in ("left", "lft"):
        if word.startswith(left) and len(word) > len(left) + 1:
            yield _RIGHT_OF[left] + word.removeprefix(left)
        if word.endswith(left) and len(word) > len(left) + 1:
            yield word.removesuffix(left) + _RIGHT_OF[left]
    if word[:1] == "l" and word[1:] in _PARTS:
        yield "r" + word[1:]
    if word[-1:] == "l" and word[:-1] in _PARTS:
        yield word[:-1] + "r"


def _split_words(name: str) -> list[str]:
    """Splits a name into lower-case words: "left_eye", "Left Eye" and "leftEye" all become "left", "eye"."""
    return [word.lower() for word in re.findall(r"[A-Z]?[^\W\d_A-Z]+|[A-Z]+(?![^\W\d_A-Z])|\d+", name)]
