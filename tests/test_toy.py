"""The drawn town: pairs that are the same everywhere, differ from each other, and can be learned from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix import tasks, toy
from pix2pix.toy_aerial import BUILDING, LAND, MAP_PALETTE, ROAD, VEGETATION, WATER
from pix2pix.toy_facade_plan import LABELS, STYLES, plan_facade

ROOT = Path(__file__).parent.parent


def array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32)


def pixels_of(picture: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    return (np.asarray(picture) == colour).all(axis=2)


def digest(pair: tuple[Image.Image, Image.Image]) -> str:
    return hashlib.sha256(b"".join(side.tobytes() for side in pair)).hexdigest()


def correlation(a: Image.Image, b: Image.Image) -> float:
    return float(np.corrcoef(array(a.convert("L")).ravel(), array(b.convert("L")).ravel())[0, 1])


def test_every_named_task_is_drawn_and_no_other():
    assert set(toy.TASKS) == set(tasks.TASKS) - {"custom"}


@pytest.mark.parametrize("task", toy.TASKS)
@pytest.mark.parametrize("size", [16, 67, 96])
def test_a_pair_is_two_rgb_pictures_of_the_size_asked(task, size):
    for side in toy.draw_pair(task, index=5, size=size):
        assert (side.mode, side.size) == ("RGB", (size, size))


@pytest.mark.parametrize("task", toy.TASKS)
def test_a_pair_is_a_pure_function_of_seed_and_index(task):
    first = digest(toy.draw_pair(task, index=3, size=48, seed=1))
    np.random.seed(0)  # noqa: NPY002  the global generator must not matter
    toy.draw_pair(task, index=4, size=48, seed=1)  # and neither must what was drawn before
    assert digest(toy.draw_pair(task, index=3, size=48, seed=1)) == first
    assert digest(toy.draw_pair(task, index=3, size=48, seed=2)) != first


def test_another_process_draws_the_same_pairs():
    code = (
        "import hashlib; from pix2pix import toy\n"
        "for task in ('map', 'day-night', 'facades'):\n"
        "    pair = toy.draw_pair(task, 2, 32)\n"
        "    print(hashlib.sha256(b''.join(side.tobytes() for side in pair)).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [digest(toy.draw_pair(t, 2, 32)) for t in ("map", "day-night", "facades")]


@pytest.mark.parametrize("kind", ["aerial", "map", "day", "night", "sketch", "facade", "labels"])
def test_different_indices_draw_different_scenes(kind):
    scenes = [array(toy.draw_scene(kind, index, 48)) for index in range(8)]
    differences = [np.abs(a - b).mean() for k, a in enumerate(scenes) for b in scenes[:k]]
    assert min(differences) > 3


@pytest.mark.parametrize("kind", ["aerial", "map", "day", "night", "facade"])
def test_a_scene_is_the_same_at_every_size(kind):
    large = toy.draw_scene(kind, 1, 256).resize((64, 64), Image.Resampling.BOX)
    small, other = toy.draw_scene(kind, 1, 64), toy.draw_scene(kind, 2, 64)
    assert correlation(large, small) > 0.85
    assert correlation(large, small) > correlation(large, other) + 0.1


def test_opposite_tasks_show_the_same_scenes():
    for there, back in (("map", "map-to-aerial"), ("day-night", "night-day")):
        assert digest(toy.draw_pair(there, 4, 48)) == digest(toy.draw_pair(back, 4, 48)[::-1])


def test_custom_gives_the_pairs_of_map():
    assert digest(toy.draw_pair("custom", 0, 32)) == digest(toy.draw_pair("map", 0, 32))


def test_map_colours_are_the_palette():
    seen: Counter[tuple[int, int, int]] = Counter()
    for index in range(6):
        picture = toy.draw_scene("map", index, 192)
        counts = Counter(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))
        flat = sum(counts[colour] for colour in MAP_PALETTE)
        assert flat > 0.75 * 192 * 192  # what is left are blends along edges
        seen += counts
    assert set(MAP_PALETTE) <= set(seen)
    assert {LAND, WATER, VEGETATION, ROAD, BUILDING} == {colour for colour, _ in seen.most_common(5)}


def test_the_map_shows_what_the_aerial_photo_shows():
    of_colour: dict[tuple[int, int, int], list[np.ndarray]] = {}
    for index in range(8):
        aerial, plan = toy.draw_pair("map", index, 96)
        for colour in (LAND, WATER, VEGETATION, ROAD, BUILDING):
            of_colour.setdefault(colour, []).append(array(aerial)[pixels_of(plan, colour)])
    mean = {colour: np.concatenate(found).mean(axis=0) for colour, found in of_colour.items()}
    red, green, blue = range(3)
    assert mean[WATER][blue] > mean[WATER][red] + 20
    assert mean[VEGETATION][green] > mean[VEGETATION][red] > mean[VEGETATION][blue]
    assert mean[VEGETATION].sum() < mean[LAND].sum() - 60  # grass and trees are darker than yards
    assert np.ptp(mean[ROAD]) < 20  # asphalt is grey
    assert mean[BUILDING][red] > mean[BUILDING][blue] + 20  # most roofs are tiles


def test_grey_input_is_the_targets_lightness():
    grey, colour = toy.draw_pair("colorize", 2, 64)
    assert (array(grey) == array(grey)[..., :1]).all()
    assert np.array_equal(np.asarray(grey)[..., 0], np.asarray(tasks.lightness(colour)))
    assert np.ptp(array(colour), axis=2).mean() > 15


def test_night_is_dark_and_its_windows_shine():
    for index in range(4):
        day, night = (array(side) for side in toy.draw_pair("day-night", index, 96))
        assert night.mean() < 0.5 * day.mean()
        assert night[..., 2].mean() > night[..., 0].mean()  # blue hour
        shining = (night[..., 0] > 200) & (night[..., 0] > night[..., 2] + 40)
        assert shining.mean() > 0.003
        assert day[shining].mean() > 150  # what shines has curtains (or is a lamp) by day


def test_a_sketch_is_black_lines_on_white():
    for index in range(3):
        drawing, _ = toy.draw_pair("sketch", index, 128)
        values = array(drawing)
        assert (values == values[..., :1]).all()
        assert (values > 250).mean() > 0.65
        assert 0.02 < (values < 60).mean() < 0.25


def test_the_sketch_follows_the_contours_of_the_picture():
    drawing, picture = toy.draw_pair("sketch", 1, 128)
    lightness = array(picture.convert("L"))
    slope = np.hypot(*np.gradient(lightness))
    ink = array(drawing)[..., 0] < 128
    assert slope[ink].mean() > 2 * slope[~ink].mean()


@pytest.mark.parametrize("size", [64, 100, 256])
def test_labels_are_pure_colours(size):
    for index in range(4):
        labels = np.asarray(toy.draw_scene("labels", index, size)).reshape(-1, 3)
        assert set(map(tuple, labels.tolist())) <= set(LABELS.values())


def test_every_label_is_used():
    found: set[tuple[int, ...]] = set()
    for index in range(24):
        labels = np.asarray(toy.draw_scene("labels", index, 64)).reshape(-1, 3)
        found |= set(map(tuple, labels.tolist()))
    assert found == set(LABELS.values())


@pytest.mark.parametrize("axis", [0, 1])
def test_labels_align_with_the_facade(axis):
    """Where labels change, the photo changes: most at that very pixel, less one pixel beside it."""
    score = dict.fromkeys((-2, -1, 0, 1, 2), 0.0)
    for index in range(8):
        labels, photo = toy.draw_pair("facades", index, 128)
        step = np.abs(np.diff(array(photo.convert("L")), axis=axis))
        change = (np.diff(np.asarray(labels).astype(int), axis=axis) != 0).any(axis=2)
        for shift in score:
            score[shift] += float(np.roll(step, -shift, axis=axis)[change].mean())
    assert score[0] > 1.4 * max(score[-1], score[1])


def test_a_facades_style_can_be_told_from_its_labels():
    signature = {"plaster": {"blind"}, "stone": {"pillar"}, "brick": set(), "concrete": set()}
    for seed in range(40):
        facade = plan_facade(np.random.default_rng(seed))
        names = {part.label for part in facade.parts}
        assert names & {"blind", "pillar"} == signature[facade.style]
        assert ("sill" in names) == (facade.style != "concrete")
    assert set(signature) == set(STYLES)


def test_unknown_task_is_refused():
    with pytest.raises(ValueError, match=r"'mpa' .* choose one of map, "):
        toy.draw_pair("mpa", 0)
    with pytest.raises(ValueError, match=r"'dusk' .* choose one of aerial, "):
        toy.draw_scene("dusk", 0)


@pytest.mark.parametrize(
    ("index", "size", "seed", "message"),
    [(0, 15, 0, "size is 15; .* at least 16"), (-1, 32, 0, "index is -1"), (0, 32, -7, "seed is -7")],
)
def test_impossible_numbers_are_refused(index, size, seed, message):
    with pytest.raises(ValueError, match=message):
        toy.draw_pair("map", index, size, seed)
