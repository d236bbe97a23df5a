"""From pairs to tensors: right values, one crop and mirror for both sides, an order that forgets nothing."""

# A task may make no input, and a split may be absent; each test knows better.
# mypy: disable-error-code="misc, arg-type"

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photos

from pix2pix import images
from pix2pix.data import (
    PairDataset,
    SampleOrder,
    centre_view,
    choose_view,
    close_batches,
    training_batches,
    without_interrupts,
)
from pix2pix.layouts import find_pairs
from pix2pix.pairs import PairSource, check_pairs
from pix2pix.tasks import get_task
from pix2pix.training_config import TrainingConfig

PHOTO = Image.fromarray(photos.astronaut()).resize((48, 40))


class Kept(PairSource):
    """Pairs in memory, as one would decode them from files."""

    layout = "kept"

    def __init__(self, *pairs):
        self.pairs, self.names = pairs, [str(index) for index in range(len(pairs))]

    def load(self, index):
        return self.pairs[index]


def dataset(*pairs, **flags):
    flags = {"resolution": 16, "train_data_dir": "pairs", **flags}
    config = TrainingConfig(**flags)
    task = get_task(config.task)
    return PairDataset(Kept(*pairs), config, config.model_config(task.input_color, task.output_color))


def saved_and_read(picture, kind="PNG", **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return images.open_picture(file.getvalue())


def same(pair, **flags):
    """The input tensor of a pair (picture, picture) seen as it is."""
    size = pair.size[0] if isinstance(pair, Image.Image) else pair.shape[1]
    return dataset((pair, pair), resolution=size, augment="none", **flags)[0, 0]["input"]


# ---- pictures of every kind -------------------------------------------------------------------------------


def test_samples_are_float_tensors_of_the_resolution_between_minus_one_and_one():
    sample = dataset((PHOTO, PHOTO.convert("L")), output_color="grey")[0, 0]
    assert (sample["input"].shape, sample["target"].shape) == ((3, 16, 16), (1, 16, 16))
    assert all(side.dtype == torch.float32 and side.is_contiguous() for side in sample.values())
    assert all(-1 <= side.min() < side.max() <= 1 for side in sample.values())


@pytest.mark.parametrize("color", ["rgb", "grey"])
@pytest.mark.parametrize(
    "kind", ["RGB", "RGBA", "LA", "P", "L", "1", "CMYK", "I;16", "16-bit TIFF", "turned"]
)
def test_every_kind_of_file_reaches_the_tensor_right(kind, color):
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8))
    expected = np.asarray(grey) / 127.5 - 1
    rgb = grey.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    file = {
        "P": lambda: saved_and_read(grey.convert("P")),
        "CMYK": lambda: saved_and_read(rgb.convert("CMYK"), "TIFF"),
        "I;16": lambda: saved_and_read(deep),
        "16-bit TIFF": lambda: saved_and_read(deep, "TIFF"),
        "turned": lambda: saved_and_read(rgb.transpose(Image.Transpose.ROTATE_90), exif=exif),
    }.get(kind, lambda: saved_and_read(rgb.convert(kind)))()
    if kind == "1":  # dots of black and white
        expected = np.asarray(file.convert("L")) / 127.5 - 1
    tensor = same(file, input_color=color)
    assert tensor.shape[0] == (3 if color == "rgb" else 1)
    assert np.abs(tensor.numpy() - expected).max() < 0.013, "one 8-bit level and a little"


def test_transparency_is_white_in_training():
    clear = saved_and_read(Image.new("RGBA", (16, 16), (0, 0, 0, 0)))
    assert same(clear).min() == 1


def test_16_bit_grey_is_neither_black_nor_cut_to_256_levels():
    ramp = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    tensor = same(saved_and_read(Image.fromarray(ramp)), input_color="grey")
    assert len(tensor.unique()) > 1000
    assert tensor.min() == -1
    assert tensor.max() == 1


def test_colorize_sees_lightness_and_draws_hues():
    sample = dataset((None, PHOTO), task="colorize", augment="none")[0, 0]
    assert (sample["input"].shape, sample["target"].shape) == ((1, 16, 16), (2, 16, 16))
    picture = PHOTO.resize((16, 16), Image.Resampling.BICUBIC, box=(4, 0, 44, 40))
    for side, color in (("input", "l"), ("target", "ab")):
        expected = images.to_array(picture, color).transpose(2, 0, 1)
        assert np.abs(sample[side].numpy() - expected).max() < 0.01


def test_a_derived_input_is_drawn_from_the_crop_that_is_seen():
    pairs = dataset((None, PHOTO), task="sketch", resolution=32)
    x, y = pairs.picture_pair(0)
    assert np.array_equal(np.asarray(x), np.asarray(get_task("sketch").derive(y)))


@pytest.mark.parametrize("task", ["sketch", "colorize"])
def test_photos_may_be_grey_palette_16_bit_or_arrays(task):
    kinds = [PHOTO.convert("L"), PHOTO.convert("P"), PHOTO.convert("RGBA"), np.asarray(PHOTO)]
    kinds.append(Image.fromarray(np.asarray(PHOTO.convert("L"), np.uint16) * 257))
    pairs = dataset(*((None, kind) for kind in kinds), task=task)
    for index in range(len(kinds)):
        assert pairs[0, index]["input"].std() > 0.05


def test_raw_channels_are_translated_to_a_picture():
    channels = np.random.default_rng(0).integers(0, 65536, (40, 48, 4)).astype(np.uint16)
    flags = {"input_color": "raw", "input_channels": 4, "augment": "none"}
    pairs = dataset((channels, PHOTO), **flags)
    check_pairs(pairs.source, model=pairs.model)
    sample = pairs[0, 0]
    assert (sample["input"].shape, sample["target"].shape) == ((4, 16, 16), (3, 16, 16))
    whole = same(channels[:16, :16], input_color="raw", input_channels=4)
    assert np.allclose(whole.numpy(), channels[:16, :16].transpose(2, 0, 1) / 32767.5 - 1, atol=1e-6)
    x, y = pairs.picture_pair(0)
    assert (x.shape, y.size) == ((16, 16, 4), (16, 16))


# ---- one view for both sides ------------------------------------------------------------------------------


@pytest.mark.parametrize("augment", ["none", "standard", "small-data"])
@pytest.mark.parametrize("fit", ["crop", "squash"])
def test_a_target_that_equals_its_input_stays_equal(augment, fit):
    pairs = dataset((PHOTO, PHOTO), augment=augment, fit=fit)
    for epoch in range(12):
        sample = pairs[epoch, 0]
        assert torch.equal(sample["input"], sample["target"])


@pytest.mark.parametrize("augment", ["standard", "small-data"])
def test_arrays_and_pictures_are_cropped_and_mirrored_alike(augment):
    pairs = dataset((np.asarray(PHOTO), PHOTO), augment=augment)
    for epoch in range(8):
        sample = pairs[epoch, 0]
        assert (sample["input"] - sample["target"]).abs().max() < 0.06


@pytest.mark.parametrize("augment", ["standard", "small-data"])
def test_views_are_a_pure_function_of_seed_epoch_and_index(augment):
    def view(seed=1, epoch=2, index=3):
        config = TrainingConfig(seed=seed, augment=augment)
        np.random.rand()  # noqa: NPY002
        return choose_view(config, (48, 40), epoch, index)

    assert view() == view()
    assert len({view(), view(seed=2), view(epoch=3), view(index=4), view(epoch=3, index=2)}) == 5


def test_no_augmentation_sees_the_same_in_every_epoch_and_what_validation_sees():
    pairs = dataset((PHOTO, PHOTO), augment="none")
    assert torch.equal(pairs[0, 0]["input"], pairs[7, 0]["input"])
    x, _ = pairs.picture_pair(0)
    assert np.array_equal(pairs[0, 0]["input"].numpy(), images.to_array(x, "rgb").transpose(2, 0, 1))


def views(count=400, size=(48, 40), **flags):
    config = TrainingConfig(**flags)
    return [choose_view(config, size, 0, index) for index in range(count)]


def test_the_standard_view_is_the_papers():
    seen = views(size=(256, 256))
    sides = {
        (round(right - left, 9), round(bottom - top, 9)) for left, top, right, bottom in (v.box for v in seen)
    }
    assert sides == {(round(256 / 286, 9),) * 2}
    assert 160 < sum(view.mirror for view in seen) < 240
    lefts = [view.box[0] for view in seen]
    assert min(lefts) < 0.01
    assert max(lefts) > 1 - 256 / 286 - 0.01
    assert {(view.gain, view.offset) for view in seen} == {(1.0, 0.0)}


@pytest.mark.parametrize("augment", ["none", "standard", "small-data"])
@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("size", [(48, 40), (7, 300), (1, 1), (1000, 999)])
def test_every_view_lies_inside_the_picture(augment, fit, size):
    for view in views(60, size, augment=augment, fit=fit):
        left, top, right, bottom = view.box
        assert -1e-9 <= left < right <= 1 + 1e-9
        assert -1e-9 <= top < bottom <= 1 + 1e-9
        if fit == "crop":
            assert (right - left) * size[0] == pytest.approx((bottom - top) * size[1])


def test_small_data_zooms_and_changes_the_light_of_both_sides_but_no_hue():
    sides = [view.box[2] - view.box[0] for view in views(size=(64, 64), augment="small-data")]
    assert min(sides) < 0.58
    assert max(sides) > 0.85
    grey = Image.new("RGB", (16, 16), (128, 128, 128))
    pairs = dataset((grey, grey), augment="small-data")
    assert len({pairs[epoch, 0]["input"][0, 0, 0].item() for epoch in range(8)}) > 4
    red = Image.new("RGB", (16, 16), (200, 40, 40))
    hues = dataset((None, red), task="colorize", augment="small-data")
    assert len({hues[epoch, 0]["target"][0, 0, 0].item() for epoch in range(8)}) == 1


# ---- sizes ------------------------------------------------------------------------------------------------


def stripes(width, height):
    """Columns coloured by their share of the width (red) and rows by that of the height (green)."""
    red, green = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return Image.fromarray((np.stack([red, green, 0 * red], axis=-1) * 255).round().astype(np.uint8))


@pytest.mark.parametrize(("fit", "first", "last"), [("crop", 0.25, 0.75), ("squash", 0.0, 1.0)])
def test_a_wide_picture_is_cropped_to_its_middle_or_squashed(fit, first, last):
    picture = stripes(128, 64)
    x = (dataset((picture, picture), augment="none", fit=fit)[0, 0]["input"] + 1) / 2
    step = (last - first) / 16
    assert x[0, 0, 0] == pytest.approx(first + step / 2, abs=0.02)
    assert x[0, 0, -1] == pytest.approx(last - step / 2, abs=0.02)
    assert x[1, 0, 0] == pytest.approx(1 / 32, abs=0.02)
    assert x[1, -1, 0] == pytest.approx(31 / 32, abs=0.02)


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (16, 16), (17, 200)])
def test_pictures_smaller_than_the_resolution_and_of_any_shape_work(size):
    picture = stripes(*size)
    sample = dataset((picture, picture))[0, 0]
    assert sample["input"].shape == (3, 16, 16)
    assert torch.equal(sample["input"], sample["target"])


def test_the_load_size_says_how_much_is_cropped_away():
    for load_size, share in ((16, 1.0), (32, 0.5)):
        view = choose_view(TrainingConfig(resolution=16, load_size=load_size), (64, 64), 0, 0)
        assert view.box[2] - view.box[0] == pytest.approx(share)
    assert centre_view(TrainingConfig(), (64, 32)).box == (0.25, 0.0, 0.75, 1.0)


# ---- order ------------------------------------------------------------------------------------------------


def taken(count, **options):
    return list(islice(SampleOrder(**{"length": 7, "batch_size": 1, "seed": 0, **options}), count))


def test_every_epoch_sees_every_pair_once_in_another_order():
    samples = [sample for batch in taken(7, batch_size=3) for sample in batch]
    orders = [[index for e, index in samples if e == epoch] for epoch in range(3)]
    assert [epoch for epoch, _ in samples] == [0] * 7 + [1] * 7 + [2] * 7
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert taken(7) != taken(7, seed=1)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 10])
def test_processes_share_the_samples_without_overlap(batch_size):
    alone = [s for batch in taken(42, batch_size=batch_size) for s in batch]
    shared = [taken(14, batch_size=batch_size, rank=rank, processes=3) for rank in range(3)]
    together = [sample for batches in zip(*shared, strict=True) for batch in batches for sample in batch]
    assert together == alone
    assert len(set(together)) == len(together)


@pytest.mark.parametrize("first", [1, 5, 9])
def test_resuming_gives_the_same_continuation(first):
    options = {"batch_size": 4, "rank": 1, "processes": 2}
    assert taken(6, first=first, **options) == taken(first + 6, **options)[first:]


def test_a_batch_may_be_larger_than_the_data_set():
    config = TrainingConfig(resolution=16, train_batch_size=5, train_data_dir="pairs")
    pairs = PairDataset(Kept((PHOTO, PHOTO), (PHOTO, PHOTO)), config, config.model_config())
    batch = next(training_batches(pairs, config))
    assert batch["input"].shape == (5, 3, 16, 16)


def save_pairs(folder, count=3):
    for index in range(count):
        picture = Image.fromarray(np.roll(np.asarray(PHOTO), 7 * index, axis=1))
        joined = Image.new("RGB", (80, 40))
        joined.paste(picture.crop((0, 0, 40, 40)), (0, 0))
        joined.paste(picture.crop((0, 0, 40, 40)).convert("L"), (40, 0))
        joined.save(folder / f"{index}.png")


def batches(folder, count, first=0, **flags):
    config = TrainingConfig(train_data_dir=str(folder), resolution=16, train_batch_size=2, **flags)
    pairs = PairDataset(find_pairs(config, "train"), config, config.model_config())
    return list(islice(training_batches(pairs, config, first), count))


@pytest.mark.timeout(100)
def test_workers_and_resuming_change_nothing(tmp_path):
    save_pairs(tmp_path)
    alone = batches(tmp_path, 5)
    worked = batches(tmp_path, 5, dataloader_num_workers=2)
    resumed = batches(tmp_path, 2, first=3)
    for some, others in ((alone, worked), (alone[3:], resumed)):
        for x, y in zip(some, others, strict=True):
            assert all(torch.equal(x[side], y[side]) for side in ("input", "target"))
    assert not torch.equal(alone[0]["input"], alone[3]["input"])


def test_reading_batches_leaves_the_generator_that_dropout_draws_from_alone(tmp_path):
    save_pairs(tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(tmp_path, 3)
    assert torch.equal(torch.get_rng_state(), before)


# ---- workers and their ends -------------------------------------------------------------------------------


def open_batches(folder, workers):
    config = TrainingConfig(
        train_data_dir=str(folder), resolution=16, train_batch_size=2, dataloader_num_workers=workers
    )
    pairs = PairDataset(find_pairs(config, "train"), config, config.model_config())
    return training_batches(pairs, config)


def test_closed_batches_leave_no_worker_behind(tmp_path):
    save_pairs(tmp_path)
    opened = open_batches(tmp_path, workers=1)
    next(opened)
    assert multiprocessing.active_children()
    close_batches(opened)
    assert not multiprocessing.active_children()
    close_batches(opened)


def test_batches_with_dead_workers_or_none_can_be_closed(tmp_path):
    save_pairs(tmp_path)
    close_batches(open_batches(tmp_path, workers=0))
    opened = open_batches(tmp_path, workers=1)
    for worker in multiprocessing.active_children():
        worker.kill()
    close_batches(opened)
    assert not multiprocessing.active_children()


@pytest.fixture
def on_child_signal():
    """Sets a handler of SIGCHLD for the time of a test."""
    before = signal.getsignal(signal.SIGCHLD)
    yield lambda handler: signal.signal(signal.SIGCHLD, handler)
    signal.signal(signal.SIGCHLD, before)


def test_the_end_of_a_worker_interrupts_nothing_and_the_next_batches_tell_of_it(
    tmp_path, on_child_signal, monkeypatch
):
    """An error raised by a signal can strike while a queue is locked: closing it then waits for ever."""
    heard = []
    on_child_signal(lambda *_: heard.append(1))
    monkeypatch.setattr("torch.utils.data._utils.signal_handling._SIGCHLD_handler_set", False)
    save_pairs(tmp_path)
    opened = open_batches(tmp_path, workers=1)
    next(opened)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    signal.raise_signal(signal.SIGCHLD)
    assert heard, "the handler that was set before is set again"
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(islice(opened, 10))  # a few were ready
    close_batches(opened)
    heard.clear()
    signal.raise_signal(signal.SIGCHLD)
    assert heard


def test_a_worker_that_dies_while_it_is_closed_interrupts_nothing(tmp_path, on_child_signal):
    def fail(*_):
        raise RuntimeError("raised wherever the main thread happens to be")

    save_pairs(tmp_path)
    opened = open_batches(tmp_path, workers=1)
    next(opened)
    on_child_signal(fail)
    tell = opened._workers_done_event.set

    def tell_while_it_dies():
        signal.raise_signal(signal.SIGCHLD)
        tell()

    opened._workers_done_event.set = tell_while_it_dies
    close_batches(opened)
    assert all(queue._closed for queue in opened._index_queues)
    assert not multiprocessing.active_children()


def test_interrupts_are_ignored_only_inside_and_come_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)

    @without_interrupts()
    def start_workers():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        raise OSError("no workers")

    with pytest.raises(OSError, match="no workers"):
        start_workers()
    assert signal.getsignal(signal.SIGINT) == before


def test_other_threads_leave_the_interrupts_alone():
    seen = []

    def look():
        with without_interrupts():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_workers_never_hear_an_interrupt_not_even_while_they_start(tmp_path):
    save_pairs(tmp_path)
    opened = open_batches(tmp_path, workers=1)
    try:
        (worker,) = multiprocessing.active_children()
        with open(f"/proc/{worker.pid}/status") as status:
            ignored = next(line for line in status if line.startswith("SigIgn"))
        assert int(ignored.split()[1], 16) >> (signal.SIGINT - 1) & 1
    finally:
        close_batches(opened)


FAILING = """
from pix2pix.data import PairDataset, training_batches
from pix2pix.layouts import find_pairs
from pix2pix.training_config import TrainingConfig

if __name__ == "__main__":
    config = TrainingConfig(
        train_data_dir={folder!r}, resolution=16, train_batch_size=1, dataloader_num_workers=2
    )
    pairs = PairDataset(find_pairs(config, "train"), config, config.model_config())
    batches = training_batches(pairs, config)
    next(batches)
    print("first batch", flush=True)
    raise RuntimeError("in the second step")
"""


def test_a_run_with_workers_that_fails_ends_with_its_traceback(tmp_path):
    (tmp_path / "pairs").mkdir()
    save_pairs(tmp_path / "pairs")
    script = tmp_path / "failing.py"
    script.write_text(FAILING.format(folder=str(tmp_path / "pairs")))
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    ) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline() == "first batch\n"
            _, err = run.communicate(timeout=20)
        finally:
            run.kill()
    assert run.returncode == 1
    assert "RuntimeError: in the second step" in err
