"""Building pairs: two folders become a data set for training and for `datasets`; nothing goes silently."""

import json
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from pix2pix import pair_building
from pix2pix.errors import ConfigError, DataError
from pix2pix.layouts import find_pairs
from pix2pix.pair_building import Building, build
from pix2pix.pair_matching import Match, assign_splits, match, photos
from pix2pix.pairs import check_pairs
from pix2pix.tasks import lightness
from pix2pix.toy import draw_pair
from pix2pix.training_config import TrainingConfig


def put(path, picture=None, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or Image.new("RGB", (16, 16), (200, 30, 30))).save(path, **how)
    return path


@pytest.fixture
def folders(tmp_path):
    """Ten drawn pairs in two folders: JPEG photos and PNG maps."""
    for number in range(10):
        photo, map_ = draw_pair("map", number, 32)
        put(tmp_path / "photos" / f"p{number}.jpg", photo)
        put(tmp_path / "maps" / f"p{number}.png", map_)
    return tmp_path / "photos", tmp_path / "maps"


def pair(folders, output, strip=None, val=None, test=None, seed=0, **building):
    matches = match(folders[0], folders[1], strip)
    built = build(assign_splits(matches.pairs, val, test, seed), output, Building(**building))
    return built, [*matches.left_out, *built.left_out]


def source(folder, split="train", **flags) -> Any:
    return find_pairs(TrainingConfig(train_data_dir=str(folder), **flags), split)


# ---- what is written --------------------------------------------------------------------------------------


def test_training_reads_what_was_written(folders, tmp_path):
    built, left_out = pair(folders, tmp_path / "out")
    assert (built.splits, left_out) == ({"train": 8, "val": 1, "test": 1}, [])
    names = set()
    for split, count in built.splits.items():
        found = source(tmp_path / "out", split)
        check_pairs(found)
        assert found.layout == "columns"
        assert len(found.names) == count
        assert not found.ignored
        names |= set(found.names)
        for index, name in enumerate(found.names):
            number = int(name.removeprefix("input/p").removesuffix(".jpg"))
            assert np.array_equal(found.load(index)[1], np.asarray(draw_pair("map", number, 32)[1]))
    assert len(names) == 10


def test_datasets_reads_what_was_written(folders, tmp_path):
    pair(folders, tmp_path / "out")
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "c")
    )
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 8, "validation": 1, "test": 1}
    rows = loaded["train"]
    assert sorted(rows.column_names) == ["input", "target"]
    first = source(tmp_path / "out").load(0)
    assert np.array_equal(rows[0]["input"].convert("RGB"), first[0])
    assert np.array_equal(rows[0]["target"].convert("RGB"), first[1])


def test_files_are_copied_byte_for_byte(folders, tmp_path):
    pair(folders, tmp_path / "out", val=0, test=0)
    for side, folder in zip(("input", "target"), folders, strict=True):
        for file in folder.iterdir():
            assert (tmp_path / "out" / "train" / side / file.name).read_bytes() == file.read_bytes()


def test_a_picture_that_lies_on_its_side_is_written_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("RGB", (16, 8), (0, 0, 255))
    put(tmp_path / "a" / "x.jpg", lying, exif=exif)
    put(tmp_path / "b" / "x.png", Image.new("RGB", (8, 16)))
    built, left_out = pair((tmp_path / "a", tmp_path / "b"), tmp_path / "out")
    assert (built.splits, left_out) == ({"train": 1}, [])
    with Image.open(tmp_path / "out" / "train" / "input" / "x.png") as written:
        assert written.size == (8, 16)
        assert not written.getexif().get(0x0112)


def test_side_by_side_is_one_file_a_pair(folders, tmp_path):
    built, _ = pair(folders, tmp_path / "out", side_by_side=True)
    assert built.splits == {"train": 8, "val": 1, "test": 1}
    found = source(tmp_path / "out")
    assert (found.layout, len(found.names)) == ("side_by_side", 8)
    number = int(found.names[0].removeprefix("p").removesuffix(".png"))
    assert np.array_equal(found.load(0)[1], np.asarray(draw_pair("map", number, 32)[1]))


@pytest.mark.parametrize("task", ["colorize", "sketch"])
def test_photos_get_the_input_that_the_task_makes(folders, tmp_path, task):
    matches = photos(folders[0])
    build(assign_splits(matches.pairs, 0, 0, 0), tmp_path / "out", Building(task=task))
    found = source(tmp_path / "out")
    assert len(found.names) == 10
    made, target = found.load(0)
    assert (tmp_path / "out/train/target/p0.jpg").read_bytes() == (folders[0] / "p0.jpg").read_bytes()
    if task == "colorize":
        assert np.array_equal(made, np.asarray(lightness(target)))
    else:
        assert np.asarray(made).max() == 255


def test_a_task_that_makes_no_input_is_refused():
    with pytest.raises(ConfigError, match="colorize and sketch do"):
        Building(task="map")


# ---- splits -----------------------------------------------------------------------------------------------


def test_folders_for_splits_are_taken_over(tmp_path):
    for place in ("train/s/1", "train/2", "validation/1", "testing/3"):
        for side in "ab":
            put(tmp_path / side / f"{place}.png")
    built, _ = pair((tmp_path / "a", tmp_path / "b"), tmp_path / "out")
    assert built.splits == {"train": 2, "val": 1, "test": 1}
    assert (tmp_path / "out" / "train" / "input" / "s" / "1.png").is_file()
    with pytest.raises(ConfigError, match="leave --val and --test away"):
        pair((tmp_path / "a", tmp_path / "b"), tmp_path / "other", val=0.5)


def test_the_seed_decides_who_is_drawn(tmp_path):
    pairs = [Match(f"p{number}", None, None, tmp_path) for number in range(40)]

    def held(seed, pairs=pairs):
        return [pair.key for pair in assign_splits(pairs, 0.25, 0.1, seed)["val"]]

    assert len(held(0)) == 10
    assert held(0) == held(0, pairs[::-1])
    assert held(0) != held(1)
    parts = assign_splits(pairs, 0.25, 0.1, 0)
    assert sorted(pair.key for part in parts.values() for pair in part) == sorted(pair.key for pair in pairs)


@pytest.mark.parametrize(("val", "test"), [(0.6, 0.4), (-0.1, 0.1), (1, 0), (float("nan"), 0)])
def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path, val, test):
    with pytest.raises(ConfigError, match="below 1"):
        assign_splits([Match("p", None, None, tmp_path)], val, test, 0)


# ---- names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "right"), [("_A", "_B"), ("-input", "-target"), ("_image", "_mask"), ("_label", "_photo")]
)
def test_known_endings_are_recognised(tmp_path, left, right):
    for number in range(3):
        put(tmp_path / "a" / f"{number}{left}.png")
        put(tmp_path / "b" / f"{number}{right}.jpg")
    matches = match(tmp_path / "a", tmp_path / "b")
    assert [found.key for found in matches.pairs] == ["0", "1", "2"]
    assert matches.strip == (left, right)
    assert not matches.left_out


def test_both_sides_may_lie_in_one_folder(tmp_path):
    for name in ("1_A", "1_B", "2_A", "2_B", "3_A", "cover"):
        put(tmp_path / "all" / f"{name}.png")
    matches = match(tmp_path / "all", tmp_path / "all")
    assert [found.key for found in matches.pairs] == ["1", "2"]
    assert [text.split(":")[0].rpartition("/")[2] for text in matches.left_out] == ["3_A.png", "cover.png"]


def test_endings_of_ones_own_are_named(tmp_path):
    put(tmp_path / "a" / "1_drawing.png")
    put(tmp_path / "b" / "1_real.png")
    with pytest.raises(DataError, match="1_drawing") as error:
        match(tmp_path / "a", tmp_path / "b")
    assert "1_real" in str(error.value)
    assert "--strip" in str(error.value)
    assert match(tmp_path / "a", tmp_path / "b", ("_drawing", "_real")).pairs[0].key == "1"


# ---- what is left out -------------------------------------------------------------------------------------


def test_what_is_left_out_is_said_file_by_file(folders, tmp_path):
    a, b = folders
    (b / "p1.png").unlink()
    put(a / "p2.png")
    (a / "p3.jpg").write_bytes((a / "p3.jpg").read_bytes()[:100])
    put(b / "p4.png", Image.new("RGB", (16, 32)))
    (b / "notes.psd").write_bytes(b"8BPS")
    np.save(a / "p5.npy", np.zeros((32, 32, 3), np.uint8))
    (a / "p5.jpg").unlink()
    built, left_out = pair((a, b), tmp_path / "out", val=0, test=0)
    assert built.splits == {"train": 5}
    said = "\n".join(sorted(left_out))
    assert len(left_out) == 6
    for words in ("p1.jpg: no partner", "same stem", "p3.jpg: cannot be read", "32x32 and 16x32",
                  "notes.psd: no picture", "p5.npy: an array"):  # fmt: skip
        assert words in said
    assert not list((tmp_path / "out").rglob("*p3*"))


def test_targets_are_fitted_when_asked_and_labels_get_no_new_colour(tmp_path):
    label = Image.new("RGB", (8, 8), (255, 0, 0))
    label.paste((0, 0, 255), (3, 0, 8, 8))
    put(tmp_path / "a" / "x.png", Image.new("RGB", (20, 12)))
    put(tmp_path / "b" / "x.png", label)
    built, left_out = pair((tmp_path / "a", tmp_path / "b"), tmp_path / "out", resize=True)
    assert (built.splits, left_out) == ({"train": 1}, [])
    with Image.open(tmp_path / "out" / "train" / "target" / "x.png") as fitted:
        assert fitted.size == (20, 12)
        assert {color for _, color in fitted.getcolors() or []} == {(255, 0, 0), (0, 0, 255)}


def test_nothing_usable_is_an_error_and_leaves_nothing(tmp_path):
    put(tmp_path / "a" / "x.png", Image.new("RGB", (20, 12)))
    put(tmp_path / "b" / "x.png")
    with pytest.raises(DataError, match="20x12 and 16x16"):
        pair((tmp_path / "a", tmp_path / "b"), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("missing", ["a", "b"])
def test_an_empty_folder_is_an_error(tmp_path, missing):
    for side in "ab":
        (tmp_path / side).mkdir()
        if side != missing:
            put(tmp_path / side / "x.png")
    with pytest.raises(DataError, match=f"no picture in .*{missing}"):
        match(tmp_path / "a", tmp_path / "b")


def test_a_folder_with_files_is_never_written_into(folders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("dear")
    with pytest.raises(ConfigError, match="not empty"):
        pair(folders, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    (tmp_path / "out" / "mine.txt").unlink()
    pair(folders, tmp_path / "out")  # an empty one is as good as none
    assert (tmp_path / "out" / "train").is_dir()


def test_an_interruption_leaves_nothing_half(folders, tmp_path):
    splits = assign_splits(match(*folders).pairs, 0, 0, 0)

    def interrupted(pairs):
        for number, found in enumerate(pairs):
            if number == 4:
                raise KeyboardInterrupt
            yield found

    with pytest.raises(KeyboardInterrupt):
        pair_building.build(splits, tmp_path / "out", Building(), interrupted)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "photos"]


def test_the_table_names_every_pair_once(folders, tmp_path):
    pair(folders, tmp_path / "out", val=0, test=0)
    rows = [json.loads(line) for line in (tmp_path / "out/train/metadata.jsonl").read_text().splitlines()]
    assert rows[3] == {"input_file_name": "input/p3.jpg", "target_file_name": "target/p3.png"}
    assert len(rows) == 10
