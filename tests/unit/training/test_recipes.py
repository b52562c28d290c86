"""Recipes that come with the package."""

import tomllib

import pytest

from e2pose.cli.app import main
from e2pose.core.errors import OptionError
from e2pose.training.recipe import load_recipe
from e2pose.training.recipes import FOLDER, find_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_is_loaded_by_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe(name).name == name or name.startswith("coco-")


def test_finetune_comes_with_the_package():
    assert "finetune" in recipe_names()
    assert find_recipe("finetune").parent == FOLDER


@pytest.mark.parametrize("path", ["my.toml", "recipes/finetune.toml", "folder/finetune", ""])
def test_other_paths_are_not_changed(path):
    assert find_recipe(path).name == path.rpartition("/")[2]
    assert find_recipe(path).parent != FOLDER


def test_file_takes_precedence_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "finetune").write_text("name = 'mine'\n")
    (tmp_path / "smoke").mkdir()
    assert find_recipe("finetune").resolve() == tmp_path / "finetune"
    assert find_recipe("smoke").parent == FOLDER


@pytest.mark.parametrize("name", ["finetun", "recipes/finetune.toml", "gone.toml"])
def test_unknown_name_lists_the_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=f"cannot read the recipe '{name}'") as caught:
        load_recipe(name)
    assert ", ".join(recipe_names()) in caught.value.hint


def test_train_prints_the_file_of_a_recipe(capsys):
    assert main(["train", "finetune", "--show"]) == 0
    printed = capsys.readouterr().out
    assert printed == (FOLDER / "finetune.toml").read_text(encoding="utf-8")
    assert tomllib.loads(printed)["name"] == "finetune"


def test_train_names_the_recipes_if_one_is_unknown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "unknown"]) == 2
    assert "finetune" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["unknown", "unknown.toml", "."])
def test_unknown_recipe_cannot_be_printed(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", name, "--show"]) == 2
    assert capsys.readouterr().out == ""
