import numpy as np
import torch

from e2pose.data.targets import collate_labels
from helpers.targets import labels_of

SIZE_HW = (64, 96)


def test_labels_are_padded_to_the_largest_image_of_the_batch():
    rng = np.random.default_rng(0)
    region = np.array([[1, 2, 3, 4]], np.float32)
    labels = [
        labels_of(rng, 2, SIZE_HW, ignore=region),
        labels_of(rng, 0, SIZE_HW),
        labels_of(rng, 1, SIZE_HW, ignore=np.repeat(region, 2, axis=0), non_exhaustive=2 * region),
    ]
    labels[0].labelled[1, 3] = labels[0].visibility_known[1, 4] = False
    target = collate_labels(labels)
    assert target.present.tolist() == [[True, True], [False, False], [True, False]]
    for index, label in enumerate(labels):
        count = len(label.areas)
        for name in ("keypoints", "labelled", "visibility_known", "areas"):
            np.testing.assert_array_equal(getattr(target, name)[index, :count].numpy(), getattr(label, name))
    assert not target.labelled[~target.present].any()
    assert (target.areas[~target.present] == 1).all()
    assert target.ignore.tolist() == [[[1, 2, 3, 4], [0] * 4], [[0] * 4] * 2, [[1, 2, 3, 4]] * 2]
    assert target.non_exhaustive.tolist() == [[[0] * 4], [[0] * 4], [[2, 4, 6, 8]]]


def test_batch_without_persons_has_one_padded_person():
    target = collate_labels([labels_of(np.random.default_rng(0), 0, SIZE_HW)])
    assert target.keypoints.shape == (1, 1, 17, 2)
    assert not target.present.any()


def test_centre_is_that_of_the_box_around_labelled_keypoints():
    label = labels_of(np.random.default_rng(0), 1, SIZE_HW)
    label.labelled[0] = False
    label.labelled[0, [2, 5, 7]] = True
    label.keypoints[0, [2, 5, 7]] = [[10, 20], [30, 60], [12, 30]]
    target = collate_labels([label, labels_of(np.random.default_rng(0), 2, SIZE_HW)])
    torch.testing.assert_close(target.centers[0], torch.tensor([[20.0, 40.0], [0.0, 0.0]]))
