from e2pose.export.scenes import SCENE_HW, default_scenes, draw_scene


def test_scenes_contain_their_number_of_persons() -> None:
    empty = draw_scene(0)
    assert empty.shape == (*SCENE_HW, 3)
    cell = 240 * 150
    for num_persons in (1, 2, 5, 10, 20):
        covered = (draw_scene(num_persons) != empty).any(axis=2).sum()
        assert 0.98 * num_persons * cell < covered <= num_persons * cell, "persons do not overlap"


def test_scenes_with_more_persons_keep_the_positions_of_others() -> None:
    few, many, empty = draw_scene(2), draw_scene(10), draw_scene(0)
    is_person = (few != empty).any(axis=2)
    assert (few[is_person] == many[is_person]).all()


def test_first_two_persons_stand_in_the_middle_and_mirror_each_other() -> None:
    scene, empty = draw_scene(2), draw_scene(0)
    left, right = scene[240:480, 490:640], scene[240:480, 640:790]
    assert (left != empty[:240, :150]).any()
    assert (left == right[:, ::-1]).all()
    assert (left != right).any()


def test_default_scenes_have_1_to_22_persons() -> None:
    empty = draw_scene(0)
    covered = [(scene != empty).any(axis=2).sum() for scene in default_scenes()]
    assert [round(area / (240 * 150)) for area in covered] == [1, 4, 7, 10, 13, 16, 19, 22]
