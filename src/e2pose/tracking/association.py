"""Which pose belongs to which person that was seen before."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_LEAST_SIZE = 8.0  # pixels; a person smaller than this is as large as the error of a pose, and one point has no size

_TINY = np.finfo(np.float64).tiny


def pose_weights(
    keypoints: Float[np.ndarray, "n k 2"], keypoint_scores: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """How much each keypoint counts: its score, or 0 if it has no place or no score."""
    known = np.isfinite(keypoints).all(axis=-1) & np.isfinite(keypoint_scores)
    return np.asarray(np.where(known, np.clip(keypoint_scores, 0, 1), 0), dtype=np.float64)


def pose_sizes(keypoints: Float[np.ndarray, "*p k 2"], weights: Float[np.ndarray, "*q k"]) -> Float[np.ndarray, "*q"]:
    """The size of each person in pixels: how far the keypoints lie from their centre, as a root mean square.

    For people that is about the square root of their area. It needs no box, and no keypoint alone decides it.

    Args:
        keypoints: Poses; finite.
        weights: How much each keypoint counts; one pose may come with several.
    """
    shares = weights / np.maximum(weights.sum(axis=-1, keepdims=True), _TINY)
    centres = (shares[..., None] * keypoints).sum(axis=-2, keepdims=True)
    squared = (shares * np.square(keypoints - centres).sum(axis=-1)).sum(axis=-1)
    return np.asarray(np.maximum(np.sqrt(squared), _LEAST_SIZE))


def pose_similarity(
    expected: Float[np.ndarray, "*p k 2"],
    found: Float[np.ndarray, "*q k 2"],
    weights: Float[np.ndarray, "*r k"],
    tolerances: Float[np.ndarray, "*t k"],
) -> Float[np.ndarray, "*r"]:
    """Object keypoint similarity for poses that nobody annotated: unsure keypoints count less, unknown ones not at all.

    Args:
        expected: Where the keypoints are thought to be; finite.
        found: Poses; finite.
        weights: How much each keypoint counts for each pair.
        tolerances: Standard deviation of each keypoint in pixels.

    Returns:
        Similarities in [0, 1]; 0 where nothing counts.

    Source:
        Object keypoint similarity: cocodataset.org/#keypoints-eval, section 1.2.
    """
    squared = np.square(expected - found).sum(axis=-1)
    closeness = np.exp(-squared / (2 * np.square(tolerances)))
    return np.asarray((weights * closeness).sum(axis=-1) / np.maximum(weights.sum(axis=-1), _TINY))


def best_pairs(worth: Float[np.ndarray, "t n"]) -> list[tuple[int, int]]:
    """The pairs that are worth most together, each row and column in at most one pair.

    Args:
        worth: Of each pair; 0 for those that must not be made, and above 0 for all others.

    Returns:
        Rows with their columns, by rising row.
    """
    if not worth.any():
        return []
    if len(worth) > worth.shape[1]:
        return sorted((row, column) for column, row in best_pairs(worth.T))
    columns = _cheapest_columns(worth.max() - worth)
    return [(row, column) for row, column in enumerate(columns) if worth[row, column] > 0]


def _cheapest_columns(costs: Float[np.ndarray, "r c"]) -> list[int]:
    """For each row a column of its own, so that the sum of costs is least; no more rows than columns.

    Rows enter one after the other. Each one follows the cheapest path over columns that are taken to one that is free,
    and everybody on the path moves on by one; prices of rows and columns keep all remaining costs at 0 or above.

    Source:
        Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
        Computing 38, 1987.
    """
    rows, columns = costs.shape
    row_prices, column_prices = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)
    for entering in range(rows):
        distance = np.full(columns, np.inf)  # of the cheapest path to each column
        previous = np.full(columns, -1)  # the column before it on that path
        done = np.zeros(columns, dtype=bool)
        row, last, length = entering, -1, 0.0
        while row >= 0:
            steps = length + costs[row] - row_prices[row] - column_prices
            shorter = ~done & (steps < distance)
            distance[shorter], previous[shorter] = steps[shorter], last
            last = int(np.where(done, np.inf, distance).argmin())
            length = float(distance[last])
            done[last] = True
            row = int(owner[last])
        passed = done & (owner >= 0)
        row_prices[entering] += length
        row_prices[owner[passed]] += length - distance[passed]
        column_prices[done] -= length - distance[done]
        while last >= 0:
            before = int(previous[last])
            owner[last] = entering if before < 0 else owner[before]
            last = before
    answer = np.full(rows, -1)
    taken = np.flatnonzero(owner >= 0)
    answer[owner[taken]] = taken
    return [int(column) for column in answer]
