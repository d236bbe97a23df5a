"""Whether the network is being run to be drawn as a graph, for a compiler or for ONNX."""

import torch


def capturing() -> bool:
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
