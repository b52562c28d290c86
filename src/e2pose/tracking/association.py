"""Similarity of poses and their optimal assignment."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

_MIN_SIZE = 8.0  # pixels; smaller persons are within the localisation error, and a single keypoint has no size

_TINY = np.finfo(np.float64).tiny


def pose_weights(
    keypoints: Float[np.ndarray, "n k 2"], keypoint_scores: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Returns the weight of each keypoint: its score, clipped to [0, 1], or 0 if position or score is not finite."""
    finite = np.isfinite(keypoints).all(axis=-1) & np.isfinite(keypoint_scores)
    return np.asarray(np.where(finite, np.clip(keypoint_scores, 0, 1), 0), dtype=np.float64)


def pose_sizes(keypoints: Float[np.ndarray, "*p k 2"], weights: Float[np.ndarray, "*q k"]) -> Float[np.ndarray, "*q"]:
    """Returns the size of each person in pixels: the weighted RMS distance of the keypoints from their centroid.

    The size is about the square root of the area of a person. It needs no box, and no single keypoint dominates it.
    Keypoints must be finite; their leading axes broadcast against those of the weights.
    """
    shares = weights / np.maximum(weights.sum(axis=-1, keepdims=True), _TINY)
    centroids = (shares[..., None] * keypoints).sum(axis=-2, keepdims=True)
    squared = (shares * np.square(keypoints - centroids).sum(axis=-1)).sum(axis=-1)
    return np.asarray(np.maximum(np.sqrt(squared), _MIN_SIZE))


def pose_similarity(
    expected: Float[np.ndarray, "*p k 2"],
    detected: Float[np.ndarray, "*q k 2"],
    weights: Float[np.ndarray, "*r k"],
    tolerances: Float[np.ndarray, "*t k"],
) -> Float[np.ndarray, "*r"]:
    """Returns object keypoint similarities, weighted by keypoint confidence instead of annotated visibility.

    Keypoints must be finite, and tolerances are standard deviations in pixels. The similarities lie in [0, 1]; they are
    0 where all weights are 0.

    Source:
        Object keypoint similarity: cocodataset.org/#keypoints-eval, section 1.2.
    """
    squared = np.square(expected - detected).sum(axis=-1)
    closeness = np.exp(-squared / (2 * np.square(tolerances)))
    return np.asarray((weights * closeness).sum(axis=-1) / np.maximum(weights.sum(axis=-1), _TINY))


def assign_pairs(affinity: Float[np.ndarray, "t n"]) -> list[tuple[int, int]]:
    """Returns the pairs with the highest total affinity; each row and each column is in at most one pair.

    Args:
        affinity: Affinity of each pair, above 0; 0 for pairs that are not allowed.

    Returns:
        (row, column) pairs, sorted by row.
    """
    if not affinity.any():
        return []
    if len(affinity) > affinity.shape[1]:
        return sorted((row, column) for column, row in assign_pairs(affinity.T))
    columns = _minimize_cost(affinity.max() - affinity)
    return [(row, column) for row, column in enumerate(columns) if affinity[row, column] > 0]


def _minimize_cost(costs: Float[np.ndarray, "r c"]) -> list[int]:
    """Returns a distinct column for each row, so that the sum of the costs is minimal. Needs rows <= columns.

    Rows are added one by one. Each row follows the shortest augmenting path over assigned columns to a free column, and
    the rows on the path move to the next column. Prices of rows and columns keep all reduced costs non-negative.

    Source:
        Jonker and Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems",
        Computing 38, 1987.
    """
    rows, columns = costs.shape
    row_prices, column_prices = np.zeros(rows), np.zeros(columns)
    owner = np.full(columns, -1)  # row of each column
    for entering in range(rows):
        distance = np.full(columns, np.inf)  # of the shortest path to each column
        previous = np.full(columns, -1)  # column before it on that path
        done = np.zeros(columns, dtype=bool)
        row, last, length = entering, -1, 0.0
        while row >= 0:
            candidates = length + costs[row] - row_prices[row] - column_prices
            shorter = ~done & (candidates < distance)
            distance[shorter], previous[shorter] = candidates[shorter], last
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
    assignment = np.full(rows, -1)
    taken = np.flatnonzero(owner >= 0)
    assignment[owner[taken]] = taken
    return [int(column) for column in assignment]
