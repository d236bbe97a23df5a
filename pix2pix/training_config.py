"""Every number a run depends on, in a frozen dataclass that refuses what cannot work, and the toy preset."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pix2pix.config import (
    CHANNELS,
    RANGES,
    ColorName,
    DiscriminatorConfig,
    DiscriminatorName,
    GeneratorName,
    ModelConfig,
    NormName,
    TaskId,
    UpsampleName,
    check_range,
    check_types,
)
from pix2pix.errors import ConfigError

GanMode = Literal["vanilla", "lsgan", "hinge", "wgangp"]
Layout = Literal["auto", "side_by_side", "two_folders", "photos", "columns"]


@dataclass(frozen=True)
class TrainingConfig:
    """Everything `train_accelerate.py` can be told; saved with the run as training_config.json."""

    # Data
    dataset_name: str | None = None
    """Hub data set with two picture columns, such as huggan/facades, or a local folder of one."""
    dataset_revision: str | None = None
    """Branch, tag or commit of the Hub data set."""
    train_data_dir: str | None = None
    """Folder with the pairs. Without this and without --dataset_name the drawn town is learned."""
    train_split: str = "train"
    """Split, or sub-folder, to train on."""
    validation_split: str = "val"
    """Split, or sub-folder, to validate on; if there is none, some training pairs are held out."""
    streaming: bool = False
    """Read the Hub data set while training, without keeping it; for sets larger than the disk."""
    max_bad_rows: int = 10
    """With --streaming: so many unreadable rows are passed over, counted and named; one more ends the run."""
    layout: Layout = "auto"
    """How the pairs lie there: input and target side by side in one file, two folders of equal names,
    photos from which the task derives the input, or two picture columns (metadata.jsonl or the Hub)."""
    direction: Literal["AtoB", "BtoA"] = "AtoB"
    """Which side of the files is the input: A (left, first) or B."""
    input_column: str | None = None
    """Picture column of A (found by itself: imageA, input, source, ...)."""
    target_column: str | None = None
    """Picture column of B (found by itself: imageB, target, ...)."""
    task: TaskId = "custom"
    """What the pairs mean; fixes colour spaces and the model's tag."""
    resolution: int = 256
    """Side in pixels of the pictures that G learns on."""
    load_size: int | None = None
    """Side to which a picture is resized before the random crop; None: 286/256 of the resolution, as the
    paper does."""
    augment: Literal["none", "standard", "small-data"] = "standard"
    """none; standard: the paper's random crop and mirror; small-data: also stronger zoom and light changes,
    shared by both sides of the pair, and --ada_target 0.6."""
    cache: str = "off"
    """Keep the resized pairs: a folder, or auto (the user's cache folder). Loading is then many times faster;
    crops are cut in whole pixels, as in the paper, and of 8 bits. off: read and resize every time."""
    fit: Literal["crop", "squash"] = "crop"
    """Pictures that are not square: crop a square, or squash the whole picture into one."""
    input_color: Literal["auto", "rgb", "grey", "raw"] = "auto"
    """Colour space that G reads; auto: the task's. raw: .npy arrays with --input_channels channels."""
    output_color: Literal["auto", "rgb", "grey", "raw"] = "auto"
    """Colour space that G draws; auto: the task's."""
    input_channels: int | None = None
    """Channels of raw inputs."""
    output_channels: int | None = None
    """Channels of raw targets."""
    toy_pairs: int = 400
    """Pairs of the drawn town, when no data are given."""

    # G and D
    generator: GeneratorName = "unet_256"
    """The paper's U-Net for 256 or 128 pixels, the article's, HugGAN's, or a ResNet."""
    width: int = 64
    """Channels of G's first layer; 32 trains four times as fast on a CPU."""
    depth: int | None = None
    """G's encoder or residual blocks, if other than its name says."""
    norm: NormName = "instance"
    """Normalization in G and D. instance is the paper's test-time batch norm at batch 1."""
    dropout: float = 0.5
    """Dropout in G's first decoder blocks (the paper's noise); off at inference."""
    upsample: UpsampleName = "transpose"
    """How G's decoder grows: transposed convolutions (paper), or resize and convolve (no checkerboards), by
    the article's 4x4 kernels or by 3x3 ones, which are as quick as transposing."""
    discriminator: DiscriminatorName = "patch"
    """PatchGAN, PixelGAN, the article's, or PatchGANs at several scales."""
    discriminator_layers: int = 3
    """Depth of the PatchGAN: 0 to 6 give receptive fields 1, 16, 34, 70, 142, 286, 574."""
    discriminator_width: int = 64
    """Channels of D's first layer."""

    # Objective
    gan_mode: GanMode = "vanilla"
    """The adversarial objective."""
    lambda_gan: float = 1.0
    """Weight of the adversarial loss; 0 trains G on reconstruction alone."""
    lambda_l1: float = 100.0
    """Weight of L1 between output and target (paper, eq. 4)."""
    lambda_l2: float = 0.0
    """Weight of L2 (the article's alternative)."""
    lambda_fm: float = 0.0
    """Weight of feature matching in D's layers (pix2pixHD, eq. 4)."""
    lambda_gp: float = 10.0
    """Weight of the gradient penalty; only with --gan_mode wgangp."""
    ada_target: float | None = None
    """Adaptive augmentation before D: how sure D may be of real pairs (mean sign of its logits) before the
    pairs that it sees are changed more often; 0: off. None: 0.6 with --augment small-data, else off."""
    ada_images: int = 10_000
    """Pairs seen until that probability could have gone from 0 to 1."""

    # Optimisation
    train_batch_size: int = 1
    """Pairs per process and step."""
    find_batch_size: bool = False
    """Halve --train_batch_size until a step fits into memory, keeping the pairs per step."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients are added before an optimizer step."""
    num_train_epochs: int = 200
    """Passes over the training pairs."""
    max_train_steps: int | None = None
    """Optimizer steps in all; wins over --num_train_epochs."""
    learning_rate: float | None = None
    """Adam's rate for G and D; None: the paper's 2e-4 at width 64 and above, more for a narrower G, up to
    8e-4 at width 32 and below."""
    adam_beta1: float = 0.5
    """Adam's first moment decay (paper, section 3.3)."""
    lr_scheduler: Literal["linear", "constant", "cosine"] = "linear"
    """linear: constant for the first half, then down to 0, as the original code does."""
    use_ema: bool = False
    """Keep an exponential moving average of G's weights; it is what is validated and published."""
    ema_decay: float = 0.999
    """Decay of that average per step (ramped up over the first steps)."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Prefer bf16 to fp16 where the machine has it; leave it off on a CPU."""
    seed: int = 0
    """Seeds weights, order, crops and dropout."""
    dataloader_num_workers: int = 0
    """Processes that read pairs; 0 reads in the training process."""
    compile: bool = False
    """torch.compile G and D; worth it on a GPU, not on a CPU."""
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """With --compile: reduce-overhead replays CUDA graphs on a GPU, max-autotune also searches kernels."""
    cpu: bool = False
    """Train on the CPU although there is a GPU."""

    init_from: str | None = None
    """Hub id or folder of a trained model to go on from, discriminator included. Its architecture is kept."""

    # Checkpoints, validation, reports
    output_dir: str | None = None
    """Where everything goes; None: runs/TASK."""
    checkpointing_steps: int = 500
    """Steps between checkpoints."""
    checkpoints_total_limit: int | None = 2
    """Checkpoints kept."""
    resume_from_checkpoint: str | None = None
    """`latest`, or a checkpoint's folder."""
    validation_steps: int = 500
    """Steps between validations."""
    validation_pairs: int = 100
    """At most so many pairs are validated on; 0: all."""
    best_metric: Literal["l1", "psnr", "ssim", "sharpness", "lab", "swd"] = "swd"
    """The measure by which the published weights are chosen."""
    report_to: Literal["tensorboard", "wandb", "trackio", "none"] = "tensorboard"
    """Tracker. One that fails is switched off; training goes on."""
    log_steps: int = 10
    """Steps between readings of the losses."""

    # The Hub and the model card
    license: str | None = None
    """License of the model, an id that the Hub knows, such as apache-2.0 or cc-by-4.0."""
    data_terms: str | None = None
    """Whose the training pictures are and what they may be used for; stands in the model card."""
    push_to_hub: bool = False
    """Publish the best weights, with card and records, at the end (token: hf auth login)."""
    hub_model_id: str | None = None
    """Repository to push to, such as user/pix2pix-map."""
    hub_private_repo: bool = False
    """Create that repository for your eyes only."""
    push_steps: int | None = None
    """Push on the way, too: steps between pushes, taken at the next validation."""

    def __post_init__(self) -> None:
        check_types(self, "--")
        self._check_data_flags()
        self._check_streaming()
        self._check_numbers()
        self._check_objective()
        self.model_config()
        self.discriminator_config()

    def _check_data_flags(self) -> None:
        if self.dataset_name and self.train_data_dir:
            raise ConfigError(
                f"--dataset_name {self.dataset_name} and --train_data_dir {self.train_data_dir}: give one."
            )
        self._check_data_flags_have_data()
        for flag, kind, channels in (
            ("input", self.input_color, self.input_channels),
            ("output", self.output_color, self.output_channels),
        ):
            if (kind == "raw") != (channels is not None):
                raise ConfigError(
                    f"--{flag}_color raw and --{flag}_channels go together; got {kind!r} and {channels}."
                )
        if self.cache not in ("auto", "off") and not self.caches:
            raise ConfigError(
                f"--cache {self.cache!r}: name a folder, auto or off. A stream (--streaming) and raw numbers "
                "cannot be kept: leave it away there."
            )
        if self.push_to_hub and not self.hub_model_id:
            raise ConfigError("--push_to_hub needs --hub_model_id, such as user/pix2pix-map.")
        if self.load_size is not None and self.load_size < self.resolution:
            raise ConfigError(
                f"--load_size {self.load_size} is smaller than --resolution {self.resolution}: "
                "no crop of that size fits in it."
            )

    def _check_data_flags_have_data(self) -> None:
        """Refuse flags that say where or how pairs lie, when there is nothing that they speak of."""
        if self.train_data_dir is None and self.dataset_name is None:
            for flag in ("layout", "direction", "input_column", "target_column", "dataset_revision"):
                default = getattr(type(self), flag)
                if getattr(self, flag) != default:
                    hint = "; the drawn town turns round by its task (--task map-to-aerial)" * (
                        flag == "direction"
                    )
                    raise ConfigError(
                        f"--{flag} {getattr(self, flag)} speaks of your data, and there are none{hint}. Give "
                        "--train_data_dir or --dataset_name."
                    )
        if self.dataset_revision and not self.dataset_name:
            raise ConfigError(
                f"--dataset_revision {self.dataset_revision} is for --dataset_name, which is missing."
            )
        if self.dataset_name and self.layout not in ("auto", "columns"):
            raise ConfigError(
                f"--layout {self.layout}: a data set by name has picture columns. Leave it away."
            )
        columns = self.input_column or self.target_column
        if columns and self.layout not in ("auto", "columns"):
            raise ConfigError(
                f"--layout {self.layout} has no columns such as {columns}. Leave one of them away."
            )

    def _check_streaming(self) -> None:
        if not self.streaming:
            return
        if not self.dataset_name:
            raise ConfigError("--streaming reads a Hub data set: name it with --dataset_name.")
        if self.max_train_steps is None:
            raise ConfigError("--streaming needs --max_train_steps: how long a stream is shows at its end.")

    def _check_numbers(self) -> None:
        for flag in ("width", "resolution", "dropout", "depth", "input_channels", "output_channels"):
            if getattr(self, flag) is not None:
                check_range("--" + flag, getattr(self, flag), *RANGES[flag])
        check_range("--discriminator_width", self.discriminator_width, *RANGES["width"])
        check_range("--discriminator_layers", self.discriminator_layers, *RANGES["layers"])
        check_range("--seed", self.seed, 0, 2**31 - 1)
        for flag in (
            "train_batch_size", "gradient_accumulation_steps", "num_train_epochs", "checkpointing_steps",
            "validation_steps", "log_steps", "toy_pairs", "ada_images",
        ):  # fmt: skip
            check_range("--" + flag, getattr(self, flag), 1, math.inf)
        for flag in ("push_steps", "max_train_steps", "checkpoints_total_limit"):
            if getattr(self, flag) is not None:
                check_range("--" + flag, getattr(self, flag), 1, math.inf)
        for flag in (
            "lambda_gan", "lambda_l1", "lambda_l2", "lambda_fm", "lambda_gp", "dataloader_num_workers",
            "validation_pairs", "max_bad_rows",
        ):  # fmt: skip
            check_range("--" + flag, getattr(self, flag), 0, math.inf)
        if self.ada_target is not None:
            check_range("--ada_target", self.ada_target, 0, 0.99)
        if self.learning_rate is not None:
            check_range("--learning_rate", self.learning_rate, 1e-12, 1.0)
        check_range("--adam_beta1", self.adam_beta1, 0.0, 0.9999)
        check_range("--ema_decay", self.ema_decay, 0.0, 0.99999)

    def _check_objective(self) -> None:
        if self.lambda_gan == self.lambda_l1 == self.lambda_l2 == self.lambda_fm == 0:
            raise ConfigError(
                "All of --lambda_gan, --lambda_l1, --lambda_l2, --lambda_fm are 0: no objective."
            )
        if self.gan_mode == "wgangp" and self.norm == "batch":
            raise ConfigError(
                "--gan_mode wgangp with --norm batch: its penalty is per picture, batch norm mixes pictures. "
                "Use --norm instance or none."
            )
        if self.ada_target and not self._judges_by_sign:
            raise ConfigError(
                f"--ada_target {self.ada_target} watches how sure D is of real pairs: it needs a D (not both "
                "--lambda_gan 0 and --lambda_fm 0) whose logits have a sign (not --gan_mode wgangp)."
            )

    def model_config(self, input_color: ColorName = "rgb", output_color: ColorName = "rgb") -> ModelConfig:
        """The contract of the generator to train; the task says which colours `auto` means."""
        input_color = input_color if self.input_color == "auto" else self.input_color
        output_color = output_color if self.output_color == "auto" else self.output_color
        return ModelConfig(
            task=self.task,
            generator=self.generator,
            width=self.width,
            depth=self.depth,
            norm=self.norm,
            dropout=self.dropout,
            upsample=self.upsample,
            in_channels=CHANNELS.get(input_color, self.input_channels or 0),
            out_channels=CHANNELS.get(output_color, self.output_channels or 0),
            input_color=input_color,
            output_color=output_color,
            resolution=self.resolution,
            # At batch size 1 training itself normalizes by the picture (paper, section 3.3).
            normalization="running" if self.norm == "batch" and self.train_batch_size > 1 else "picture",
        )

    def discriminator_config(self, in_channels: int = 6) -> DiscriminatorConfig:
        return DiscriminatorConfig(
            discriminator=self.discriminator,
            width=self.discriminator_width,
            layers=self.discriminator_layers,
            norm=self.norm,
            in_channels=in_channels,
        )

    @property
    def _judges_by_sign(self) -> bool:
        return self.lambda_gan + self.lambda_fm > 0 and self.gan_mode != "wgangp"

    @property
    def resolved_ada_target(self) -> float:
        if self.ada_target is not None:
            return self.ada_target
        return 0.6 if self.augment == "small-data" and self._judges_by_sign else 0.0

    @property
    def resolved_learning_rate(self) -> float:
        """The flag's, or the paper's 2e-4 (section 3.3) times (64 / width)^2 within 1 and 4.

        At width 32, 2e-4, 4e-4 and 8e-4 were measured: in thousands of steps the largest was ahead in every
        measure but sharpness, and at equal sharpness in every one (model_cards/RECIPES.md).
        """
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-4 * min(4.0, max(1.0, (64 / self.width) ** 2))

    @property
    def resolved_load_size(self) -> int:
        return self.load_size or round(self.resolution * 286 / 256)

    @property
    def caches(self) -> bool:
        """Whether samples are cut from resized 8-bit pairs, kept or not."""
        raw = "raw" in (self.input_color, self.output_color)
        return self.cache not in ("off", "") and not self.streaming and not raw

    @property
    def resolved_output_dir(self) -> Path:
        return Path(self.output_dir or f"runs/{self.task}")

    def to_dict(self) -> dict[str, Any]:
        """Every flag, the learning rate as a number: another version's default must not move it."""
        return dataclasses.asdict(self) | {"learning_rate": self.resolved_learning_rate}


TOY = TrainingConfig(
    task="map",
    resolution=128,
    generator="unet_128",
    width=24,
    discriminator_width=24,
    learning_rate=2e-4,
    dropout=0.0,  # the drawn town has one right answer: noise only speckles it
    max_train_steps=2400,
    validation_steps=400,
    checkpointing_steps=400,
    use_ema=True,
    ema_decay=0.995,
)
"""The preset of a bare run: the drawn town, small and quick. Flags that are given win over it."""
