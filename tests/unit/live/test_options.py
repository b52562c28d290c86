import pytest

from e2pose.core.errors import OptionError
from e2pose.live.options import PredictOptions


def test_several_models_need_show():
    with pytest.raises(OptionError, match="2 models are given") as caught:
        PredictOptions(model=("a", "b"))
    assert "--show" in caught.value.hint
    assert PredictOptions(model=("a", "b"), show=True).model == ("a", "b")


@pytest.mark.parametrize("threshold", [-0.01, 1.01, float("nan")])
def test_keypoint_threshold_out_of_range_is_rejected(threshold):
    with pytest.raises(OptionError, match="keypoint threshold must be between 0 and 1"):
        PredictOptions(keypoint_threshold=threshold)
    assert PredictOptions(keypoint_threshold=0.0).keypoint_threshold == 0
