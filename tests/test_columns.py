"""Picture columns: of metadata.jsonl and metadata.csv in a folder, and of data sets, offline."""

import io
import json
import os
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.columns import choose_columns
from pix2pix.errors import DataError
from pix2pix.layouts import find_pairs
from pix2pix.pairs import check_pairs, hold_out
from pix2pix.training_config import TrainingConfig

RED, BLUE = (255, 0, 0), (0, 0, 255)


def png(color, size=(4, 4)):
    file = io.BytesIO()
    (color if isinstance(color, Image.Image) else Image.new("RGB", size, color)).save(file, "PNG")
    return file.getvalue()


def colors(source, index=0):
    return tuple(None if side is None else side.getpixel((1, 1)) for side in source.load(index))


# ---- which is which ---------------------------------------------------------------------------------------


def choose(available, **flags):
    return choose_columns(available, TrainingConfig(train_data_dir="x", **flags), "The set")


@pytest.mark.parametrize(
    "names",
    [("imageA", "imageB"), ("input", "target"), ("source", "target"), ("conditioning_image", "image")],
)
def test_usual_names_are_known_in_any_order_and_company(names):
    assert choose(["mask", *names[::-1]]) == names


def test_named_columns_win_over_usual_ones():
    assert choose(["input", "target", "x"], input_column="x", target_column="input") == ("x", "input")
    assert choose(["sat", "map"], input_column="map") == ("map", "sat")
    assert choose(["sat", "map"], target_column="map") == ("sat", "map")


def test_one_column_is_the_target_where_the_task_makes_the_input():
    assert choose(["image"], task="colorize") == (None, "image")
    assert choose(["input", "target"], task="sketch", target_column="target") == (None, "target")
    with pytest.raises(DataError, match="--direction BtoA has no meaning"):
        choose(["image"], task="colorize", direction="BtoA")


@pytest.mark.parametrize(
    ("available", "flags", "said"),
    [
        (
            ["sat", "map"],
            {},
            "columns sat, map; which are input and target.*--input_column and --target_column",
        ),
        (["image"], {"task": "map"}, "columns image; which are"),
        ([], {}, "columns none; which are"),
        (["a", "b", "c"], {"input_column": "a"}, "which are input and target"),
        (["a", "b"], {"input_column": "z"}, "--input_column z: The set has the picture columns a, b"),
        (["a", "b"], {"target_column": "z"}, "--target_column z: The set has"),
        (["a", "b"], {"input_column": "a", "target_column": "a"}, "are both a"),
    ],
)
def test_unclear_columns_are_refused_with_those_there_are(available, flags, said):
    with pytest.raises(DataError, match=said):
        choose(available, **flags)


# ---- metadata files ---------------------------------------------------------------------------------------


def metadata_folder(folder, rows, name="metadata.jsonl"):
    """A red in/N.png and a blue out/N.png for three pairs, and the rows as the metadata file."""
    for side, color in (("in", RED), ("out", BLUE)):
        (folder / side).mkdir(parents=True)
        for number in range(3):
            (folder / side / f"{number}.png").write_bytes(png(color))
    text = (
        rows if isinstance(rows, str) else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    )
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def find(folder, split="train", **flags) -> Any:
    return find_pairs(TrainingConfig(train_data_dir=str(folder), **flags), split)


ROWS = [
    {"target_file_name": f"out/{n}.png", "text": "\u2028", "input_file_name": f"./in/{n}.png"} for n in (2, 0)
]


@pytest.mark.parametrize("layout", ["auto", "columns"])
@pytest.mark.parametrize("place", [".", "train"])
def test_rows_of_metadata_are_pairs_in_their_order(tmp_path, layout, place):
    metadata_folder(tmp_path / place, ROWS)
    source = find(tmp_path, layout=layout)
    assert (source.layout, source.names) == ("columns", ["in/2.png", "in/0.png"])
    assert colors(source) == (RED, BLUE)
    assert colors(find(tmp_path, layout=layout, direction="BtoA")) == (BLUE, RED)
    assert [path.name for path in source.ignored] == ["1.png", "1.png"]
    assert find(tmp_path, "val") is None


def test_a_spreadsheets_csv_is_read(tmp_path):
    text = '\ufeffinput_file_name,note,target_file_name\nin/0.png,"two\nlines",out/0.png\n'
    assert colors(find(metadata_folder(tmp_path, text, "metadata.csv"))) == (RED, BLUE)


def test_metadata_columns_can_be_named(tmp_path):
    rows = [{"sat_file_name": "out/0.png", "map_file_name": "in/0.png", "file_name": "in/1.png"}]
    folder = metadata_folder(tmp_path, rows)
    with pytest.raises(DataError, match="columns sat, map, image; which"):
        find(folder)
    assert colors(find(folder, input_column="map", target_column="sat")) == (RED, BLUE)
    assert colors(find(folder, input_column="sat", target_column="image")) == (BLUE, RED)


def test_metadata_of_photos_gives_targets(tmp_path):
    folder = metadata_folder(tmp_path, [{"file_name": "out/1.png"}])
    assert colors(find(folder, layout="columns", task="colorize")) == (None, BLUE)


def test_metadata_about_something_else_leaves_the_pictures_to_the_other_layouts(tmp_path):
    side = png(Image.new("RGB", (8, 4), RED))
    (tmp_path / "x.png").write_bytes(side)
    (tmp_path / "metadata.csv").write_text("file_name,camera\nx.png,Z6\n")
    assert find(tmp_path).layout == "side_by_side"


def test_missing_files_of_metadata_are_named_by_row(tmp_path):
    rows = [
        *ROWS,
        {"input_file_name": "in/9.png", "target_file_name": "out/0.png"},
        {"input_file_name": "in/0.png", "target_file_name": None},
        {"input_file_name": "in/0.png"},
    ]
    with pytest.raises(DataError) as error:
        find(metadata_folder(tmp_path, rows))
    text = str(error.value)
    assert text.startswith("3 files in the metadata")
    assert f"row 3: {tmp_path / 'in' / '9.png'} is missing" in text
    assert "row 4: target_file_name is None" in text
    assert "row 5: target_file_name is None" in text


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('{"input_file_name": "a"}\n{"input', "line 2 is not JSON"),
        ('["a", "b"]\n', "line 1 is .* not an object"),
        ("", "has no rows"),
        ("[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_broken_metadata_is_refused(tmp_path, rows, said):
    with pytest.raises(DataError, match=said):
        find(metadata_folder(tmp_path, rows))


def test_columns_asked_for_without_metadata_are_refused(tmp_path):
    (tmp_path / "x.png").write_bytes(png(RED))
    for flags in ({"layout": "columns"}, {"input_column": "a"}):
        with pytest.raises(DataError, match=r"there is no metadata\.jsonl or metadata\.csv in"):
            find(tmp_path, **flags)


# ---- data sets --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The library, offline, with a cache of its own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    patch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    datasets = pytest.importorskip("datasets")
    patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
    patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()
    yield datasets
    patch.undo()


def saved(datasets, folder, splits=("train",), count=3, features=True, **columns):
    """A data set of `count` rows as parquet in a folder; a column is a function of the row's number."""
    for split in splits:
        cells = {name: [make(n) for n in range(count)] for name, make in columns.items()}
        rows = {
            name: [data and {"bytes": data, "path": f"{n}.png"} for n, data in enumerate(column)]
            for name, column in cells.items()
        }
        kinds = datasets.Features({**dict.fromkeys(columns, datasets.Image()), "n": datasets.Value("int64")})
        table = datasets.Dataset.from_dict(
            {**rows, "n": list(range(count))}, features=kinds if features else None
        )
        (folder / "data").mkdir(parents=True, exist_ok=True)
        table.to_parquet(str(folder / "data" / f"{split}-00000.parquet"))
    return folder


def load(folder, split="train", **flags) -> Any:
    return find_pairs(TrainingConfig(dataset_name=str(folder), **flags), split)


def red(number):
    return png((255, number, 0))


def blue(number):
    return png((0, number, 255))


@pytest.mark.parametrize("names", [("imageA", "imageB"), ("input", "target"), ("source", "target")])
def test_a_data_set_gives_its_pair_of_columns(datasets, tmp_path, names):
    folder = saved(datasets, tmp_path, **{names[1]: blue, names[0]: red})
    source = load(folder)
    assert (source.layout, source.names) == ("columns", ["row 0", "row 1", "row 2"])
    assert colors(source, 2) == ((255, 2, 0), (0, 2, 255))
    assert colors(load(folder, direction="BtoA"), 2) == ((0, 2, 255), (255, 2, 0))
    check_pairs(source)


def test_a_data_sets_columns_can_be_named_and_its_splits_go_by_their_names(datasets, tmp_path):
    folder = saved(datasets, tmp_path, splits=("train", "validation"), sat=red, map=blue)
    flags = {"input_column": "map", "target_column": "sat"}
    assert colors(load(folder, **flags)) == ((0, 0, 255), (255, 0, 0))
    assert colors(load(folder, "val", **flags)) == ((0, 0, 255), (255, 0, 0))
    assert load(folder, "test", **flags) is None
    with pytest.raises(DataError, match=r"has the splits train, validation, not 'trian'.*--train_split"):
        load(folder, "trian", train_split="trian", **flags)


def test_a_data_set_of_photos_gives_targets(datasets, tmp_path):
    assert colors(load(saved(datasets, tmp_path, image=blue), task="sketch")) == (None, (0, 0, 255))


def test_parquet_without_the_librarys_own_features_is_read(datasets, tmp_path):
    folder = saved(datasets, tmp_path, features=False, input=red, target=blue)
    assert colors(load(folder), 1) == ((255, 1, 0), (0, 1, 255))


def test_pictures_of_a_data_set_keep_16_bit_and_are_upright(datasets, tmp_path):
    ramp = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    Image.new("RGB", (4, 8)).save(turned, "PNG", exif=exif)
    folder = saved(
        datasets, tmp_path, input=lambda n: png(Image.fromarray(ramp)), target=lambda n: turned.getvalue()
    )
    x, y = load(folder).load(0)
    assert np.array_equal(np.asarray(x), ramp)
    assert y.size == (8, 4)


def test_unusable_rows_of_a_data_set_are_named(datasets, tmp_path):
    def target(number):
        return {0: blue(0), 1: None, 2: b"no picture", 3: png(BLUE, (5, 4))}[number]

    source = load(saved(datasets, tmp_path, count=4, input=red, target=target))
    with pytest.raises(DataError) as error:
        check_pairs(source)
    text = str(error.value)
    assert text.startswith("3 of 4 pairs")
    assert "row 1, column 'target'" in text
    assert "row 2, column 'target' (2.png)" in text
    assert "row 3: its two sides are 4x4 and 5x4 pixels" in text


def test_a_data_set_that_cannot_be_loaded_is_refused(datasets, tmp_path):
    with pytest.raises(DataError, match=r"cannot be loaded: .*\nCheck its name"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="cannot be loaded"):
        load("nobody/nothing-at-all")


def test_a_data_set_can_be_read_by_a_spawned_process(datasets, tmp_path):
    folder = saved(datasets, tmp_path / "set", count=4, input=red, target=blue)
    (tmp_path / "source").write_bytes(pickle.dumps(hold_out(load(folder))[0]))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).load(2)[1].getpixel((0, 0)))"
    command = [sys.executable, "-c", code, str(tmp_path / "source")]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    assert run.stdout.startswith("(0, "), run.stderr
