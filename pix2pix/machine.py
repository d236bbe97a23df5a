"""What the machine gives a run: memory, and the lack of it; cores."""

from __future__ import annotations

import os
import sys

import torch

OUT_OF_MEMORY = (
    "out of memory. What to turn, the strongest first: a smaller --train_batch_size (with "
    "--gradient_accumulation_steps to keep the batch; --find_batch_size finds one that fits), a smaller "
    "--resolution, a smaller --width and --discriminator_width, --mixed_precision bf16 on a GPU."
)


def is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def peak_memory() -> str:
    """The most memory that was in use, of the GPU if there is one, else of the process."""
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU"
    if sys.platform == "win32":
        return "not measured on Windows"
    import resource  # there is none on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, kilobytes elsewhere
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB"


def use_all_cores() -> None:
    """Undo what `accelerate launch` does to a single CPU process: one thread, unless told a number."""
    launched = "ACCELERATE_DYNAMO_BACKEND" in os.environ
    if launched and int(os.environ.get("WORLD_SIZE", 1)) == 1 and os.environ.get("OMP_NUM_THREADS") == "1":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(cores or 1)
