"""Pairs: every way of storing a picture is read right, and what cannot be used is named before training."""

# A loaded side may be a picture, an array or None; each test knows which.
# mypy: disable-error-code="union-attr, arg-type, index, list-item"

import io
import pickle

import datasets
import numpy as np
import pytest
from PIL import Image
from skimage import data as photos

from pix2pix import images
from pix2pix.config import ModelConfig
from pix2pix.errors import DataError, ImageError
from pix2pix.pairs import (
    Columns,
    Drawn,
    PairSource,
    Photos,
    Selected,
    SideBySide,
    TwoFiles,
    check_pairs,
    crop_resize,
    hold_out,
    load_picture,
    picture_size,
)


def noise(height=8, width=8, channels=3, seed=0, dtype=np.uint8):
    highest = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, highest, (height, width, channels), dtype, endpoint=True)


def photos_of(folder, **contents):
    """A source of files: a picture or an array is saved, bytes are written as they are, None is missing."""
    files = []
    for name, content in contents.items():
        files.append(folder / f"{name}{'.npy' if isinstance(content, np.ndarray) else '.png'}")
        if isinstance(content, bytes):
            files[-1].write_bytes(content)
        elif isinstance(content, np.ndarray):
            np.save(files[-1], content)
        elif content is not None:
            content.save(files[-1])
    return Photos(folder, files)


# ---- one pair ---------------------------------------------------------------------------------------------


def test_a_side_by_side_file_is_cut_in_the_middle_and_direction_says_which_half_is_input(tmp_path):
    pixels = noise(6, 12)
    file = tmp_path / "p.png"
    Image.fromarray(pixels).save(file)
    for direction, order in (("AtoB", 1), ("BtoA", -1)):
        sides = SideBySide(tmp_path, [file], direction).load(0)[::order]
        assert np.array_equal(np.asarray(sides[0]), pixels[:, :6])
        assert np.array_equal(np.asarray(sides[1]), pixels[:, 6:])


def test_side_by_side_halves_of_a_turned_photo_are_those_that_are_seen(tmp_path):
    pixels = noise(6, 12)
    exif = Image.Exif()
    exif[0x0112] = 8  # stored turned: shown after a quarter turn to the left
    file = tmp_path / "p.png"
    Image.fromarray(np.rot90(pixels, -1)).save(file, exif=exif)
    left, right = SideBySide(tmp_path, [file]).load(0)
    assert np.array_equal(np.hstack([left, right]), pixels)


@pytest.mark.parametrize("mode", ["I;16", "P", "LA", "CMYK"])
def test_side_by_side_halves_keep_their_mode(tmp_path, mode):
    if mode == "I;16":
        picture = Image.fromarray(noise(4, 8, 1, dtype=np.uint16)[..., 0])
    else:
        picture = Image.fromarray(noise(4, 8)).convert(mode)
    file = tmp_path / "p.tif"
    picture.save(file)
    halves = SideBySide(tmp_path, [file]).load(0)
    assert {half.mode for half in halves} == {mode}
    assert np.array_equal(np.hstack(halves), np.asarray(picture))


def test_two_files_are_a_pair_of_their_own_kinds(tmp_path):
    depth, photo = tmp_path / "a.npy", tmp_path / "a.png"
    np.save(depth, noise(4, 6, 5))
    Image.fromarray(noise(4, 6)).save(photo)
    source = TwoFiles(tmp_path, [(depth, photo)])
    x, y = source.load(0)
    assert (x.shape, y.size) == ((4, 6, 5), (6, 4))
    assert picture_size(x) == picture_size(y) == (6, 4)
    y, x = TwoFiles(tmp_path, [(depth, photo)], "BtoA").load(0)
    assert x.shape == (4, 6, 5)
    assert source.names == ["a.npy"]


def test_sources_can_be_sent_to_worker_processes(tmp_path):
    source = Selected(photos_of(tmp_path, a=Image.new("RGB", (4, 4)), b=Image.new("L", (4, 4))), [1])
    assert pickle.loads(pickle.dumps(source)).load(0)[1].mode == "L"


# ---- arrays -----------------------------------------------------------------------------------------------


def test_an_array_file_is_read_with_all_its_channels(tmp_path):
    np.save(tmp_path / "a.npy", noise(4, 5, 7, dtype=np.uint16))
    assert np.array_equal(load_picture(tmp_path / "a.npy"), noise(4, 5, 7, dtype=np.uint16))
    np.save(tmp_path / "b.npy", noise(4, 5)[..., 0])
    assert load_picture(tmp_path / "b.npy").shape == (4, 5, 1)


class Burglar:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return open, (self.trace, "w")


def test_an_array_file_that_would_run_code_or_is_no_picture_is_refused_by_name(tmp_path):
    np.save(tmp_path / "pickle.npy", np.array([[Burglar(str(tmp_path / "trace"))]]), allow_pickle=True)
    np.save(tmp_path / "line.npy", np.zeros(5))
    (tmp_path / "empty.npy").touch()
    for name in ("pickle.npy", "line.npy", "empty.npy", "missing.npy"):
        with pytest.raises(ImageError, match=name):
            load_picture(tmp_path / name)
    assert not (tmp_path / "trace").exists()


def test_an_array_is_cropped_and_resized_like_the_picture_with_its_pixels():
    pixels = photos.astronaut()[100:140, 200:230]
    box, size = (3.5, 2.25, 25.0, 36.5), (16, 24)
    resized = crop_resize(np.concatenate([pixels, pixels[..., :1]], axis=2), size, box)
    assert resized.shape == (24, 16, 4)
    picture = crop_resize(Image.fromarray(pixels), size, box)
    expected = images.to_array(picture, "rgb")
    assert np.abs(resized[..., :3] - expected).max() < 3 / 255, (
        "Pillow rounds 8 bits after each of two passes"
    )
    assert np.array_equal(resized[..., 3], resized[..., 0])


def test_resizing_an_array_neither_overshoots_nor_loses_levels():
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16)[None, :, None].repeat(64, axis=0)
    resized = crop_resize(ramp, (400, 1), (0, 0, 64, 64))
    assert -1 <= resized.min() < -0.99
    assert 0.99 < resized.max() <= 1
    assert len(np.unique(resized)) > 256
    checks = (np.indices((8, 8)).sum(0) % 2 * 2.0 - 1)[..., None]
    assert np.abs(crop_resize(checks, (23, 23), (0, 0, 8, 8))).max() <= 1


# ---- all pairs --------------------------------------------------------------------------------------------


def test_good_pairs_pass_and_progress_sees_each(tmp_path):
    seen = []

    def progress(results):
        for result in results:
            seen.append(result)
            yield result

    check_pairs(photos_of(tmp_path, a=Image.new("RGB", (4, 4)), b=Image.new("L", (9, 4))), progress)
    assert seen == [None, None]


def encoded(picture, kind):
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


def test_every_pair_that_cannot_be_used_is_named(tmp_path):
    whole = encoded(Image.fromarray(noise(32, 32)), "PNG")
    source = photos_of(
        tmp_path, good=Image.new("RGB", (4, 4)), cut=whole[:-400], empty=b"", text=b"hello", missing=None
    )
    with pytest.raises(DataError) as error:
        check_pairs(source)
    text = str(error.value)
    assert text.startswith("4 of 5 pairs cannot be used")
    assert all(f"{name}.png" in text for name in ("cut", "empty", "text", "missing"))
    assert "good.png" not in text
    assert "training does not start" in text


def test_sides_of_unequal_size_are_named_with_their_sizes(tmp_path):
    for side, width in (("a", 4), ("b", 5)):
        Image.new("RGB", (width, 4)).save(tmp_path / f"{side}.png")
    with pytest.raises(DataError, match=r"a.png: its two sides are 4x4 and 5x4 pixels; they must be equal"):
        check_pairs(TwoFiles(tmp_path, [(tmp_path / "a.png", tmp_path / "b.png")]))


def test_an_odd_width_is_named(tmp_path):
    Image.new("RGB", (9, 4)).save(tmp_path / "p.png")
    with pytest.raises(DataError, match=r"p.png is 9 pixels wide: an odd width has no two equal halves"):
        check_pairs(SideBySide(tmp_path, [tmp_path / "p.png"]))


def test_twenty_problems_are_listed_and_the_rest_counted(tmp_path):
    with pytest.raises(DataError) as error:
        check_pairs(Photos(tmp_path, [tmp_path / f"{number:02}.png" for number in range(33)]))
    lines = str(error.value).splitlines()
    assert lines[0] == "33 of 33 pairs cannot be used:"
    assert sum("no such file" in line for line in lines) == 20
    assert "... and 13 more" in lines[21]


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (noise(4, 4, 3), "3 channels in colour space 'raw', where 4 are expected"),
        (np.full((4, 4, 4), 7.5), "float array with values 7.5..7.5"),
        (np.full((4, 4, 4), np.nan), "float array with values nan..nan"),
        (np.zeros((4, 4, 4), np.int64), "array of int64"),
    ],
)
def test_arrays_that_the_model_cannot_take_are_named(tmp_path, array, said):
    np.save(tmp_path / "x.npy", array)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    source = TwoFiles(tmp_path, [(tmp_path / "x.npy", tmp_path / "x.png")])
    with pytest.raises(DataError, match=f"x.npy: {said}"):
        check_pairs(source, model=ModelConfig(in_channels=4, input_color="raw"))


def test_pictures_without_the_raw_channels_are_named(tmp_path):
    source = photos_of(tmp_path, rgb=Image.new("RGB", (4, 4)), alpha=Image.new("RGBA", (4, 4)))
    with pytest.raises(DataError, match=r"1 of 2 pairs cannot be used:\n  rgb.png: 3 channels"):
        check_pairs(source, model=ModelConfig(out_channels=4, output_color="raw"))
    check_pairs(source, model=ModelConfig())


def test_files_that_are_part_of_no_pair_are_counted_and_said(tmp_path, caplog):
    source = photos_of(tmp_path, a=Image.new("RGB", (4, 4)))
    check_pairs(source)
    assert not caplog.records
    source.ignored = [tmp_path / f"{number}.heic" for number in range(22)]
    check_pairs(source)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "22 files are part of no pair and left out" in caplog.text
    assert "19.heic" in caplog.text
    assert "20.heic" not in caplog.text
    assert "... and 2 more" in caplog.text


# ---- holding out ------------------------------------------------------------------------------------------


class Named(PairSource):
    layout = "named"

    def __init__(self, names):
        self.names = names

    def load(self, index):
        return None, Image.new("RGB", (1, 1))


@pytest.mark.parametrize(("count", "held"), [(2, 1), (10, 1), (40, 2), (400, 20), (5000, 100)])
def test_held_out_pairs_are_few_and_disjoint_from_training(count, held):
    train, validation = hold_out(Named([f"{index}.png" for index in range(count)]))
    assert len(validation.names) == held
    assert sorted([*train.names, *validation.names]) == sorted(f"{index}.png" for index in range(count))


def test_held_out_pairs_are_the_same_every_time_and_in_any_order():
    names = [f"{index}.png" for index in range(100)]
    assert hold_out(Named(names))[1].names == ["47.png", "52.png", "71.png", "78.png", "99.png"]
    assert set(hold_out(Named(names[::-1]))[1].names) == {"47.png", "52.png", "71.png", "78.png", "99.png"}


def test_a_held_out_pair_is_the_one_of_its_name():
    source = Drawn("map", 6, 16)
    for part in hold_out(source):
        for index, name in enumerate(part.names):
            assert np.array_equal(part.load(index)[0], source.load(source.names.index(name))[0])


def test_one_pair_alone_is_trained_and_validated_on():
    source = Named(["only.png"])
    assert hold_out(source) == (source, source)


def test_the_drawn_town_is_drawn_once():
    source = Drawn("day-night", 2, 32, first=5)
    assert source.load(1)[0] is source.load(1)[0]
    assert np.array_equal(source.load(1)[0], Drawn("day-night", 1, 32, first=6).load(0)[0])


def test_some_pairs_of_a_source_are_known_by_what_the_source_is_known_by(tmp_path):
    files = photos_of(tmp_path, a=Image.new("L", (4, 4)), b=Image.new("L", (4, 4)))
    assert Selected(files, [1]).files == files.files
    rows = datasets.Dataset.from_dict({"x": [1, 2]})
    columns = Columns(rows, None, "x")
    assert Selected(columns, [1]).identity == columns.identity == rows._fingerprint
    assert Columns([1, 2], None, "x").identity == files.identity == ""
