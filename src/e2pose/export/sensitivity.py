"""Selection of quantised layers: those that change the poses most, relative to their cost in float, stay in float."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from e2pose.core.candidates import Candidates
from e2pose.core.spec import ModelSpec
from e2pose.export.verify import pose_similarity

SUFFICIENT_SIMILARITY = 0.7
"""From this similarity on, no further layer is kept in float."""

_MAX_FLOAT_SHARE = 0.25

Quantise = Callable[[Sequence[str]], Sequence[Candidates]]
"""Returns the candidates of every image with exactly the named layers quantised."""


@dataclass(frozen=True)
class LayerSelection:
    """The layers that are quantised.

    Args:
        quantised: Names of the quantised layers.
        kept_float: Names of the layers in float, most sensitive per cost first.
        similarity: `pose_similarity` of the quantised and the original model, from 0 to 1.
    """

    quantised: tuple[str, ...]
    kept_float: tuple[str, ...]
    similarity: float


def select_layers(
    float_costs: Mapping[str, float],
    quantise: Quantise,
    reference: Sequence[Candidates],
    spec: ModelSpec,
    on_trial: Callable[[int], None] | None = None,
) -> LayerSelection:
    """Quantises each layer alone to measure its effect, then keeps one layer after the other in float.

    Layers with the largest effect relative to their cost in float are kept first.

    Args:
        float_costs: Cost of each layer in float, by name, in any unit of time.
        quantise: Runs the model with a selection of layers quantised.
        reference: Candidates of every image without quantised layers.
        spec: The spec of the model.
        on_trial: Called after each trial with the maximum number of trials.

    Returns:
        The first selection of at least `SUFFICIENT_SIMILARITY`, otherwise the best one with at most a quarter of the
        layers in float.
    """
    layers = tuple(float_costs)
    max_float = int(_MAX_FLOAT_SHARE * len(layers))

    def similarity_of(names: Sequence[str]) -> float:
        similarity = pose_similarity(quantise(names), reference, spec.schema, spec.input_size_hw)
        if on_trial is not None:
            on_trial(len(layers) + max_float + 1)
        return similarity

    selections = [LayerSelection(layers, (), similarity_of(layers))]
    if selections[0].similarity >= SUFFICIENT_SIMILARITY:
        return selections[0]
    alone = {name: similarity_of([name]) for name in layers}
    most_sensitive = sorted(layers, key=lambda name: (1 - alone[name]) / float_costs[name], reverse=True)
    for count in range(1, max_float + 1):
        kept_float = tuple(most_sensitive[:count])
        quantised = tuple(name for name in layers if name not in kept_float)
        selections.append(LayerSelection(quantised, kept_float, similarity_of(quantised)))
        if selections[-1].similarity >= SUFFICIENT_SIMILARITY:
            break
    return max(selections, key=lambda selection: selection.similarity)
