from collections.abc import Sequence

from e2pose.core.candidates import Candidates
from e2pose.export.sensitivity import SUFFICIENT_SIMILARITY, Quantise, select_layers
from helpers.candidates import two_candidates
from helpers.networks import SPEC

HARMLESS = dict.fromkeys("acdeghijkl", 0.0)


def quantise_with(harm: dict[str, float], trials: list[tuple[str, ...]]) -> Quantise:
    """Each quantised layer lowers the score of the only person by its harm."""

    def quantise(names: Sequence[str]) -> list[Candidates]:
        trials.append(tuple(names))
        return [two_candidates(0, scores=(0.9 - sum(harm[name] for name in names), 0.02))]

    return quantise


def test_most_sensitive_layers_stay_in_float_and_no_more_than_needed() -> None:
    harm, trials = HARMLESS | {"a": 0.001, "b": 0.4, "d": 0.002, "f": 0.35}, []
    announced = []
    selection = select_layers(
        dict.fromkeys(harm, 1.0), quantise_with(harm, trials), [two_candidates(0)], SPEC, announced.append
    )
    assert selection.kept_float == ("b", "f")
    assert set(selection.quantised) == set(harm) - {"b", "f"}
    assert selection.similarity >= SUFFICIENT_SIMILARITY
    assert len(trials) == 1 + 12 + 2
    assert announced == [12 + 3 + 1] * len(trials)


def test_similarity_of_70_percent_suffices() -> None:
    for harm, num_trials in ((0.29, 1), (0.31, 1 + 4 + 1)):
        trials = []
        quantise = quantise_with({"a": harm, "b": 0.0, "c": 0.0, "d": 0.0}, trials)
        select_layers(dict.fromkeys("abcd", 1.0), quantise, [two_candidates(0)], SPEC)
        assert len(trials) == num_trials


def test_harmless_layers_are_all_quantised_after_one_trial() -> None:
    trials = []
    selection = select_layers({"a": 1.0, "c": 1.0}, quantise_with(HARMLESS, trials), [two_candidates(0)], SPEC)
    assert selection.kept_float == ()
    assert len(trials) == 1


def test_at_most_a_quarter_stays_in_float() -> None:
    harm = dict.fromkeys("abcdefgh", 0.1)
    selection = select_layers(dict.fromkeys(harm, 1.0), quantise_with(harm, []), [two_candidates(0)], SPEC)
    assert len(selection.kept_float) == 2
    assert selection.similarity < SUFFICIENT_SIMILARITY


def test_best_selection_wins_when_none_suffices() -> None:
    def quantise(names: Sequence[str]) -> list[Candidates]:
        harm = {8: 0.6, 7: 0.4, 6: 0.5}.get(len(names), 0.0)  # the second layer in float does harm
        return [two_candidates(0, scores=(0.9 - harm, 0.02))]

    selection = select_layers(dict.fromkeys("abcdefgh", 1.0), quantise, [two_candidates(0)], SPEC)
    assert len(selection.kept_float) == 1


def test_harm_is_weighed_against_the_cost_in_float() -> None:
    harm = {"costly": 0.25, "cheap": 0.2, "b": 0.0, "c": 0.0}
    costs = {"costly": 10.0, "cheap": 1.0, "b": 1.0, "c": 1.0}
    reference = [two_candidates(0)]
    assert select_layers(costs, quantise_with(harm, []), reference, SPEC).kept_float == ("cheap",)
    costs["costly"] = 1.0
    assert select_layers(costs, quantise_with(harm, []), reference, SPEC).kept_float == ("costly",)
