"""Configurations: what cannot work is refused by the flag's name and value, before anything is allocated."""

# Wrong types are what is tested.
# mypy: disable-error-code="arg-type"

import dataclasses
import json
import math
import subprocess
import sys

import pytest

from pix2pix.config import CONTRACT_VERSION, DiscriminatorConfig, ModelConfig
from pix2pix.errors import ConfigError, ModelError
from pix2pix.training_config import TOY, TrainingConfig

DATA = {"train_data_dir": "pairs"}


def test_importing_configurations_errors_and_files_brings_neither_torch_nor_numpy():
    code = (
        "import sys, pix2pix.config, pix2pix.training_config, pix2pix.errors, pix2pix.files\n"
        "sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("resolution", 8),
        ("resolution", 100_000),
        ("width", 0),
        ("width", 4096),
        ("depth", 1),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("dropout", math.nan),
        ("norm", "layer"),
        ("generator", "unet_512"),
        ("task", "maps"),
        ("direction", "AtoC"),
        ("fit", "stretch"),
        ("discriminator_width", 0),
        ("discriminator_layers", 7),
        ("train_batch_size", 0),
        ("train_batch_size", 1.5),
        ("train_batch_size", "4"),
        ("train_batch_size", True),
        ("gradient_accumulation_steps", 0),
        ("num_train_epochs", 0),
        ("max_train_steps", 0),
        ("checkpoints_total_limit", 0),
        ("learning_rate", 0.0),
        ("learning_rate", math.inf),
        ("learning_rate", "fast"),
        ("lambda_l1", -1.0),
        ("lambda_l1", math.inf),
        ("lambda_gan", math.nan),
        ("adam_beta1", 1.0),
        ("ema_decay", 1.0),
        ("seed", -1),
        ("seed", 2**32),
        ("use_ema", 1),
        ("output_dir", 3),
        ("best_metric", "fid"),
    ],
)
def test_a_bad_value_is_refused_by_flag_and_value(flag, value):
    with pytest.raises(ConfigError, match=rf"--{flag} is {value!r}; it must be .+") as error:
        TrainingConfig(**{**DATA, flag: value})
    assert "NoneType" not in str(error.value)


def test_a_rule_is_said_in_words():
    with pytest.raises(ConfigError, match="it must be a whole number or none"):
        TrainingConfig(max_train_steps="many")
    with pytest.raises(ConfigError, match="it must be one of instance, batch, none"):
        TrainingConfig(norm="layer")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"dataset_name": "a/b", "train_data_dir": "c"},
            "--dataset_name a/b and --train_data_dir c: give one",
        ),
        ({"dataset_revision": "main", **DATA}, "--dataset_revision main is for --dataset_name"),
        ({"dataset_name": "a/b", "layout": "two_folders"}, "--layout two_folders: a data set by name"),
        ({"layout": "photos", "input_column": "x", **DATA}, "--layout photos has no columns such as x"),
        ({"layout": "photos"}, "--layout photos speaks of your data, and there are none"),
        ({"direction": "BtoA"}, "--direction BtoA .*--task map-to-aerial"),
        ({"load_size": 200}, "--load_size 200 is smaller than --resolution 256"),
        ({"input_color": "raw"}, "--input_color raw and --input_channels go together; got 'raw' and None"),
        ({"output_channels": 4}, "--output_color raw and --output_channels go together; got 'auto' and 4"),
        ({"input_color": "raw", "input_channels": 65}, "--input_channels is 65"),
        ({"lambda_gan": 0.0, "lambda_l1": 0.0}, "--lambda_gan, --lambda_l1, .* are 0: no objective"),
        ({"gan_mode": "wgangp", "norm": "batch"}, "--gan_mode wgangp with --norm batch"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, said):
    with pytest.raises(ConfigError, match=said):
        TrainingConfig(**flags)


def test_training_flags_make_the_contract_that_the_task_means():
    model = TrainingConfig(task="colorize", width=8).model_config("l", "ab")
    assert (model.in_channels, model.out_channels, model.width) == (1, 2, 8)
    raw = TrainingConfig(input_color="raw", input_channels=4, output_color="grey", **DATA).model_config()
    assert (raw.input_color, raw.in_channels, raw.output_color, raw.out_channels) == ("raw", 4, "grey", 1)
    with pytest.raises(ConfigError, match="from 'rgb' to 'ab'"):
        TrainingConfig(task="colorize", input_color="rgb").model_config("l", "ab")


def test_only_batches_of_batch_norm_run_on_running_statistics():
    def policy(**flags):
        return TrainingConfig(**flags).model_config().normalization

    assert policy(norm="batch", train_batch_size=4) == "running"
    assert policy(norm="batch", train_batch_size=1) == policy(train_batch_size=4) == "picture"


def test_the_load_size_is_the_papers_unless_given():
    assert TrainingConfig().resolved_load_size == 286
    assert TrainingConfig(resolution=128).resolved_load_size == 143
    assert TrainingConfig(load_size=300).resolved_load_size == 300


def test_the_toy_preset_is_valid_and_needs_no_data():
    assert dataclasses.replace(TOY) == TOY
    assert TOY.dataset_name is None
    assert TOY.train_data_dir is None


def through_json(content):
    return json.loads(json.dumps(content, allow_nan=False))


def test_configurations_survive_json():
    model = ModelConfig(
        task="colorize", in_channels=1, out_channels=2, input_color="l", output_color="ab", depth=5
    )
    assert ModelConfig.from_dict(through_json(model.to_dict())) == model
    discriminator = DiscriminatorConfig(layers=0, in_channels=3)
    assert DiscriminatorConfig.from_dict(through_json(discriminator.to_dict())) == discriminator
    assert TrainingConfig(**through_json(TOY.to_dict())) == TOY


def test_a_field_of_a_later_version_is_ignored():
    assert ModelConfig.from_dict({**ModelConfig().to_dict(), "sharpening": True}) == ModelConfig()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 10**9),
        ("width", "64"),
        ("width", 64.0),
        ("width", True),
        ("width", None),
        ("depth", 10**6),
        ("resolution", -1),
        ("in_channels", 0),
        ("out_channels", 10**7),
        ("dropout", 1.5),
        ("dropout", "half"),
        ("generator", "os.system"),
        ("generator", ["unet_256"]),
        ("norm", "layer"),
        ("input_color", "cmyk"),
        ("output_color", "hsv"),
        ("inference_dropout", "yes"),
        ("normalization", "running"),
        ("output_color", "ab"),
        ("output_color", "grey"),
    ],
)
def test_a_hostile_or_broken_config_json_is_refused(field, value):
    with pytest.raises(ModelError, match=r"config\.json cannot be used"):
        ModelConfig.from_dict({**ModelConfig().to_dict(), field: value})


@pytest.mark.parametrize("version", [CONTRACT_VERSION + 1, 0, "1", None, True])
@pytest.mark.parametrize("kind", [ModelConfig, DiscriminatorConfig])
def test_a_contract_version_that_is_not_known_is_refused(kind, version):
    with pytest.raises(ModelError, match=rf"contract version {version!r}.*pip install -U pix2pix"):
        kind.from_dict({**kind().to_dict(), "contract_version": version})


@pytest.mark.parametrize("content", [{}, {"model_type": "bert"}, [], "unet_256"])
@pytest.mark.parametrize("kind", [ModelConfig, DiscriminatorConfig])
def test_a_config_json_of_something_else_is_refused(kind, content):
    with pytest.raises(ModelError, match="this is not a pix2pix"):
        kind.from_dict(content)


@pytest.mark.parametrize(("field", "value"), [("layers", 7), ("width", 0), ("in_channels", 1), ("norm", 3)])
def test_a_broken_discriminator_config_is_refused(field, value):
    with pytest.raises(ModelError, match=f"cannot be used: {field} is {value}"):
        DiscriminatorConfig.from_dict({**DiscriminatorConfig().to_dict(), field: value})


@pytest.mark.parametrize(
    ("width", "rate"), [(64, 2e-4), (128, 2e-4), (48, 2e-4 * 16 / 9), (32, 8e-4), (8, 8e-4)]
)
def test_a_narrow_generator_learns_at_a_larger_rate_unless_told_otherwise(width, rate):
    config = TrainingConfig(width=width)
    assert config.resolved_learning_rate == pytest.approx(rate)
    assert config.to_dict()["learning_rate"] == pytest.approx(rate)
    assert TrainingConfig(width=width, learning_rate=1e-3).resolved_learning_rate == 1e-3
