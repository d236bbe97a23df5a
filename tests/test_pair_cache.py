"""Resized pairs: the same pictures, kept or not; made once, found again, never out of date."""

import os
import pickle
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from forked_runs import ForkServer
from PIL import Image
from skimage import data as photos
from tiny_runs import TINY, same, write_pairs

from pix2pix import pair_cache
from pix2pix.checkpoints import list_checkpoints, load_checkpoint
from pix2pix.data import PairDataset, choose_view, close_batches, training_batches
from pix2pix.errors import ConfigError, UserError
from pix2pix.layouts import find_pairs
from pix2pix.pair_cache import PairStore, ResizedPairs, as_floats, auto_folder, cached_pairs
from pix2pix.pairs import PairSource
from pix2pix.run_folder import require_same_run
from pix2pix.tasks import get_task
from pix2pix.training_config import TrainingConfig

PHOTO = Image.fromarray(photos.astronaut())


class Kept(PairSource):
    """Pairs in memory."""

    layout = "kept"

    def __init__(self, *pairs):
        self.pairs, self.names = pairs, [str(index) for index in range(len(pairs))]

    def load(self, index):
        return self.pairs[index]


def dataset(*pairs, source=None, **flags):
    config = TrainingConfig(**{"resolution": 64, "train_data_dir": "pairs", **flags})
    task = get_task(config.task)
    model = config.model_config(task.input_color, task.output_color)
    return PairDataset(source or Kept(*pairs), config, model)


def resized(pairs):
    return ResizedPairs(pairs.source, pairs.config, pairs.model)


def samples(pairs, count=3):
    """Some samples as the networks get them."""
    keys = [(epoch, index) for index in range(len(pairs)) for epoch in range(count)]
    return [{side: as_floats(value) for side, value in pairs[key].items()} for key in keys]


def caches(folder):
    return [path for path in folder.iterdir() if path.name.startswith("pairs-")]


@pytest.fixture
def folder(tmp_path):
    """Five side-by-side photographs of 80x80 in tmp_path/pairs/train."""
    (tmp_path / "pairs" / "train").mkdir(parents=True)
    for index in range(5):
        crop = PHOTO.crop((40 * index, 30, 40 * index + 80, 110))
        sheet = Image.new("RGB", (160, 80))
        for column, side in enumerate((crop, crop.transpose(Image.Transpose.ROTATE_90))):
            sheet.paste(side, (80 * column, 0))
        sheet.save(tmp_path / "pairs" / "train" / f"{index}.png")
    return tmp_path / "pairs"


def on_disk(folder, **flags):
    made = {"train_data_dir": str(folder), "resolution": 32, **flags}
    return dataset(source=find_pairs(TrainingConfig(**made), "train"), **made)


def equal(a, b):
    return all(same(x, y) for x, y in zip(a, b, strict=True))


# ---- the same pictures ------------------------------------------------------------------------------------

PAIR = PHOTO, PHOTO.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
OBLONG = tuple(side.crop((0, 0, 500, 333)) for side in PAIR)
KINDS = [
    ((PAIR,), {}),
    ((PAIR,), {"input_color": "grey"}),
    ((PAIR,), {"load_size": 64}),
    ((OBLONG,), {"fit": "squash"}),
    (((None, PHOTO),), {"task": "colorize"}),
    (((None, PHOTO),), {"task": "sketch"}),
    (((None, PHOTO),), {"task": "sketch", "output_color": "grey"}),
    (((photos.astronaut(),) * 2,), {}),
]


@pytest.mark.parametrize(("pairs", "flags"), KINDS)
def test_a_crop_of_the_resized_picture_is_the_resized_crop_where_it_lies_on_pixels(pairs, flags, monkeypatch):
    """The one difference to no cache is where the crop begins: by half a pixel of the resized picture."""
    exact = dataset(*pairs, **flags)
    whole = resized(exact)

    def on_pixels(config, size, epoch, index):
        view = choose_view(config, size, epoch, index)
        load, side = config.resolved_load_size, config.resolution
        left, top = (min(round(share * load), load - side) / load for share in view.box[:2])
        return type(view)((left, top, left + side / load, top + side / load), view.mirror)

    found = samples(whole)
    monkeypatch.setattr("pix2pix.data.choose_view", on_pixels)
    # One 8-bit level; of hues and drawn lines, what one level of the photograph makes of them.
    tolerance = 1.01 * 2 / 255 if not flags.get("task") else 0.06
    for a, b in zip(samples(exact), found, strict=True):
        for side in ("input", "target"):
            difference = (a[side] - b[side]).abs()
            assert float(difference.mean()) < 0.0025  # arrays are of 8 bits now
            assert float(difference.quantile(0.999)) <= tolerance


@pytest.mark.parametrize(("pairs", "flags"), [*KINDS, ((OBLONG,), {})])
def test_without_augmentation_the_pictures_are_those_of_no_cache(pairs, flags):
    exact = dataset(*pairs, augment="none", **flags)
    for a, b in zip(samples(exact, 1), samples(resized(exact), 1), strict=True):
        for side in ("input", "target"):
            half = 0.51 * 2 / 255 if isinstance(pairs[0][1], np.ndarray) else 4e-5  # of a level
            torch.testing.assert_close(a[side], b[side], rtol=0, atol=half)


@pytest.mark.parametrize("pairs", [(PAIR,), (OBLONG,), ((None, PHOTO),)])
def test_small_data_zooms_into_pictures_that_are_kept_large_enough(pairs):
    task = "colorize" if pairs[0][0] is None else "custom"
    exact = dataset(*pairs, augment="small-data", task=task)
    whole = resized(exact)
    assert min(whole.resized(0)[-1].shape[1:]) == 120  # 72 / 0.6: two pixels for every one that is not zoomed
    for a, b in zip(samples(exact), samples(whole), strict=True):
        for side in ("input", "target"):
            assert float((a[side] - b[side]).abs().mean()) < 0.03
    small = dataset(tuple(None if s is None else s.resize((100, 90)) for s in pairs[0]), augment="small-data",
                    task=task)  # fmt: skip
    assert equal(samples(small), samples(resized(small)))


def test_an_oblong_picture_is_cropped_at_every_place():
    wide = Image.fromarray(np.tile(np.arange(240, dtype=np.uint8), (80, 1)))
    pairs = resized(dataset((wide, wide), resolution=32, load_size=36))
    lefts = {int(pairs[epoch, 0]["input"].min()) for epoch in range(200)}
    assert min(lefts) < 5
    assert max(lefts) > 240 - 3 * 32 - 5
    assert pairs[0, 0]["input"].shape == (3, 32, 32)


def test_both_sides_and_all_epochs_see_what_seed_and_place_say():
    pairs = resized(dataset(PAIR, (PHOTO, PHOTO), input_color="grey"))
    again = resized(dataset(PAIR, (PHOTO, PHOTO), input_color="grey"))
    assert equal(samples(pairs), samples(again))
    both = resized(dataset((PHOTO, PHOTO)))
    assert all(torch.equal(s["input"], s["target"]) for s in samples(both, 8))
    assert len({s["input"].numpy().tobytes() for s in samples(both, 8)}) == 8


def test_colours_travel_as_bytes_and_other_spaces_as_short_integers():
    sample = resized(dataset(PAIR))[0, 0]
    assert {side.dtype for side in sample.values()} == {torch.uint8}
    hues = resized(dataset((None, PHOTO), task="colorize"))[0, 0]
    assert {side.dtype for side in hues.values()} == {torch.int16}


def test_every_level_comes_back_exactly():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_floats(levels), torch.from_numpy(levels.numpy() / np.float32(255) * 2 - 1))
    floats = torch.rand(3)
    assert as_floats(floats) is floats
    assert torch.equal(
        as_floats(torch.tensor([-32767, 0, 32767], dtype=torch.int16)), torch.tensor([-1.0, 0, 1])
    )


# ---- kept -------------------------------------------------------------------------------------------------


def test_kept_and_made_anew_are_the_same(folder, tmp_path):
    said: list[str] = []
    kept = cached_pairs(on_disk(folder), str(tmp_path / "cache"), said.append)
    assert kept.store is not None
    assert equal(samples(kept), samples(resized(on_disk(folder))))
    assert "5 resized pairs are kept in" in said[0]


@pytest.mark.parametrize("flags", [{"task": "colorize"}, {"task": "sketch"}, {"augment": "small-data"}])
def test_every_kind_of_pair_can_be_kept(flags, tmp_path):
    flags = {"layout": "photos", **flags} if "task" in flags else flags
    source = Kept((None, PHOTO), (None, PAIR[1])) if "task" in flags else Kept(PAIR, OBLONG)
    exact = dataset(source=source, **flags)
    kept = cached_pairs(exact, str(tmp_path), print)
    assert kept.store is not None
    assert equal(samples(kept), samples(resized(exact)))


def test_a_later_run_finds_it_and_makes_nothing(folder, tmp_path, monkeypatch):
    cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    monkeypatch.setattr(ResizedPairs, "resized", None)
    said: list[str] = []
    again = cached_pairs(on_disk(folder), str(tmp_path / "cache"), said.append)
    assert len(samples(again)) == 15
    assert said == []


def test_a_changed_picture_of_the_same_size_and_time_is_noticed(folder, tmp_path):
    path = folder / "train" / "2.png"
    Image.new("RGB", (160, 80)).save(path.with_suffix(".bmp"))
    path.with_suffix(".bmp").replace(folder.parent / "other.bmp")
    for index in range(5):  # files of one size, whatever is in them
        Image.open(folder / "train" / f"{index}.png").save(folder / "train" / f"{index}.bmp")
        (folder / "train" / f"{index}.png").unlink()
    path = folder / "train" / "2.bmp"
    cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    before = path.stat()
    path.write_bytes((folder.parent / "other.bmp").read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    now = cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    assert len(caches(tmp_path / "cache")) == 2
    black = [index for index in range(5) if as_floats(now[0, index]["input"]).max() == -1]
    assert [now.source.names[index] for index in black] == ["2.bmp"]


@pytest.mark.parametrize(
    "flags",
    [{"resolution": 48}, {"load_size": 40}, {"augment": "none"}, {"fit": "squash"}, {"direction": "BtoA"},
     {"output_color": "grey"}, {"augment": "small-data"}],
)  # fmt: skip
def test_other_pixels_are_kept_under_another_name(folder, tmp_path, flags):
    cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    cached_pairs(on_disk(folder, **flags), str(tmp_path / "cache"), print)
    assert len(caches(tmp_path / "cache")) == 2


@pytest.mark.parametrize("flags", [{"seed": 7}, {"train_batch_size": 2}, {"width": 8}])
def test_runs_that_differ_elsewhere_share_it(folder, tmp_path, flags):
    cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    cached_pairs(on_disk(folder, **flags), str(tmp_path / "cache"), print)
    assert len(caches(tmp_path / "cache")) == 1


def test_pairs_that_are_no_files_are_known_by_their_pixels(tmp_path):
    for pair in (PAIR, PAIR, (PHOTO, PHOTO)):
        cached_pairs(dataset(pair), str(tmp_path), print)
    assert len(caches(tmp_path)) == 2


@pytest.mark.parametrize("name", ["pixels.bin", "index.json", "index.npy"])
def test_a_damaged_cache_is_made_again(folder, tmp_path, name):
    cached_pairs(on_disk(folder), str(tmp_path / "cache"), print)
    (found,) = caches(tmp_path / "cache")
    (found / name).write_bytes((found / name).read_bytes()[:-40])
    said: list[str] = []
    again = cached_pairs(on_disk(folder), str(tmp_path / "cache"), said.append)
    assert "damaged" in said[0]
    assert equal(samples(again), samples(resized(on_disk(folder))))


def test_data_workers_map_the_file_and_carry_no_pixels(folder, tmp_path):
    kept = cached_pairs(on_disk(folder, dataloader_num_workers=1), str(tmp_path / "cache"), print)
    kept[0, 0]
    sent = pickle.dumps(kept)
    assert len(sent) < 4000
    assert torch.equal(pickle.loads(sent)[0, 1]["input"], kept[0, 1]["input"])
    batches = training_batches(kept, kept.config)
    try:
        first = [batch["input"].clone() for batch in islice(batches, 2)]
    finally:
        close_batches(batches)
    alone = training_batches(kept, on_disk(folder).config)
    assert all(torch.equal(a, b["input"]) for a, b in zip(first, alone, strict=False))


def test_several_that_want_it_at_once_make_it_once(folder, tmp_path, monkeypatch):
    made: list[int] = []
    make = ResizedPairs.resized

    def counted(self, index):
        made.append(index)
        return make(self, index)

    monkeypatch.setattr(ResizedPairs, "resized", counted)
    where = str(tmp_path / "cache")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: cached_pairs(on_disk(folder), where, lambda text: None), range(4)))
    assert sorted(made) == list(range(5))
    assert all(equal(samples(pairs), samples(found[0])) for pairs in found)


def test_a_killed_builder_leaves_nothing_that_is_taken_for_whole(folder, tmp_path):
    where = tmp_path / "cache"
    cached_pairs(on_disk(folder), str(where), print)
    (found,) = caches(where)
    half = where / f".building-{found.name}-0000"
    found.rename(half)
    (half / "index.json").unlink()
    assert cached_pairs(on_disk(folder), str(where), print).store is not None
    assert [path.name for path in where.iterdir() if path.is_dir()] == [found.name]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(path)], check=False)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("knows", [True, False])
def test_a_full_disk_is_said_and_done_without(folder, small_disk, monkeypatch, knows):
    flags = {"resolution": 64}  # 31 kB a pair
    if not knows:  # until it is full: others fill it at the same time
        usage = type("Usage", (), {"free": 1 << 40})
        monkeypatch.setattr(pair_cache.shutil, "disk_usage", lambda path: usage)
    said: list[str] = []
    pairs = cached_pairs(on_disk(folder, **flags), str(small_disk), said.append)
    assert pairs.store is None
    assert "could not be kept" in said[0]
    assert ("MB of" in said[0]) == knows
    assert not [path for path in small_disk.iterdir() if path.is_dir()]
    assert equal(samples(pairs), samples(resized(on_disk(folder, **flags))))


def test_a_folder_that_cannot_be_made_is_said_and_done_without(folder, tmp_path):
    (tmp_path / "file").touch()
    said: list[str] = []
    assert cached_pairs(on_disk(folder), str(tmp_path / "file" / "cache"), said.append).store is None
    assert "made anew each time" in said[0]


def test_auto_is_the_users_cache_folder(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert auto_folder() == tmp_path / "home" / "pix2pix" / "pairs"
    cached_pairs(on_disk(folder), "auto", print)
    assert len(caches(auto_folder())) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert auto_folder() == Path.home() / ".cache" / "pix2pix" / "pairs"


def test_a_store_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        PairStore(tmp_path / "nowhere")


# ---- in the script ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "caches"),
    [
        ({}, False),
        ({"cache": "auto"}, True),
        ({"cache": "auto", "input_color": "raw", "input_channels": 4}, False),
        ({"cache": "/tmp/x"}, True),
    ],
)
def test_it_is_off_unless_asked_for(flags, caches):
    assert TrainingConfig(train_data_dir="pairs", **flags).caches is caches


@pytest.mark.parametrize(
    "flags",
    [{"cache": ""}, {"cache": "x", "output_color": "raw", "output_channels": 2},
     {"cache": "x", "streaming": True, "dataset_name": "a/b", "max_train_steps": 5, "train_data_dir": None}],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(flags):
    with pytest.raises(ConfigError, match="--cache"):
        TrainingConfig(**{"train_data_dir": "pairs", **flags})


def test_a_resumed_run_must_not_begin_or_cease_to_resize():
    def resumed(before, now):
        before, now = (TrainingConfig(train_data_dir="pairs", cache=cache) for cache in (before, now))
        require_same_run({"config": before.to_dict(), "data": "", "pairs_per_step": 1}, now, "", 1)

    resumed("auto", "elsewhere")
    with pytest.raises(UserError, match="--cache was 'off' and is now 'on'"):
        resumed("off", "auto")
    old = TrainingConfig(train_data_dir="pairs").to_dict()
    del old["cache"]
    saved = {"config": old, "data": "", "pairs_per_step": 1}
    require_same_run(saved, TrainingConfig(train_data_dir="pairs"), "", 1)
    with pytest.raises(UserError, match="--cache"):
        require_same_run(saved, TrainingConfig(train_data_dir="pairs", cache="auto"), "", 1)


def test_a_run_is_the_same_with_and_without_its_cache_and_may_be_resumed_with_another(tmp_path):
    pairs = write_pairs(tmp_path / "pairs")

    with ForkServer() as server:

        def run(name, *more):
            arguments = [
                *TINY, "--train_data_dir", pairs, "--output_dir", tmp_path / name, "--max_train_steps", 4,
                "--train_batch_size", 2, "--lr_scheduler", "constant", *more,
            ]  # fmt: skip
            started = server.start(arguments, tmp_path / f"{name}.log")
            assert started.wait() == 0, started.said()
            return load_checkpoint(list_checkpoints(tmp_path / name / "checkpoints")[0])

        whole = run("whole", "--cache", tmp_path / "cache")
        (tmp_path / "file").touch()
        run("parts", "--max_train_steps", 2, "--cache", tmp_path / "file" / "none")
        assert "could not be kept" in (tmp_path / "parts.log").read_text()
        parts = run("parts", "--resume_from_checkpoint", "latest", "--cache", tmp_path / "cache")
        assert same(whole["G"], parts["G"])
        assert same(whole["D"], parts["D"])
