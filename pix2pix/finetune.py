"""Going on from a trained model instead of from random weights."""

from __future__ import annotations

import dataclasses

from pix2pix.config import ModelConfig
from pix2pix.errors import ConfigError
from pix2pix.networks import Generator, JudgesPairs

DATA_FIELDS = ("input_color", "in_channels", "output_color", "out_channels")


def start_from(
    source: str, wanted: ModelConfig, *, revision: str | None = None
) -> tuple[Generator, JudgesPairs, ModelConfig]:
    """Return G and D of a trained folder or Hub repository, to be trained on, and G's contract from now on.

    Their architecture is the one they have, whatever the flags say; task, resolution and normalization are
    the wanted ones. Raises ModelError for what cannot be loaded, ConfigError where the pictures do not fit.
    """
    G = Generator.from_pretrained(source, revision=revision)
    D = JudgesPairs.from_pretrained(source, subfolder="discriminator", revision=revision)
    had = G.config
    assert isinstance(had, ModelConfig)
    for field in DATA_FIELDS:
        if getattr(had, field) != getattr(wanted, field):
            raise ConfigError(
                f"--init_from {source} has {field} {getattr(had, field)!r}, this run's data have "
                f"{getattr(wanted, field)!r}. Give the --task and colours that the model was made for."
            )
    kept = {field.name: getattr(had, field.name) for field in dataclasses.fields(had)}
    news = ("task", "resolution", "contract_version", "library_version")
    model = ModelConfig(**kept | {name: getattr(wanted, name) for name in news})
    if model.norm == "batch":
        model = dataclasses.replace(model, normalization=wanted.normalization)
    G.config = model
    return G.train(), D.train(), model
