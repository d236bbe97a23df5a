"""Another project's checkpoint becomes a folder of ours, whose network draws what the original drew.

    imported = import_checkpoint("latest_net_G.pth", "models/facades", task="facades")
    Translator.from_pretrained(imported.folder)

The architecture is recognised from names and shapes. What they cannot tell has that implementation's own
default, and a parameter.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pix2pix.card import write_card
from pix2pix.config import ModelConfig, TaskId
from pix2pix.errors import ConfigError
from pix2pix.files import replacing
from pix2pix.hub import FILES
from pix2pix.interop_files import kind_of, read_tensors
from pix2pix.interop_keras import recognize_keras
from pix2pix.interop_pytorch import recognize
from pix2pix.interop_weights import Recognized
from pix2pix.networks import Generator
from pix2pix.repository import file_hash


@dataclass(frozen=True)
class Imported:
    """What was recognised in a checkpoint, and where it went."""

    folder: Path
    source: Path
    sha256: str
    origin: str
    policy: str
    """How that implementation itself draws its results."""
    parameters: int
    """Trained numbers in the checkpoint; ours may have a few more, which are constants."""
    config: ModelConfig

    def to_dict(self) -> dict[str, Any]:
        """For --json: everything, paths as text."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return content | {
            "folder": str(self.folder),
            "source": str(self.source),
            "config": self.config.to_dict(),
        }


def import_checkpoint(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    task: TaskId = "custom",
    resolution: int | None = None,
    normalization: str | None = None,
    dropout: float | None = None,
    inference_dropout: bool | None = None,
    half: bool = False,
) -> Imported:
    """Write the folder of a checkpoint's generator; None keeps what was recognised, or is usual there.

    `half` stores half precision, which is smaller and no longer equal to the original to 1e-5.
    Raises ModelError for a file that is no known generator, ConfigError for what does not fit it.
    """
    source, folder = Path(checkpoint), Path(output)
    _require_free(folder)
    found = recognize_file(source)
    wishes: dict[str, Any] = {
        "task": task,
        "resolution": resolution,
        "normalization": normalization,
        "dropout": dropout,
        "inference_dropout": inference_dropout,
    }
    config = dataclasses.replace(found.config, **{k: v for k, v in wishes.items() if v is not None})
    if config.dropout == 0:
        if inference_dropout:
            raise ConfigError(
                "--inference_dropout on: this network has no dropout; give its rate: --dropout 0.5"
            )
        config = dataclasses.replace(config, inference_dropout=False)
    G = Generator.from_config(config)
    G.load_state_dict(found.weights, strict=True)
    imported = Imported(
        folder, source, file_hash(source, 64), found.origin, found.policy, found.parameters, config
    )
    _write(G, imported, half)
    return imported


def recognize_file(path: Path) -> Recognized:
    """Read a checkpoint of any kind that is known here."""
    kind = kind_of(path)
    return recognize_keras(path) if kind == "keras" else recognize(read_tensors(path, kind))


def _require_free(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output {folder} is a file; name a folder.")
    taken = [name for name in FILES if (folder / name).exists()]
    if taken:
        raise ConfigError(
            f"--output {folder} holds {', '.join(taken)} already. Name a new folder: nothing is overwritten."
        )


def _write(G: Generator, imported: Imported, half: bool) -> None:
    """Write the folder's files beside it first: a disk that fills up leaves no half of a model."""
    folder = imported.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as staged:
            G.save_pretrained(staged, half)
            write_card(staged)
            _tell_origin(Path(staged) / "README.md", imported, half)
            for name in ("README.md", "model.safetensors", "config.json"):  # with config.json it is a model
                os.replace(Path(staged) / name, folder / name)
    except OSError as error:
        raise ConfigError(f"--output {folder} cannot be written to: {error.strerror or error}.") from error


def _tell_origin(card: Path, imported: Imported, half: bool) -> None:
    """Say in the card, outside the parts that are rendered anew, where the weights come from."""
    name = imported.source.name.replace("`", "'")
    precision = ", and stored in half precision" if half else ""
    words = (
        f"**Imported, not trained here, and not measured.** The weights are those of `{name}` (SHA-256 "
        f"`{imported.sha256}`): a {imported.origin}, converted by `pix2pix import`{precision}. What it was "
        "trained on, at which size and under which terms, does not stand in such a file: whoever publishes "
        "it should say so here.\n\n"
    )
    text = card.read_text(encoding="utf-8")
    place = text.index("<!-- ", text.index("\n# "))  # behind the title and its sentence
    with replacing(card) as temporary:
        temporary.write_text(text[:place] + words + text[place:], encoding="utf-8")
