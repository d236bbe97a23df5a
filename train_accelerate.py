"""Train a pix2pix generator and discriminator on pairs of pictures, on any machine that Accelerate knows.

    accelerate launch train_accelerate.py                                       # the drawn town, in minutes
    accelerate launch train_accelerate.py --train_data_dir my_pairs --task map  # your own pairs
    accelerate launch train_accelerate.py --dataset_name huggan/facades --task facades --direction BtoA
    accelerate launch train_accelerate.py --train_data_dir photos --task colorize --use_ema

--output_dir ends as a folder that `Translator.from_pretrained` reads. All flags: --help
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import torch
import tyro
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import ProjectConfiguration, broadcast_object_list, gather_object, set_seed
from tqdm import tqdm

from pix2pix import checkpoints, metrics, training
from pix2pix.allocator import keep_memory
from pix2pix.augmentation import AdaptiveAugmentation
from pix2pix.card_facts import run_facts, seconds_before
from pix2pix.data import close_batches
from pix2pix.errors import UserError
from pix2pix.finetune import start_from
from pix2pix.hub import Publication, check_access
from pix2pix.interruption import Interruption, end_with_parent
from pix2pix.machine import OUT_OF_MEMORY, is_out_of_memory, peak_memory, use_all_cores
from pix2pix.networks import Generator, JudgesPairs, initialize
from pix2pix.pair_cache import as_floats
from pix2pix.results import Results
from pix2pix.run_folder import (
    RUN_FILE,
    choose_output_dir,
    launch_words,
    persistently,
    require_own_checkpoint,
    require_room,
    require_same_run,
    resume_command,
    schedule_changes,
    write_config,
)
from pix2pix.run_pairs import open_pairs
from pix2pix.tasks import get_task
from pix2pix.trackers import Reports
from pix2pix.training_config import TOY, TrainingConfig
from pix2pix.watchdog import finite


def parse(arguments: Sequence[str] | None = None) -> TrainingConfig:
    """Read the command line. Without a data flag the drawn town's preset takes the place of the defaults."""

    def read(default: TrainingConfig) -> TrainingConfig:
        return tyro.cli(
            TrainingConfig,
            args=arguments,
            default=default,
            description=__doc__,
            use_underscores=True,
        )

    words = sys.argv[1:] if arguments is None else arguments
    given = {word.split("=")[0].replace("-", "_").strip("_") for word in words if word.startswith("--")}
    return read(TrainingConfig() if given & {"dataset_name", "train_data_dir"} else TOY)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; return 0, 2 after telling what to mend, 3 if the last push failed, or 128 + a signal."""
    keep_memory()
    try:
        config = parse(arguments)
        if config.find_batch_size:
            config = with_fitting_batch(config)
        return Run(config).train()
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted before the first step", file=sys.stderr)
        return 130
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print(f"\nerror: {OUT_OF_MEMORY}", file=sys.stderr)
    return 2


class Starved(Exception):
    """The next pairs cannot be read."""


class Run:
    """One training run: data, networks and their state, from the first step to the published folder."""

    def __init__(self, config: TrainingConfig, checks: bool = True):
        self.config, self.checks = config, checks
        self.output = choose_output_dir(config)
        # Reports says in its own words that a tracker is missing.
        warnings.filterwarnings("ignore", message=r".*no supported trackers are currently installed")
        warnings.filterwarnings("ignore", message=r"`broadcast_buffers` is deprecated")  # Accelerate uses it
        use_all_cores()
        self.accelerator = Accelerator(
            cpu=config.cpu,
            # None lets `accelerate launch --mixed_precision` and `accelerate config` decide.
            mixed_precision=None if config.mixed_precision == "no" else config.mixed_precision,
            log_with=None if config.report_to == "none" else config.report_to,
            project_config=ProjectConfiguration(str(self.output), logging_dir=str(self.output / "logs")),
            # Batch norm's buffers must not be overwritten between D's two passes of one step.
            kwargs_handlers=[
                DistributedDataParallelKwargs(broadcast_buffers=False),
                # The others wait while one process checks pictures, validates, pushes or waits for room.
                InitProcessGroupKwargs(timeout=timedelta(hours=12)),
            ],
        )
        task = get_task(config.task)
        self.model = config.model_config(task.input_color, task.output_color)
        self.trained = start_from(config.init_from, self.model) if config.init_from else None
        if self.trained:
            self.model = self.trained[2]
        self.step, self.rate_scale, self.not_finite = 0, 1.0, 0
        self.publication = Publication(self.output, config.hub_model_id, config.hub_private_repo, self.say)
        self.pushed_at = 0
        if config.push_to_hub and self.accelerator.is_main_process:  # refused before the data are read
            check_access(
                str(config.hub_model_id), config.hub_private_repo, license=config.license, say=self.say
            )
        self.prepare_pairs()
        self.prepare_networks()

    # ------------------------------------------------------------------------------------ preparation

    def prepare_pairs(self) -> None:
        """Find and check the pairs; every process learns which, one says so."""
        config, accelerator = self.config, self.accelerator
        checks = self.checks and accelerator.is_local_main_process
        self.pairs = open_pairs(config, self.model, self.say, checks)
        batch = config.train_batch_size * config.gradient_accumulation_steps
        self.pairs_per_step = batch * accelerator.num_processes
        self.total_steps = self.pairs.total_steps(self.pairs_per_step)
        self.results = Results(self.output, config, self.pairs.training, self.pairs.validation, self.say)

    def prepare_networks(self) -> None:
        """Build G, D, their optimizers and the moving average, and hand them to Accelerate."""
        config, accelerator = self.config, self.accelerator
        set_seed(config.seed)  # the same weights in every process
        channels = self.model.in_channels + self.model.out_channels
        if self.trained:
            self.plain_G, self.plain_D, _ = self.trained
        else:
            self.plain_G = Generator.from_config(self.model)
            self.plain_D = JudgesPairs.from_config(config.discriminator_config(channels))
            initialize(self.plain_G)
            initialize(self.plain_D)
        for network in (self.plain_G, self.plain_D):
            training.require_side(network, config.resolution)
            network.to(accelerator.device)
        self.average = training.moving_average(self.plain_G, config.ema_decay) if config.use_ema else None
        optimizers = training.adam(self.plain_G, config), training.adam(self.plain_D, config)
        wrap = training.compiler(config)
        self.G, self.D, self.optimizer_G, self.optimizer_D = accelerator.prepare(
            wrap(self.plain_G), wrap(self.plain_D), *optimizers
        )
        self.objective = training.Objective.from_config(config)
        self.augmentation = AdaptiveAugmentation.from_config(
            config, (self.model.input_color, self.model.output_color), self.pairs_per_step,
            accelerator.process_index, accelerator.device,
        )  # fmt: skip
        set_seed(config.seed, device_specific=True)  # but other dropout in each

    @property
    def published_G(self) -> Generator:
        return self.plain_G if self.average is None else cast(Generator, self.average.module)

    # ------------------------------------------------------------------------------------ the loop

    def train(self) -> int:
        """Train to the end, or until a signal; return the exit status."""
        config, accelerator = self.config, self.accelerator
        self.started = time.monotonic() - seconds_before(self.output)
        self.open_output()
        self.reports = Reports(accelerator, config.report_to, "pix2pix", config.to_dict(), self.say)
        with Interruption() as interruption, self.bar() as bar:
            try:
                self.loop(interruption, bar)
            except Starved as error:
                if not interruption.requested:  # a signal that ends the run ends its data workers as well
                    raise self.unreadable(error) from error
            if interruption.requested and self.step < self.total_steps:
                if self.weights_are_finite():
                    self.save()
                else:
                    self.say("The weights are not finite: the last checkpoint is the one to go on from.")
        self.reports.close()
        self.say_end(interruption)
        if self.step < self.total_steps:
            return interruption.status
        if config.push_to_hub and accelerator.is_main_process:
            self.publication.push()
        return 3 if self.publication.failed else 0

    def loop(self, interruption: Interruption, bar: tqdm) -> None:
        """Step, read, validate and save until the last step or a signal."""
        config, batches = self.config, self.batches()
        try:
            while self.step < self.total_steps and not self.must_end(interruption):
                losses = self.advance(batches)
                bar.update()
                done = self.step == self.total_steps
                validates = done or self.step % config.validation_steps == 0
                saves = done or self.step % config.checkpointing_steps == 0
                reads = validates or saves or self.step % config.log_steps == 0
                broken = reads and not self.tell(losses, bar)
                if broken or ((validates or saves) and not self.weights_are_finite()):
                    close_batches(batches)
                    batches = self.go_back(bar)
                    continue
                if validates:
                    self.validate()
                if saves:
                    self.save()
        finally:
            close_batches(batches)

    def weights_are_finite(self) -> bool:
        """Whether G and D are still numbers: the loss of a step is read from before its update."""
        weights = [p.detach() for network in (self.plain_G, self.plain_D) for p in network.parameters()]
        return bool(torch.isfinite(torch.stack(torch._foreach_norm(weights))).all())

    def batches(self) -> Iterator[dict[str, torch.Tensor]]:
        """This process's batches from the present step on."""
        return self.pairs.batches(self.step, self.accelerator.process_index, self.accelerator.num_processes)

    def advance(self, batches: Iterator[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Do one optimizer step of D and of G, from as many batches as are accumulated."""
        config, accelerator = self.config, self.accelerator
        factor = training.rate_factor(config.lr_scheduler, self.step, self.total_steps)
        self.rate = config.resolved_learning_rate * factor * self.rate_scale
        training.set_rate(self.optimizer_G, self.rate)
        training.set_rate(self.optimizer_D, self.rate)
        pairs = [self.next_pairs(batches) for _ in range(config.gradient_accumulation_steps)]
        if config.compile:
            torch.compiler.cudagraph_mark_step_begin()  # the last step's graphs may be written over
        with accelerator.autocast():
            losses = training.train_step(
                self.G, self.D, pairs, self.optimizer_G, self.optimizer_D, self.objective,
                accelerator.backward, self.plain_D, accelerator.no_sync, self.augmentation,
            )  # fmt: skip
        if self.augmentation is not None:
            self.augmentation.adapt(lambda sure: cast(torch.Tensor, accelerator.reduce(sure, "mean")))
            losses["ada_p"] = self.augmentation.p
        if self.average is not None:
            self.average.update_parameters(self.plain_G)
        self.step += 1
        return losses

    def next_pairs(self, batches: Iterator[dict[str, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The next batch, on the device; a file that cannot be read any more costs no step that was done."""
        try:
            batch, device = next(batches), self.accelerator.device
            x, y = (batch[side].to(device, non_blocking=True) for side in ("input", "target"))
            return as_floats(x), as_floats(y)
        except (UserError, OSError, RuntimeError) as error:
            reason = str(error).strip()
            if isinstance(error, RuntimeError) and "DataLoader worker" not in reason:
                raise
            if "Original Traceback" in reason:  # of a data worker
                reason = reason.splitlines()[-1]
            raise Starved(reason) from error

    def unreadable(self, error: Starved) -> UserError:
        """Save what was done, where one process can, and say how to go on."""
        kept = "The last checkpoint is the one to go on from."
        if self.accelerator.num_processes == 1 and self.weights_are_finite():
            self.save()
            kept = f"Step {self.step} is saved."
        advice = "Mend it"
        if "DataLoader worker" in str(error):
            advice = "A data worker was ended, perhaps for want of memory: lower --dataloader_num_workers"
        return UserError(
            f"The pairs could not be read at step {self.step}: {error}\n{kept} {advice}, and go on with:\n"
            f"  {self.resume_command()}"
        )

    def must_end(self, interruption: Interruption) -> bool:
        """Whether any process was asked to end; all learn it at the same step, so that none waits."""
        if self.accelerator.num_processes == 1:
            return interruption.requested is not None
        if self.step % self.config.log_steps:
            return False
        asked = torch.tensor(float(interruption.requested is not None), device=self.accelerator.device)
        if self.accelerator.reduce(asked) == 0:
            return False
        interruption.requested = interruption.requested or signal.SIGTERM
        return True

    def bar(self) -> tqdm:
        return tqdm(
            total=self.total_steps,
            initial=self.step,
            unit="step",
            dynamic_ncols=True,
            disable=not self.accelerator.is_main_process,
            mininterval=0.5 if sys.stderr.isatty() else 15,  # a log file wants few lines
        )

    def tell(self, losses: dict[str, torch.Tensor], bar: tqdm) -> bool:
        """Show and report the losses, over all processes; return whether they are finite.

        Reading them waits for the device, so this is called seldom.
        """
        means = self.accelerator.reduce(torch.stack(list(losses.values())), "mean").tolist()
        self.values = dict(zip(losses, means, strict=True))
        if not finite(self.values):
            return self.skips_by_scaler()
        self.not_finite = 0
        speed = (bar.format_dict["rate"] or 0.0) * self.pairs_per_step
        bar.set_postfix({**self.values, "images/s": speed}, refresh=False)
        self.reports.scalars(
            {**self.values, "learning_rate": self.rate, "images_per_second": speed}, self.step
        )
        verdict = self.results.watchdog.losses(self.step, self.values, self.results.improving)
        if verdict:
            self.say(verdict)
        return True

    def skips_by_scaler(self) -> bool:
        """fp16 overflows now and then and its scaler skips the step: only a row of them is a failure."""
        self.not_finite += 1
        return self.accelerator.scaler is not None and self.not_finite < 5

    def go_back(self, bar: tqdm) -> Iterator[dict[str, torch.Tensor]]:
        """After a loss that is not finite: once to the last checkpoint with half the rate, then no more."""
        watchdog, failed = self.results.watchdog, self.step
        if self.rate_scale != 1.0:
            watchdog.diverged(failed, self.values, "The lower rate did not help; the run has ended.")
            if self.accelerator.is_main_process:
                persistently("metrics.json", self.results.write_record, self.say)
            raise UserError(
                f"The losses are not finite at step {failed}, again, at half the rate. The checkpoints, and "
                "the best model if there is one yet, are from before that. Look for broken values in the "
                "data; start again with a smaller --learning_rate, and without --mixed_precision fp16."
            )
        self.restore(self.load("latest", finite=True))
        self.rate_scale, self.not_finite = 0.5, 0
        remedy = f"Going back to step {self.step} with half the learning rate."
        self.say(self.results.watchdog.diverged(failed, self.values, remedy))
        bar.reset()
        bar.n = bar.initial = bar.last_print_n = self.step
        return self.batches()

    def validate(self) -> None:
        """Let the main process measure and show what G (or its moving average) draws."""
        if self.accelerator.is_main_process:
            result = self.results.validate(self.step, self.published_G, self.plain_D, self.accelerator.device)
            measures = {f"validation/{name}": getattr(result.measures, name) for name in metrics.NAMES}
            self.reports.scalars(measures, self.step)
            self.reports.picture("validation", result.sheet, self.step)
            self.describe()
        self.results.improving = broadcast_object_list([self.results.improving])[0]
        self.accelerator.wait_for_everyone()

    def describe(self) -> None:
        """Renew the model card, and push if it is time."""
        config = self.config
        facts = run_facts(
            sys.argv,
            seconds=time.monotonic() - self.started,
            steps=self.step,
            training_pairs=None if self.results.training is None else len(self.results.training),
            held_out=self.pairs.held_out,
            processes=self.accelerator.num_processes,
        )
        self.publication.describe(facts)
        due = config.push_steps and self.step - self.pushed_at >= config.push_steps
        if config.push_to_hub and due and self.step < self.total_steps:
            self.pushed_at = self.step
            self.publication.push()

    # ------------------------------------------------------------------------------------ state

    def open_output(self) -> None:
        """Resume, or begin: show before hours are lost that the folder holds a checkpoint of this run."""
        config, folder = self.config, self.output / "checkpoints"
        wanted = config.resume_from_checkpoint
        if self.accelerator.is_main_process:
            checkpoints.remove_leftovers(folder)
        # `latest` where no checkpoint was ever finished is a beginning: a restarted job always says it.
        begun = broadcast_object_list([bool(checkpoints.list_checkpoints(folder))])[0]
        if wanted and (begun or wanted != "latest"):
            self.restore(self.load(wanted), begins=True)
            self.say(f"Resumed at step {self.step} of {self.total_steps}.")
            if self.step >= self.total_steps:
                self.say("Nothing is left to do: --max_train_steps says how far the run goes.")
        if self.accelerator.is_main_process:
            if wanted and wanted != "latest":
                checkpoints.set_aside_after(folder, self.step, self.say)
            kept = config.checkpoints_total_limit or 2
            room = checkpoints.expected_bytes(self.plain_G, self.plain_D, self.average is not None)
            require_room(self.output, (kept + 1) * room)
            persistently(RUN_FILE, lambda: write_config(self.output, config), self.say)
            self.results.measure_baselines()
            self.results.rehearse(self.published_G, self.accelerator.device)
        if self.step == 0:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of all that the next step depends on."""
        random_states = gather_object([checkpoints.random_state()])
        if self.accelerator.is_main_process:
            folder, limit = self.output / "checkpoints", self.config.checkpoints_total_limit
            state = self.state() | {"random": random_states}
            path = persistently(
                "The checkpoint",
                lambda: checkpoints.save_checkpoint(folder, self.step, state, limit),
                self.say,
            )
            self.say(f"step {self.step}: checkpoint {path}")
        self.accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        parts: dict[str, Any] = {name: part.state_dict() for name, part in self.stateful().items()}
        parts["progress"] = {
            "step": self.step,
            "rate_scale": self.rate_scale,
            "config": self.config.to_dict(),
            "data": self.pairs.identity,
            "pairs_per_step": self.pairs_per_step,
            "total_steps": self.total_steps,
            "mixed_precision": self.accelerator.mixed_precision,
            **self.results.state(),
        }
        return parts

    def stateful(self) -> dict[str, Any]:
        parts = {
            "G": self.plain_G,
            "D": self.plain_D,
            "optimizer_G": self.optimizer_G,
            "optimizer_D": self.optimizer_D,
            "average": self.average,
            "scaler": self.accelerator.scaler,
            "augmentation": self.augmentation,
        }
        return {name: part for name, part in parts.items() if part is not None}

    def load(self, wanted: str, finite: bool = False) -> dict[str, Any]:
        """Read a checkpoint in the main process and give it to all: they need not share a disk.

        `finite`: of `latest`, the newest one whose weights are numbers.
        """
        state: list[Any] = [None]
        if self.accelerator.is_main_process:
            folder = self.output / "checkpoints"
            if wanted == "latest":
                newest = checkpoints.newest_checkpoint(folder, self.say, finite=finite)
            else:
                require_own_checkpoint(wanted, self.output)
                newest = Path(wanted)
            if newest is None:
                raise UserError(f"There is no whole checkpoint in {folder} to resume from.")
            state = [checkpoints.load_checkpoint(newest)]
        return broadcast_object_list(state)[0]

    def restore(self, state: dict[str, Any], begins: bool = False) -> None:
        """Take over a checkpoint's state, as if the steps up to it had just been done."""
        progress = state["progress"]
        if begins:
            precision = self.accelerator.mixed_precision
            require_same_run(progress, self.config, self.pairs.identity, self.pairs_per_step, precision)
            change = schedule_changes(progress, self.total_steps)
            if change:
                self.say(change)
        if self.augmentation is not None and "augmentation" not in state:
            self.say("This run began before there was --ada_target, and goes on without.")
            self.augmentation = None
        for name, part in self.stateful().items():
            part.load_state_dict(state[name])
        self.step, self.rate_scale = progress["step"], progress["rate_scale"]
        self.results.load_state(progress)
        if len(state["random"]) == self.accelerator.num_processes:
            checkpoints.set_random_state(state["random"][self.accelerator.process_index])
        else:
            self.say("The number of processes has changed: dropout draws anew, the run is not bit-exact.")

    def resume_command(self) -> str:
        """The command that goes on with this run, on as many processes."""
        launch = launch_words(self.accelerator.num_processes, self.accelerator.device.type)
        return resume_command(self.output, launch)

    def say(self, text: str) -> None:
        if self.accelerator.is_main_process:
            tqdm.write(text, file=sys.stderr)

    def say_end(self, interruption: Interruption) -> None:
        if not self.accelerator.is_main_process:
            return  # the others know no results
        best, folder = self.results.record.content["best"], self.output
        if self.step < self.total_steps:
            self.say(
                f"\nEnded by {interruption.requested.name if interruption.requested else 'nobody'} "
                f"at step {self.step}. Go on with:\n  {self.resume_command()}"
            )
            return
        self.say(
            f"\nDone. The best weights by {self.config.best_metric} are those of step {best['step']}.\n"
            f"  pictures  {folder / 'samples.png'}\n"
            f"  measures  {folder / 'metrics.json'}\n"
            f"  model     {folder}   (python: Translator.from_pretrained({str(folder)!r}))\n"
            f"  peak memory {peak_memory()}"
        )


def with_fitting_batch(config: TrainingConfig) -> TrainingConfig:
    """Lower --train_batch_size until one whole step fits into memory, accumulating what it lacks."""
    asked = config.train_batch_size
    for batch in (size for size in range(asked, 0, -1) if asked % size == 0):
        tried = dataclasses.replace(
            config,
            train_batch_size=batch,
            gradient_accumulation_steps=config.gradient_accumulation_steps * asked // batch,
        )
        if try_batch(tried, checks=batch == asked):  # the pictures are decoded once
            return tried
    raise torch.OutOfMemoryError("out of memory at --train_batch_size 1")


def try_batch(config: TrainingConfig, checks: bool) -> bool:
    """Return whether one step fits into the memory of every process.

    The networks are used without their distributed wrappers: where one process fails, none waits for it.
    """
    run = Run(config, checks)
    batches = run.batches()
    failed = 0.0
    try:
        pairs = [run.next_pairs(batches)]
        with run.accelerator.autocast():
            training.train_step(
                run.plain_G, run.plain_D, pairs, run.optimizer_G, run.optimizer_D, run.objective,
                run.accelerator.backward, augmentation=run.augmentation,
            )  # fmt: skip
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        failed = 1.0
    finally:
        close_batches(batches)
    fits = bool(run.accelerator.reduce(torch.tensor(failed, device=run.accelerator.device)) == 0)
    if fits:
        run.say(
            f"--train_batch_size {config.train_batch_size} fits, with --gradient_accumulation_steps "
            f"{config.gradient_accumulation_steps}."
        )
    del run, batches
    gc.collect()  # the run refers to itself: only this frees its networks
    torch.cuda.empty_cache()
    return fits


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    end_with_parent()
    sys.exit(main())
