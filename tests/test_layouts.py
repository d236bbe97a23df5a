"""Layouts: pairs are found however they lie, and what is unclear or left over is said."""

# A split may be absent; each test knows better.
# mypy: disable-error-code="union-attr"

import os
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.errors import DataError
from pix2pix.layouts import find_pairs
from pix2pix.pairs import check_pairs
from pix2pix.training_config import TrainingConfig

RED, BLUE = (255, 0, 0), (0, 0, 255)


def save(path, color=RED, size=(4, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, np.zeros((size[1], size[0], 4), np.uint8))
    else:
        Image.new("RGB", size, color).save(path)
    return path


def side_by_side(path):
    """A red left half, a blue right one."""
    picture = Image.new("RGB", (8, 4), RED)
    picture.paste(BLUE, (4, 0, 8, 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def find(folder, split="train", **flags) -> Any:
    return find_pairs(TrainingConfig(train_data_dir=str(folder), **flags), split)


def colors(source, index=0):
    return tuple(None if side is None else side.getpixel((1, 1)) for side in source.load(index))


# ---- the four layouts, by themselves and by flag ----------------------------------------------------------


@pytest.mark.parametrize("layout", ["auto", "side_by_side"])
def test_files_twice_as_wide_as_high_are_pairs_side_by_side(tmp_path, layout):
    for split in ("train", "val"):
        side_by_side(tmp_path / split / f"{split}.png")
    source = find(tmp_path, layout=layout)
    assert (source.layout, source.names) == ("side_by_side", ["train.png"])
    assert colors(source) == (RED, BLUE)
    assert colors(find(tmp_path, layout=layout, direction="BtoA")) == (BLUE, RED)
    assert find(tmp_path, "val", layout=layout).names == ["val.png"]


@pytest.mark.parametrize("layout", ["auto", "two_folders"])
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("train/A", "train/B"),
        ("A/train", "B/train"),
        ("trainA", "trainB"),
        ("A", "B"),
        ("train/input", "train/target"),
        ("source", "target"),
    ],
)
def test_two_folders_are_paired_by_stem(tmp_path, a, b, layout):
    for stem in ("y", "x", "sub/x"):
        save(tmp_path / a / f"{stem}.jpg", RED)
        save(tmp_path / b / f"{stem}.png", BLUE)
    source = find(tmp_path, layout=layout)
    assert (source.layout, source.names) == ("two_folders", ["sub/x.jpg", "x.jpg", "y.jpg"])
    assert colors(source, 2)[1] == BLUE
    assert colors(find(tmp_path, layout=layout, direction="BtoA"), 2)[0] == BLUE
    assert not source.ignored


@pytest.mark.parametrize(("a", "b"), [("val/A", "val/B"), ("A/val", "B/val"), ("valA", "valB")])
def test_two_folders_of_validation_are_found(tmp_path, a, b):
    for folder in (a, b, a.replace("val", "train"), b.replace("val", "train")):
        save(tmp_path / folder / f"{folder.replace('/', '-').strip('ABab-')}.png")
    assert find(tmp_path, "val").names == ["val.png"]
    assert find(tmp_path, "train").names == ["train.png"]


@pytest.mark.parametrize("layout", ["auto", "photos"])
@pytest.mark.parametrize("task", ["colorize", "sketch"])
def test_photos_are_targets_where_the_task_makes_the_input(tmp_path, layout, task):
    save(tmp_path / "train" / "a.png", size=(6, 4))
    source = find(tmp_path, layout=layout, task=task)
    assert (source.layout, colors(source)) == ("photos", (None, RED))


def test_raw_arrays_beside_pictures_are_paired_by_stem(tmp_path):
    save(tmp_path / "A" / "x.npy")
    save(tmp_path / "B" / "x.png", BLUE)
    x, y = find(tmp_path, input_color="raw", input_channels=4).load(0)
    assert (x.shape, y.getpixel((0, 0))) == ((4, 4, 4), BLUE)


def test_raw_arrays_may_lie_side_by_side(tmp_path):
    save(tmp_path / "x.npy", size=(8, 4))
    source = find(tmp_path)
    assert source.layout == "side_by_side"
    assert source.load(0)[0].shape == (4, 4, 4)


def test_without_data_flags_the_drawn_town_is_learned_and_validated_on_other_scenes():
    config = TrainingConfig(toy_pairs=3, resolution=16, load_size=20)
    train, validation = (find_pairs(config, split) for split in ("train", "val"))
    assert (len(train.names), train.load(0)[0].size) == (3, (20, 20))
    assert validation.load(0)[0].size == (16, 16)
    assert not set(train.names) & set(validation.names)


def test_order_and_names_do_not_depend_on_the_folder_or_its_listing(tmp_path):
    for name in ("b.png", "sub/z.png", "c.png"):
        side_by_side(tmp_path / name)
    assert find(tmp_path).names == find(os.path.relpath(tmp_path)).names == ["b.png", "c.png", "sub/z.png"]


def test_linked_folders_are_followed_once(tmp_path):
    side_by_side(tmp_path / "elsewhere" / "x.png")
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "pairs", target_is_directory=True)
    assert find(tmp_path / "pairs").names == ["link/x.png"]


# ---- splits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_validation_goes_by_several_names(tmp_path, name):
    side_by_side(tmp_path / "train" / "t.png")
    side_by_side(tmp_path / name / "v.png")
    assert find(tmp_path, "val").names == ["v.png"]
    assert find(tmp_path, "validation").names == ["v.png"]


def test_there_may_be_no_validation_split(tmp_path):
    side_by_side(tmp_path / "train" / "t.png")
    assert find(tmp_path, "val") is None


def test_a_folder_without_splits_is_training_data(tmp_path):
    side_by_side(tmp_path / "x.png")
    assert find(tmp_path).names == ["x.png"]
    assert find(tmp_path, "val") is None


def test_any_folder_can_be_a_split(tmp_path):
    side_by_side(tmp_path / "winter" / "x.png")
    side_by_side(tmp_path / "test" / "y.png")
    assert find(tmp_path, "winter", train_split="winter").names == ["x.png"]
    assert find(tmp_path, "test", train_split="winter").names == ["y.png"]


@pytest.mark.parametrize("there", ["val/x.png", "trainA/x.png", "testA/x.png", "A/test/x.png"])
def test_a_wrong_train_split_is_refused_with_what_there_is(tmp_path, there):
    side_by_side(tmp_path / there)
    with pytest.raises(
        DataError, match=rf"no split 'trian' in .*{there.removesuffix('/x.png')}.*--train_split"
    ):
        find(tmp_path, "trian", train_split="trian")


def test_pictures_outside_of_a_split_that_was_named_are_not_taken_for_it(tmp_path):
    side_by_side(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"no split 'winter' in .*; there is no folder"):
        find(tmp_path, "winter", train_split="winter")


@pytest.mark.parametrize("there", ["val/x.png", "A/test/x.png", "testing/x.png"])
def test_splits_without_train_are_not_taken_for_training_data(tmp_path, there):
    side_by_side(tmp_path / there)
    with pytest.raises(DataError, match="no split 'train'"):
        find(tmp_path, layout="side_by_side" if there[0] != "A" else "auto")


# ---- what cannot be paired --------------------------------------------------------------------------------


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"--train_data_dir .*nowhere is not a folder. Give the folder"):
        find(tmp_path / "nowhere")


@pytest.mark.parametrize("layout", ["auto", "side_by_side", "photos"])
def test_an_empty_folder_is_refused(tmp_path, layout):
    with pytest.raises(DataError, match=r"no picture in .*there is nothing, and pictures end in .*\.png"):
        find(tmp_path, layout=layout, task="sketch")


def test_empty_folders_a_and_b_are_refused(tmp_path):
    for side in "AB":
        (tmp_path / side).mkdir()
    with pytest.raises(DataError, match="no picture in"):
        find(tmp_path)


def test_a_folder_of_other_files_is_refused_with_what_there_is(tmp_path):
    for name in ("a.heic", "b.heic", "c.parquet"):
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"2 \.heic, 1 \.parquet.*--dataset_name"):
        find(tmp_path)


def test_unpaired_files_are_named_from_both_sides(tmp_path):
    for name in ("A/x", "A/lonely", "B/x", "B/other"):
        save(tmp_path / f"{name}.png")
    with pytest.raises(DataError) as error:
        find(tmp_path)
    text = str(error.value)
    assert text.startswith("2 files are not paired one to one by their stems")
    assert f"{tmp_path / 'A' / 'lonely.png'} has no partner in {tmp_path / 'B'}" in text
    assert f"{tmp_path / 'B' / 'other.png'} has no partner in {tmp_path / 'A'}" in text


def test_two_files_of_one_stem_are_named(tmp_path):
    for name in ("A/x.jpg", "A/x.png", "B/x.png"):
        save(tmp_path / name)
    with pytest.raises(DataError, match=r"x\.jpg and x\.png have the same stem: which one is meant\?"):
        find(tmp_path)


@pytest.mark.parametrize("there", ["train/A", "A/train", "trainA", "A"])
def test_one_folder_without_the_other_is_refused_even_where_photos_would_do(tmp_path, there):
    save(tmp_path / there / "x.png")
    missing = tmp_path / "B".join(there.rsplit("A", 1))
    with pytest.raises(DataError, match=f"There is {tmp_path / there}, but no {missing}"):
        find(tmp_path, task="colorize")


@pytest.mark.parametrize(
    "others", [("A/train", "B/train"), ("train/input", "train/target"), ("trainA", "trainB")]
)
def test_folders_of_pairs_at_several_places_are_refused(tmp_path, others):
    for side in ("train/A", "train/B", *others):
        save(tmp_path / side / "x.png")
    with pytest.raises(DataError, match=r"several pairs of folders: .*; .*Which is meant"):
        find(tmp_path)


def test_two_folders_asked_for_and_not_there_are_refused(tmp_path):
    side_by_side(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"--layout two_folders: .* has no two folders named like A and B"):
        find(tmp_path, layout="two_folders")


def test_a_folder_of_squares_is_not_clear_without_a_task_that_takes_photos(tmp_path):
    save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x.png is 4x4\).*--layout side_by_side.*--task colorize"):
        find(tmp_path)


def test_photos_need_a_task_that_makes_the_input(tmp_path):
    save(tmp_path / "x.png")
    with pytest.raises(
        DataError, match=r"task 'map' does not make its input .* --task colorize or --task sketch"
    ):
        find(tmp_path, layout="photos", task="map")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"direction": "BtoA"}, "--direction BtoA"),
        ({"input_color": "raw", "input_channels": 3}, "--input_color raw"),
    ],
)
def test_flags_without_meaning_for_photos_are_refused(tmp_path, flags, said):
    save(tmp_path / "x.png")
    with pytest.raises(DataError, match=f"{said} has no meaning"):
        find(tmp_path, task="sketch", **flags)


def test_a_photo_among_pairs_side_by_side_is_named(tmp_path):
    for number in range(5):
        side_by_side(tmp_path / f"{number}.png")
    save(tmp_path / "photo.png", size=(6, 4))
    with pytest.raises(
        DataError, match=r"1 of 6 pairs.*\n.*photo.png is 6x4 pixels, where most are twice as wide"
    ):
        check_pairs(find(tmp_path))
    check_pairs(find(tmp_path, layout="side_by_side"))


def test_one_damaged_file_does_not_change_the_layout(tmp_path):
    for number in range(3):
        side_by_side(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes(b"damaged")
    source = find(tmp_path, task="colorize")
    assert source.layout == "side_by_side"
    with pytest.raises(DataError, match=r"1 of 3 pairs.*\n.*0\.png"):
        check_pairs(source)


def test_the_shape_that_is_seen_tells_the_layout_not_the_stored_one(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 8)).save(tmp_path / "x.jpg", exif=exif)
    assert find(tmp_path).layout == "side_by_side"


# ---- what is left over ------------------------------------------------------------------------------------


def ignored(source, folder):
    return sorted(path.relative_to(folder).as_posix() for path in source.ignored)


def test_files_that_are_no_pictures_are_left_over_but_not_documents_and_hidden_ones(tmp_path):
    side_by_side(tmp_path / "x.png")
    for name in ("y.heic", "z", "sub.tar", ".hidden.png", "README.md", "LICENSE", "notes.txt", "Thumbs.db"):
        (tmp_path / name).touch()
    (tmp_path / ".cache").mkdir()
    side_by_side(tmp_path / ".cache" / "c.png")
    source = find(tmp_path)
    assert source.names == ["x.png"]
    assert ignored(source, tmp_path) == ["sub.tar", "y.heic", "z"]


def test_what_lies_beside_the_two_folders_is_left_over(tmp_path):
    for name in ("A/x.png", "B/x.png", "C/x.png", "y.png", "A/x.xcf"):
        save(tmp_path / "train" / name) if name.endswith("png") else (tmp_path / "train" / name).touch()
    assert ignored(find(tmp_path), tmp_path / "train") == ["A/x.xcf", "C/x.png", "y.png"]


def test_another_split_is_not_left_over(tmp_path):
    for name in ("A/train/x", "B/train/x", "A/val/v", "B/val/v"):
        save(tmp_path / f"{name}.png")
    assert ignored(find(tmp_path), tmp_path) == []


def test_a_dead_link_to_a_picture_is_missing_not_absent(tmp_path):
    side_by_side(tmp_path / "x.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png: no such file"):
        check_pairs(find(tmp_path))
