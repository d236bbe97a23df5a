"""The doctor: each fault put into drawn pairs is named, and nothing else is."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from pix2pix.doctor import diagnose, find_splits
from pix2pix.doctor_alignment import agreement
from pix2pix.doctor_duplicates import Twins, groups
from pix2pix.doctor_sides import swap_scores
from pix2pix.errors import DataError
from pix2pix.toy import draw_pair
from pix2pix.training_config import TrainingConfig

SIZE = 64


@pytest.fixture(scope="module")
def drawn():
    return {task: [draw_pair(task, index, SIZE) for index in range(32)] for task in ("map", "facades")}


@pytest.fixture
def town(tmp_path, drawn):
    """28 training and 4 validation pairs of aerial photo and map, side by side."""
    write(tmp_path / "town", drawn["map"])
    return tmp_path / "town"


def write(folder, pairs):
    for number, pair in enumerate(pairs):
        save(folder / ("train" if number < 28 else "val") / f"{number:02}.png", *pair)


def save(path, a, b, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    both = Image.new("RGB", (2 * a.width, a.height))
    both.paste(a, (0, 0))
    both.paste(b, (a.width, 0))
    both.save(path, **how)


def sides(path):
    with Image.open(path) as both:
        width, height = both.size
        return both.crop((0, 0, width // 2, height)), both.crop((width // 2, 0, width, height))


def shift(picture, right, down):
    return Image.fromarray(np.roll(np.asarray(picture), (down, right), (0, 1)))


def examine(folder, **flags):
    return diagnose(*find_splits(TrainingConfig(train_data_dir=str(folder), **flags)))


def named(diagnosis):
    """Faults as {kind: labels}."""
    return {f.kind: [case.label for case in f.cases] for f in diagnosis.findings if f.fault}


# ---- nothing is wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["map", "facades"])
@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_good_pairs_are_healthy(tmp_path, drawn, task, direction):
    write(tmp_path, drawn[task])
    diagnosis = examine(tmp_path, direction=direction)
    assert diagnosis.healthy, named(diagnosis)
    assert not diagnosis.findings
    assert task == "facades" or not diagnosis.unclear  # labels of 64 pixels are too coarse to align by
    assert diagnosis.splits == {"train": 28, "val": 4}
    assert diagnosis.sizes == {"64x64": 64}
    assert diagnosis.modes == {"RGB": 64}


def test_photos_alone_are_judged_without_their_input(tmp_path, drawn):
    for number, (photo, _) in enumerate(drawn["map"]):
        (tmp_path / "train").mkdir(exist_ok=True)
        photo.save(tmp_path / "train" / f"{number}.png")
    drawn["map"][3][0].save(tmp_path / "train" / "again.jpg", quality=80)
    diagnosis = examine(tmp_path, task="colorize")
    assert diagnosis.layout == "photos"
    assert named(diagnosis) == {"duplicate": ["train: again.jpg"]}


def test_16_bit_arrays_are_judged_like_pictures(tmp_path, drawn):
    for number, pair in enumerate(drawn["map"][:24]):
        for side, picture in zip("AB", pair, strict=True):
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "train" / side / f"{number}.npy", np.asarray(picture, np.uint16) * 257)
    np.save(tmp_path / "train" / "B" / "5.npy", np.full((SIZE, SIZE, 3), 700, np.uint16))
    diagnosis = examine(tmp_path)
    assert named(diagnosis) == {"constant": ["train: 5.npy"]}
    assert diagnosis.modes == {"array of 3": 48}


# ---- files ------------------------------------------------------------------------------------------------


def test_unreadable_files_are_named_and_the_rest_is_examined(town):
    (town / "train" / "03.png").write_bytes(b"")
    (town / "train" / "04.png").write_text("no picture")
    whole = (town / "val" / "29.png").read_bytes()
    (town / "val" / "29.png").write_bytes(whole[: len(whole) // 2])
    save(
        town / "train" / "05.png",
        *(shift(side, 9 * n, 0) for n, side in enumerate(sides(town / "train/05.png"))),
    )
    assert named(examine(town)) == {
        "unusable": ["train: 03.png", "train: 04.png", "val: 29.png"],
        "misaligned": ["train: 05.png"],
    }


def test_a_jpeg_whose_data_ran_out_is_named(town):
    for number in (6, 7):
        save(town / "train" / f"{number:02}.jpg", *sides(town / "train" / f"{number:02}.png"), quality=95)
        (town / "train" / f"{number:02}.png").unlink()
    damaged = Image.open(town / "train" / "06.jpg")
    damaged.paste((128, 128, 128), (0, 40, 128, 64))  # what decoders put where there is nothing
    damaged.save(town / "train" / "06.jpg", quality=95)
    assert named(examine(town)) == {"unusable": ["train: 06.jpg"]}


def test_sides_of_unequal_size_are_named(tmp_path, drawn):
    for number, pair in enumerate(drawn["map"][:24]):
        for side, picture in zip("AB", pair, strict=True):
            (tmp_path / "train" / side).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "train" / side / f"{number}.png")
    drawn["map"][2][1].resize((32, 64)).save(tmp_path / "train" / "B" / "2.png")
    found = examine(tmp_path)
    assert named(found) == {"unusable": ["train: 2.png"]}
    assert "64x64 and 32x64" in found.findings[0].cases[0].detail


def test_files_of_no_pair_are_named(town):
    (town / "train" / "notes.psd").write_bytes(b"8BPS")
    assert named(examine(town)) == {"ignored": [f"train: {town / 'train' / 'notes.psd'}"]}


def test_an_unpaired_file_does_not_hide_the_other_split(tmp_path, drawn):
    for number, pair in enumerate(drawn["map"]):
        for side, picture in zip("AB", pair, strict=True):
            folder = tmp_path / ("train" if number < 28 else "val") / side
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number}.png")
    (tmp_path / "val" / "A" / "30.png").unlink()
    diagnosis = examine(tmp_path)
    assert diagnosis.splits == {"train": 28}
    (finding,) = diagnosis.findings
    assert (finding.kind, finding.fault) == ("unpaired", True)
    assert "30.png has no partner" in finding.cases[0].detail


def test_a_folder_without_pairs_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no picture"):
        find_splits(TrainingConfig(train_data_dir=str(tmp_path)))


def test_few_training_pairs_are_a_finding(tmp_path, drawn):
    write(tmp_path, drawn["map"][:5])
    diagnosis = examine(tmp_path)
    assert named(diagnosis) == {"few": []}
    assert "only 5 training pairs" in diagnosis.findings[0].title
    assert any("swapped" in reason for reason in diagnosis.unclear)  # five are too few to tell


def test_constant_pictures_are_named_with_their_side(town):
    a, b = sides(town / "train" / "08.png")
    save(town / "train" / "08.png", a, Image.new("RGB", b.size, (9, 9, 9)))
    noise = np.random.default_rng(0).integers(100, 103, (SIZE, SIZE, 3), np.uint8)
    save(town / "val" / "30.png", Image.fromarray(noise), sides(town / "val" / "30.png")[1])
    diagnosis = examine(town)
    assert named(diagnosis)["constant"] == ["train: 08.png", "val: 30.png"]
    (finding,) = [finding for finding in diagnosis.findings if finding.kind == "constant"]
    assert [case.detail for case in finding.cases] == ["target", "input"]


# ---- shifted and swapped ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "down"), [(7, 0), (0, -6), (-5, 5)])
def test_the_shift_of_a_pair_is_told(town, right, down):
    for name, moved in (("09", 1), ("17", 0)):
        pair = list(sides(town / "train" / f"{name}.png"))
        sign = 1 if moved else -1
        pair[moved] = shift(pair[moved], sign * right, sign * down)
        save(town / "train" / f"{name}.png", *pair)
    diagnosis = examine(town)
    assert named(diagnosis) == {"misaligned": ["train: 09.png", "train: 17.png"]}
    for case in diagnosis.findings[0].cases:
        assert case.shift == pytest.approx((right, down), abs=1)


def test_a_set_that_is_shifted_as_a_whole_is_one_finding(tmp_path, drawn):
    write(tmp_path, [(a, shift(b, 6, 0)) for a, b in drawn["map"]])
    (finding,) = examine(tmp_path).findings
    assert (finding.kind, list(finding.cases)) == ("misaligned", [])
    assert "6 px to the right" in finding.title


def test_sides_that_have_nothing_in_common_are_said_to_be_unclear(tmp_path, drawn):
    pairs = drawn["map"]
    strangers = [(a, pairs[(number + 7) % len(pairs)][1]) for number, (a, _) in enumerate(pairs)]
    write(tmp_path, strangers)
    diagnosis = examine(tmp_path)
    assert diagnosis.healthy
    assert any("alignment" in reason for reason in diagnosis.unclear)


def test_a_picture_agrees_with_itself_moved():
    photo = draw_pair("map", 3, 128)[0]
    found = agreement(photo, shift(photo, -11, 4))
    assert found.shift == pytest.approx((-11, 4), abs=0.5)
    assert found.best > 3 * max(found.in_place, 1)


@pytest.mark.parametrize("task", ["map", "facades"])
def test_swapped_sides_are_named(tmp_path, drawn, task):
    pairs = [pair[::-1] if number in (2, 11, 29) else pair for number, pair in enumerate(drawn[task])]
    write(tmp_path, pairs)
    assert named(examine(tmp_path)) == {"swapped": ["train: 02.png", "train: 11.png", "val: 29.png"]}


def test_sides_that_look_alike_are_said_to_be_unclear(tmp_path, drawn):
    photos = [a for a, _ in drawn["map"]]
    write(tmp_path, [(a, Image.eval(a, lambda level: level)) for a in photos])
    diagnosis = examine(tmp_path)
    assert diagnosis.healthy
    assert any("swapped" in reason for reason in diagnosis.unclear)


def test_random_features_tell_nothing_about_sides():
    told = 0
    for seed in range(20):
        values = np.random.default_rng(seed).normal(size=(2, 40, 13))
        told += swap_scores(*values) is not None
    assert told == 0


# ---- twice ------------------------------------------------------------------------------------------------


def copies(town):
    a, b = sides(town / "train" / "10.png")
    return {
        "same pixels": lambda path: save(path, a, b),
        "nearly the same": lambda path: save(path.with_suffix(".jpg"), a, b, quality=85),
        "resized": lambda path: save(path, a.resize((96, 96)), b.resize((96, 96))),
        "mirrored": lambda path: save(path, ImageOps.mirror(a), ImageOps.mirror(b)),
    }


@pytest.mark.parametrize("how", ["same pixels", "nearly the same", "resized", "mirrored"])
@pytest.mark.parametrize("split", ["train", "val"])
def test_copies_are_named_with_their_original(town, split, how):
    copies(town)[how](town / split / "x.png")
    diagnosis = examine(town)
    (finding,) = diagnosis.findings
    assert finding.kind == ("duplicate" if split == "train" else "leaked")
    (case,) = finding.cases
    assert case.label.startswith(f"{split}: x.")
    assert case.detail.endswith("as train: 10.png")
    assert case.detail.startswith("nearly the same" if how == "resized" else how)
    assert case.twin == ("train", 10)


def test_three_copies_are_one_group():
    assert groups([Twins(1, 4, ""), Twins(4, 9, ""), Twins(2, 3, "")]) == [[1, 4, 9], [2, 3]]


def test_an_input_with_several_targets_is_to_be_known_and_no_fault(tmp_path, drawn):
    pairs = drawn["map"]
    scenes = [(pairs[number // 2][0], pair[1]) for number, pair in enumerate(pairs)]
    write(tmp_path, scenes)
    diagnosis = examine(tmp_path)
    assert "shared_input" in [finding.kind for finding in diagnosis.findings]
    assert not {"duplicate", "leaked"} & set(named(diagnosis))


def test_frames_of_recurring_scenes_are_no_duplicates_but_equal_pixels_are(tmp_path, drawn):
    pairs = drawn["map"]
    scenes = [(pairs[number // 2][0], pair[1]) for number, pair in enumerate(pairs)]
    write(tmp_path, scenes)
    a, b = scenes[4]
    save(tmp_path / "train" / "near.jpg", a, b, quality=90)
    save(tmp_path / "train" / "same.png", a, b)
    diagnosis = examine(tmp_path)
    assert named(diagnosis).get("duplicate") == ["train: same.png"]
    assert "close" in [finding.kind for finding in diagnosis.findings if not finding.fault]
