"""Which layers bear to be quantised, and which are cheap to leave as they are: found by trying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from e2pose.core.candidates import Candidates
from e2pose.core.spec import ModelSpec
from e2pose.export.agreement import mean_agreement

ENOUGH = 0.7
"""From this agreement on, no further layer is kept in float."""

_MOST_IN_FLOAT = 0.25

Quantise = Callable[[Sequence[str]], Sequence[Candidates]]
"""The candidates of every picture with exactly the layers of these names quantised."""


@dataclass(frozen=True)
class Choice:
    """Which layers are quantised.

    Args:
        quantised: Names of those that are.
        in_float: Names of those that stay as they are, first those that gain most for their price.
        agreement: How far the people found then are those found before, from 0 to 1.
    """

    quantised: tuple[str, ...]
    in_float: tuple[str, ...]
    agreement: float


def choose_layers(
    prices: Mapping[str, float],
    quantise: Quantise,
    truth: Sequence[Candidates],
    spec: ModelSpec,
    progress: Callable[[int], None] | None = None,
) -> Choice:
    """Quantises each layer alone to see what that does, then leaves out one by one until all agree well enough.

    First those that disturb most for what they cost in float.

    Args:
        prices: What each layer that could be quantised costs in float, by name, in any unit of time.
        quantise: Tries a choice.
        truth: What the model says of each picture without any layer quantised.
        spec: The model's.
        progress: Told after each try how many there will be at most.

    Returns:
        A choice that agrees by `ENOUGH`, or else the best one that was seen, with at most a quarter in float.
    """
    layers = tuple(prices)
    most = int(_MOST_IN_FLOAT * len(layers))

    def agreement_of(names: Sequence[str]) -> float:
        agreement = mean_agreement(quantise(names), truth, spec.schema, spec.input_size_hw)
        if progress is not None:
            progress(len(layers) + most + 1)
        return agreement

    all_agree = agreement_of(layers)
    if all_agree >= ENOUGH:
        return Choice(layers, (), all_agree)
    alone = {name: agreement_of([name]) for name in layers}
    worst_first = sorted(layers, key=lambda name: (1 - alone[name]) / prices[name], reverse=True)
    choices = [Choice(layers, (), all_agree)]
    for count in range(1, most + 1):
        in_float = tuple(worst_first[:count])
        quantised = tuple(name for name in layers if name not in in_float)
        choices.append(Choice(quantised, in_float, agreement_of(quantised)))
        if choices[-1].agreement >= ENOUGH:
            break
    return max(choices, key=lambda choice: choice.agreement)
