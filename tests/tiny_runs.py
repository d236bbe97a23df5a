"""Flags and pairs of a few pixels, on which the training script runs in a second."""

import torch
from PIL import Image
from safetensors.torch import load_file

from pix2pix import toy
from pix2pix.checkpoints import list_checkpoints

TINY = [
    "--resolution", "32", "--depth", "5", "--width", "4", "--discriminator_width", "4",
    "--discriminator_layers", "1", "--report_to", "none", "--cpu", "--log_steps", "1", "--task", "map",
]  # fmt: skip


def write_pairs(folder):
    """Six training and two validation pairs of the drawn town, side by side, 32 pixels a side."""
    for split, first, count in (("train", 0, 6), ("val", 6, 2)):
        (folder / split).mkdir(parents=True)
        for index in range(first, first + count):
            sheet = Image.new("RGB", (64, 32))
            for column, side in enumerate(toy.draw_pair("map", index, 32)):
                sheet.paste(side, (32 * column, 0))
            sheet.save(folder / split / f"{index}.png")
    return folder


def tensors(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def checkpoints_after(folder, step):
    return [path for path in list_checkpoints(folder / "checkpoints") if int(path.name[5:]) > step]
