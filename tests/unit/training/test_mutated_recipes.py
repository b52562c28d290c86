"""Randomly changed recipes give a recipe or an error in words with a hint; never a Python error."""

from hypothesis import given

from e2pose.core.errors import E2PoseError
from e2pose.training.recipe import load_recipe
from helpers.mutations import RAW_WORDS, few_examples, mutated_texts

TEXT = """name = "x"
schema = "coco"
input_size_hw = [256, 320]
[data]
root = "data"
sets = [{ path = "a", weight = 2.0 }, { path = "b", category = ["cat", 2] }]
[augment]
scale = [0.75, 1.7]
grids = [[1, 2], [2, 2]]
[optim]
steps = 3
batch_size = 2
"""


@few_examples
@given(text=mutated_texts(TEXT))
def test_recipes(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "mutated.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_recipe(path)
    except E2PoseError as error:
        assert error.hint
        assert not any(word in error.message for word in RAW_WORDS), error.message
