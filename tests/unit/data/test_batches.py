"""Batches carry the training images of each step to the network, for any number of workers."""

import numpy as np
import pytest
import torch

from e2pose.core.errors import InputError
from e2pose.data.batches import Batches
from e2pose.data.config import AugmentConfig, DataSetConfig
from e2pose.data.image_sets import open_set
from e2pose.data.training_images import TrainingImages
from helpers.targets import SCHEMA
from helpers.training_runs import write_set

STEPS, BATCH_SIZE, ACCUMULATE = 6, 4, 2


def open_images(root, **options):
    return TrainingImages(
        [open_set(DataSetConfig(path="synthetic"), root, SCHEMA)],
        SCHEMA,
        input_size_hw=(96, 96),
        fit="letterbox",
        augment=AugmentConfig(mosaic=0.5, cutout=0.5, grey=0.3),
        steps=STEPS,
        batch_size=BATCH_SIZE,
        **options,
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return open_images(write_set(tmp_path_factory.mktemp("batches")))


def open_batches(images, **options):
    return Batches(images, steps=STEPS, batch_size=BATCH_SIZE, accumulate=ACCUMULATE, **options)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_from_a_step_contain_its_images_in_order(images, workers):
    number = 2 * BATCH_SIZE
    for mini_batches in open_batches(images, workers=workers).from_step(2):
        assert len(mini_batches) == ACCUMULATE
        for pixels, target in mini_batches:
            assert (pixels.shape, pixels.dtype) == ((BATCH_SIZE // ACCUMULATE, 3, 96, 96), torch.uint8)
            for index, image in enumerate(pixels):
                expected, labels = images[number]
                np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)
                count = len(labels.areas)
                assert target.present[index].sum() == count
                np.testing.assert_array_equal(target.keypoints[index, :count].numpy(), labels.keypoints)
                np.testing.assert_array_equal(target.labelled[index, :count].numpy(), labels.labelled)
                number += 1
    assert number == STEPS * BATCH_SIZE


def test_target_moves_to_a_device_as_a_whole(images):
    (_, target), _ = next(open_batches(images).from_step(0))
    moved = target.to(torch.device("meta"))
    assert {value.device.type for value in vars(moved).values()} == {"meta"}
    assert moved.keypoints.shape == target.keypoints.shape


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_image_raises_the_original_error_in_the_training_process(tmp_path, workers):
    images = open_images(write_set(tmp_path), cache=False)
    (tmp_path / "synthetic" / "images" / "1.png").unlink()
    with pytest.raises(InputError, match=r"there is no file '.*1\.png'") as failure:
        next(open_batches(images, workers=workers).from_step(0))
    assert "Traceback" not in failure.value.message


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 1), (2, 1), (1, 4), (2, 3)])
def test_processes_and_passes_divide_the_images_of_a_step(images, processes, accumulate):
    parts = [
        Batches(images, steps=9, batch_size=12, accumulate=accumulate, processes=processes, process=process)
        for process in range(processes)
    ]
    numbers = np.array([part.image_numbers(7) for part in parts])
    assert sorted(numbers.ravel().tolist()) == list(range(84, 96))
    first_pass = numbers[:, : 12 // processes // accumulate]
    assert sorted(first_pass.ravel().tolist()) == list(range(84, 84 + 12 // accumulate)), "the same for batch norms"
