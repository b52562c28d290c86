"""Labels of DeepLabCut."""

import h5py
import numpy as np
import pytest

from e2pose.core.errors import AnnotationError
from e2pose.formats.boxes import derive_box
from e2pose.formats.deeplabcut import read_deeplabcut
from helpers.tool_labels import BRIGHT_XY, CENTRE_XY, SIZE_HW, make_access, points_of, write_image

CONFIG = "Task: mice\nscorer: me\nbodyparts: [nose, tail]\nskeleton: [[nose, tail]]\n"
HEADER = ["scorer,me,me,me,me", "bodyparts,nose,nose,tail,tail", "coords,x,y,x,y"]
ANIMALS = [
    "scorer,me,me,me,me,me,me",
    "individuals,a,a,b,b,single,single",
    "bodyparts,nose,nose,nose,nose,lamp,lamp",
    "coords,x,y,x,y,x,y",
]
ROW = f"labeled-data/film/img0.png,{BRIGHT_XY[0]},{BRIGHT_XY[1]},30,25"


def write(folder, *lines, video="film", name="CollectedData_me.csv", config=CONFIG, images=("img0.png",)):
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    path = folder / "labeled-data" / video / name
    for image in images:
        write_image(path.parent / image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def read(path):
    return read_deeplabcut(path, make_access())


def test_point_lands_where_the_tool_draws_it(tmp_path):
    write(tmp_path, *HEADER, ROW)
    assert points_of(read(tmp_path)) == {"nose": (*CENTRE_XY, 2), "tail": (30.5, 25.5, 2)}


def test_project_csv_file_and_configuration_are_the_same_labels(tmp_path):
    path = write(tmp_path, *HEADER, ROW)
    project, config, table = read(tmp_path), read(tmp_path / "config.yaml"), read(path)
    assert project.annotations.schema == config.annotations.schema
    assert points_of(project) == points_of(config) == points_of(table)
    images = [labels.annotations.images[0] for labels in (project, table)]
    assert [image.file_name for image in images] == ["labeled-data/film/img0.png", "img0.png"]
    assert [image.group for image in images] == ["film", "film"]
    assert project.annotations.schema.name == "mice"
    assert project.annotations.schema.edges == ((0, 1),)
    assert images[0].persons[0].box == derive_box(np.float32([CENTRE_XY, (30.5, 25.5)]), np.uint8([2, 2]), SIZE_HW)


def test_individuals_become_instances_and_unique_body_parts_are_omitted(tmp_path):
    write(tmp_path, *ANIMALS, "labeled-data/film/img0.png,1,2,3,4,5,6")
    labels = read(tmp_path)
    omitted = {(one.what, one.count) for one in labels.annotations.omitted}
    assert ("body parts", 1) in omitted
    assert labels.annotations.schema.keypoints == ("nose",)


def test_two_animals_of_an_image(tmp_path):
    header = [
        "scorer" + ",me" * 8,
        "individuals,a,a,a,a,b,b,b,b",
        "bodyparts" + ",nose,nose,tail,tail" * 2,
        "coords" + ",x,y" * 4,
    ]
    rows = ["labeled-data/film/img0.png,1,2,3,4,,,7,8", "labeled-data/film/img1.png,1,2,3,9,5,6,7,8"]
    write(tmp_path, *header, *rows, images=("img0.png", "img1.png"))
    labels = read(tmp_path)
    assert [len(image.persons) for image in labels.annotations.images] == [1, 2]
    assert points_of(labels, 1, 1) == {"nose": (5.5, 6.5, 2), "tail": (7.5, 8.5, 2)}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "labeled-data\\film\\img0.png,1,2,3,4"),
        (["scorer,,,me,me,me,me", "bodyparts,,,nose,nose,tail,tail", "coords,,,x,y,x,y"],
         "labeled-data,film,img0.png,1,2,3,4"),
        (HEADER, "labeled-data/renamed-since/img0.png,1,2,3,4"),
        (HEADER, "C:/other/place/img0.png,1.0,2.0,3e0,4"),
        (["﻿" + HEADER[0], *HEADER[1:]], "labeled-data/film/img0.png,1,2,3,4\r"),
    ],
    ids=["backslashes", "three columns of the path", "renamed folder", "absolute path", "byte-order mark"],
)  # fmt: skip
def test_variants_of_the_table(tmp_path, header, row):
    write(tmp_path, *header, row)
    assert points_of(read(tmp_path)) == {"nose": (1.5, 2.5, 2), "tail": (3.5, 4.5, 2)}


def test_videos_with_equal_image_names_stay_apart(tmp_path):
    for video in ("left", "right"):
        write(tmp_path, *HEADER, f"labeled-data/{video}/img0.png,1,2,3,4", video=video)
    images = read(tmp_path).annotations.images
    assert [(image.id, image.file_name, image.group) for image in images] == [
        (1, "labeled-data/left/img0.png", "left"),
        (2, "labeled-data/right/img0.png", "right"),
    ]


def test_missing_points_and_images_without_labels(tmp_path):
    rows = [
        f"labeled-data/film/img{index}.png,{cells}" for index, cells in enumerate(["1,2,NaN,nan", "-3,2,5,7", ",,,"])
    ]
    write(tmp_path, *HEADER, *rows, images=("img0.png", "img1.png", "img2.png"))
    labels = read(tmp_path).annotations
    assert [len(image.persons) for image in labels.images] == [0, 1]
    assert labels.images[1].persons[0].keypoints.tolist() == [[-2.5, 2.5], [5.5, 7.5]]
    assert {str(one).partition(" (")[0] for one in labels.omitted} == {
        "omitted 1 image: they have no label, so they may not be labelled yet",
        "omitted 1 instance: there is no box, and the labelled keypoints do not span one",
    }


def test_scorer_of_the_project_is_read(tmp_path):
    write(tmp_path, *HEADER, ROW)
    other = write(tmp_path, *HEADER, "labeled-data/film/img0.png,1,2,3,4", name="CollectedData_you.csv")
    assert points_of(read(tmp_path))["nose"] == (*CENTRE_XY, 2)
    write(tmp_path, *HEADER, ROW, config="bodyparts: [nose]\nscorer: nobody\n")
    with pytest.raises(AnnotationError, match="several scorers: CollectedData_me, CollectedData_you"):
        read(tmp_path)
    assert points_of(read(other))["nose"] == (1.5, 2.5, 2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "1,2"], "must begin with the lines 'scorer', 'bodyparts' and 'coords'"),
        ([], "must begin with"),
        ([*HEADER, "labeled-data/film/img0.png,1,2"], "all lines must have 5 values"),
        ([*HEADER, ROW, ROW], "another image has the same file"),
        ([*HEADER, "labeled-data/film/img0.png,1,x,3,4", "labeled-data/film/gone.png,1,2,3,4"], "2 invalid entries"),
    ],
)
def test_invalid_tables_are_refused_in_words(tmp_path, lines, message):
    path = write(tmp_path, *lines)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(path)
    assert caught.value.hint


@pytest.mark.parametrize("config", ["", "- a\n", "a: [", "Task: x\n"])
def test_invalid_projects_are_refused_in_words(tmp_path, config):
    (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
    with pytest.raises(AnnotationError) as caught:
        read(tmp_path)
    assert caught.value.hint


def write_hdf5(path, columns, index, values):
    """Writes a table as pandas does in its format "fixed"."""
    levels = [sorted(set(level)) for level in zip(*columns, strict=True)]
    with h5py.File(path, "w") as file:
        group = file.create_group("df_with_missing")
        group.attrs["nblocks"] = 1
        group.attrs["block0_items_nlevels"] = len(levels)
        group.attrs["axis1_nlevels"] = len(index[0])
        group["block0_values"] = np.float64(values)
        indices = {"block0_items": (columns, levels)}
        if len(index[0]) == 1:
            group["axis1"] = np.array([entry[0] for entry in index], "S")
        else:
            indices["axis1"] = (index, [sorted(set(level)) for level in zip(*index, strict=True)])
        for name, (entries, of) in indices.items():
            for number, level in enumerate(of):
                group[f"{name}_level{number}"] = np.array(level, "S")
                group[f"{name}_label{number}"] = [level.index(entry[number]) for entry in entries]


@pytest.mark.parametrize("index", [[("labeled-data/film/img0.png",)], [("labeled-data", "film", "img0.png")]])
@pytest.mark.parametrize("individuals", [(), ("a", "b")])
def test_hdf5_is_the_same_as_csv(tmp_path, index, individuals):
    parts = [(part, axis) for part in ("nose", "tail") for axis in "xy"]
    columns = [("me", one, *part) for one in individuals for part in parts] or [("me", *part) for part in parts]
    write(tmp_path, *HEADER, ROW).unlink()
    path = tmp_path / "labeled-data/film/CollectedData_me.h5"
    write_hdf5(path, columns, index, [[*BRIGHT_XY, 30, 25, np.nan, np.nan, 1, 2][: len(columns)]])
    for labels in (read(path), read(tmp_path)):
        assert points_of(labels) == {"nose": (*CENTRE_XY, 2), "tail": (30.5, 25.5, 2)}


def test_hdf5_of_pandas(tmp_path):
    pytest.importorskip("tables", reason="pandas needs PyTables to write HDF5")
    pandas = pytest.importorskip("pandas")
    path = write(tmp_path, *HEADER, ROW)
    columns = pandas.MultiIndex.from_product(
        [["me"], ["nose", "tail"], ["x", "y"]], names=["scorer", "bodyparts", "coords"]
    )
    table = pandas.DataFrame([[*BRIGHT_XY, 30.0, 25.0]], index=["labeled-data/film/img0.png"], columns=columns)
    table.to_hdf(path.with_suffix(".h5"), key="df_with_missing")
    assert points_of(read(path.with_suffix(".h5"))) == points_of(read(path))


def test_damaged_hdf5_is_refused_in_words(tmp_path):
    path = tmp_path / "CollectedData_me.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(AnnotationError, match="cannot read") as caught:
        read(path)
    assert "CSV" in caught.value.hint
