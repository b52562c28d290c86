"""Random changes of valid files, for tests of readers."""

import copy
import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

NUM_EXAMPLES = int(os.environ.get("E2POSE_FUZZ_EXAMPLES", "20"))

few_examples = settings(
    max_examples=NUM_EXAMPLES,
    deadline=None,
    database=None,
    derandomize="E2POSE_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
"""Settings of a test in the suite; the environment variable E2POSE_FUZZ_EXAMPLES sets another number of examples."""

RAW_WORDS = (
    "NoneType",
    "object is not",
    "invalid literal",
    "out of range",
    "codec can't",
    "Traceback",
    "unhashable type",
)
"""Phrases of Python's own messages, which an error of e2pose must not contain."""

_numbers = st.sampled_from([0, 1, -1, 2, 3, 7, 0.0, 0.5, -0.0, 1.0, 1e9, 1e300, -1e300, 2**53, 2**70, 10**400])
_odd_numbers = st.sampled_from([float("nan"), float("inf"), -float("inf"), True, False])
_words = st.sampled_from(
    ["", " ", "0", "1", "1.0", "nan", "person", "left_tip", "\0", "/", "..", "\ud800", "é", "[]", "x" * 300]
)
_plain = st.one_of(st.none(), _numbers, _odd_numbers, _words, st.text(max_size=5))
values = st.recursive(
    _plain,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def mutated_records(draw, record):
    """Draws a copy of nested dictionaries and lists with one to four random changes."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(1, 4))):
        container, key = _draw_place(draw, record)
        action = draw(st.sampled_from(["replace", "replace", "replace", "delete", "duplicate", "add"]))
        if action == "delete":
            del container[key]
        elif action == "duplicate" and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        elif action == "add" and isinstance(container, list):
            container.insert(key, draw(values))
        else:
            container[key] = draw(values)
        if not record:
            break
    return record


def _draw_place(draw, record):
    """Draws a container of the record and a key in it; deeper places are more likely than in a flat draw."""
    container = record
    while True:
        key = draw(st.sampled_from(sorted(container) if isinstance(container, dict) else range(len(container))))
        child = container[key]
        if not isinstance(child, dict | list) or not child or draw(st.integers(0, 9)) == 0:
            return container, key
        container = child


@st.composite
def mutated_texts(draw, text):
    """Draws a text with one to four random changes: words replaced, removed, repeated or joined, or bytes inserted."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.sampled_from([0, 0, 1, 2, 5, 20])))
        new = draw(
            st.one_of(
                _words,
                st.text(max_size=3),
                st.sampled_from(
                    ["-", ".", ",", "\n", "\r\n", ":", "[", "]", "nan", "1e999", "9" * 5000, "\ufeff", "\t", "\\"]
                ),
            )
        )
        text = text[:start] + new + text[end:]
    return text
