"""Generators of two PyTorch projects, recognised by the names and shapes of their weights.

pytorch-CycleGAN-and-pix2pix nests its U-Net: each level's Sequential holds the next, so that names grow
inward (model.model.1.model.3.model...); its ResNet is one Sequential. HugGAN's script (after PyTorch-GAN)
numbers its levels: down1, ..., up1, ..., final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from pix2pix.errors import ModelError
from pix2pix.interop_files import ACCEPTED, described
from pix2pix.interop_weights import Place, Recognized, assemble, colours, contract, norm_of

State = Mapping[str, Tensor]
PORT = "pytorch-CycleGAN-and-pix2pix"
PORT_POLICY = "its test.py without --eval: statistics of the picture, dropout on"
HUGGAN_POLICY = "from_pretrained: eval mode, no dropout; its norms have no other statistics"


def recognize(tensors: State) -> Recognized:
    """Find the one generator among a file's tensors, under whatever prefix it stands.

    Raises ModelError saying what was found in its place.
    """
    found = [(prefix, read) for anchors, read in LAYOUTS.items() for prefix in _prefixes(tensors, anchors)]
    if not found:
        raise ModelError(f"No generator that is known here: {_otherwise(tensors)} {ACCEPTED}")
    if len(found) > 1:
        names = ", ".join(repr(prefix.rstrip(".")) for prefix, _ in found)
        raise ModelError(
            f"The file holds {len(found)} generators: {names}. Save the one you mean alone: "
            "torch.save(checkpoint[NAME], 'net_G.pth')"
        )
    prefix, read = found[0]
    return read({name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)})


def _prefixes(tensors: State, anchors: tuple[str, ...]) -> list[str]:
    """What stands before a layout's names, such as `module.` or `state_dict.netG.`; '' for nothing."""
    first, *others = anchors
    prefixes = [name[: -len(first)] for name in tensors if name.endswith(first)]
    return [
        prefix
        for prefix in prefixes
        if (not prefix or prefix.endswith(".")) and all(prefix + other in tensors for other in others)
    ]


def _otherwise(tensors: State) -> str:
    """What a file without a known generator is instead."""
    convolutions = [tensor for tensor in tensors.values() if tensor.ndim == 4]
    names = list(tensors)
    if any(name.endswith("decoder.0.conv.weight") for name in names):
        return "these are weights of pix2pix itself, which need no import: name their folder as --model."
    sides = {tensor.shape[2] for tensor in convolutions}
    judges = bool(convolutions) and convolutions[-1].shape[0] == 1 and sides <= {1, 4}
    if judges and not any("up" in name for name in names):
        return (
            f"it looks like a discriminator, which judges pairs and draws nothing ({described(tensors)}). "
            "Take the generator's file, such as latest_net_G.pth."
        )
    if any(name.endswith(".filt") for name in names):
        return f"it looks like the anti-aliased network of CUT ({described(tensors)})."
    if any(".model.10.block." in "." + name for name in names):
        return f"it looks like PyTorch-GAN's CycleGAN ({described(tensors)})."
    if any("conv_block.1.weight" in name for name in names):
        return f"a residual network with other halvings, such as pix2pixHD's ({described(tensors)})."
    return f"the file has {described(tensors)}."


def _parameters(state: State) -> int:
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return sum(tensor.numel() for name, tensor in state.items() if not name.endswith(statistics))


def _shape(state: State, name: str, axis: int) -> int:
    tensor = state.get(name)
    if tensor is None or tensor.ndim != 4:
        found = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
        raise ModelError(f"The weight {name} is {found}; a convolution's has four dimensions.")
    return tensor.shape[axis]


# ---- pytorch-CycleGAN-and-pix2pix -------------------------------------------------------------------------


def _port_unet(state: State) -> Recognized:
    level, depth = "model.model", 1
    downs, ups = [Place("encoder.0", f"{level}.0")], [Place("", f"{level}.3", transposed=True)]
    level += ".1.model"
    while f"{level}.3.model.1.weight" in state:  # another level inside
        downs.append(Place(f"encoder.{depth}", f"{level}.1", f"{level}.2"))
        ups.append(Place("", f"{level}.5", f"{level}.6", transposed=True))
        level, depth = f"{level}.3.model", depth + 1
    downs.append(Place(f"encoder.{depth}", f"{level}.1"))
    ups.append(Place("", f"{level}.3", f"{level}.4", transposed=True))
    depth += 1
    decoder = [Place(f"decoder.{i}", up.conv, up.norm, transposed=True) for i, up in enumerate(reversed(ups))]
    norm = norm_of(state, decoder[0])
    config = contract(
        generator="unet_128" if depth == 7 else "unet_256",
        depth=None if depth in (7, 8) else depth,
        width=_shape(state, "model.model.0.weight", 0),
        norm=norm,
        dropout_blocks="after_innermost",
        inference_dropout=True,
        resolution=max(16, 2**depth),
        **colours(_shape(state, "model.model.0.weight", 1), _shape(state, "model.model.3.weight", 1)),
    )
    weights = assemble(config, [*downs, *decoder], state)
    return Recognized(f"U-Net of {PORT}", config, weights, _parameters(state), PORT_POLICY)


def _port_resnet(state: State) -> Recognized:
    blocks = sum(name.endswith(".conv_block.1.weight") for name in state)
    # With dropout between the two convolutions of a block, the second is one place further in.
    second = 5 if "model.10.conv_block.5.weight" in state else 6
    places = [Place(f"encoder.{i}", f"model.{1 + 3 * i}", f"model.{2 + 3 * i}") for i in range(3)]
    for i in range(blocks):
        inside = f"model.{10 + i}.conv_block"
        places.append(Place(f"blocks.{i}.first", f"{inside}.1", f"{inside}.2"))
        places.append(Place(f"blocks.{i}.second", f"{inside}.{second}", f"{inside}.{second + 1}"))
    after = 10 + blocks
    for i in (0, 1):
        conv, norm = f"model.{after + 3 * i}", f"model.{after + 1 + 3 * i}"
        places.append(Place(f"decoder.{i}", conv, norm, transposed=True))
    last = f"model.{after + 7}"
    places.append(Place("decoder.2", last))
    config = contract(
        generator="resnet_6blocks" if blocks == 6 else "resnet_9blocks",
        depth=None if blocks in (6, 9) else blocks,
        width=_shape(state, "model.1.weight", 0),
        norm=norm_of(state, places[0]),
        dropout=0.5 if second == 6 else 0.0,
        inference_dropout=second == 6,
        **colours(_shape(state, "model.1.weight", 1), _shape(state, f"{last}.weight", 0)),
    )
    weights = assemble(config, places, state)
    return Recognized(f"ResNet of {PORT}", config, weights, _parameters(state), PORT_POLICY)


# ---- HugGAN's script --------------------------------------------------------------------------------------


def _huggan(state: State) -> Recognized:
    depth = sum(name.startswith("down") and name.endswith(".model.0.weight") for name in state)
    places = [
        Place(f"encoder.{i}", f"down{i + 1}.model.0", f"down{i + 1}.model.1" if 0 < i < depth - 1 else None)
        for i in range(depth)
    ]
    for i in range(depth - 1):
        up = f"up{i + 1}.model"
        places.append(Place(f"decoder.{i}", f"{up}.0", f"{up}.1", swapped=i > 0, transposed=True))
    places.append(Place(f"decoder.{depth - 1}", "final.2", swapped=True))
    if "up1.model.1.weight" in state:
        raise ModelError(
            "A U-Net laid out as HugGAN's whose norms are trained. The script's are not, and what these add "
            "to the variance (PyTorch-GAN once had 0.8) does not stand in a checkpoint."
        )
    config = contract(
        generator="unet_huggan",
        depth=None if depth == 8 else depth,
        width=_shape(state, "down1.model.0.weight", 0),
        norm="instance",
        resolution=max(16, 2**depth),
        **colours(_shape(state, "down1.model.0.weight", 1), _shape(state, "final.2.weight", 0)),
    )
    weights = assemble(config, places, state)
    return Recognized("U-Net of HugGAN's script", config, weights, _parameters(state), HUGGAN_POLICY)


LAYOUTS: dict[tuple[str, ...], Callable[[Any], Recognized]] = {
    ("model.model.0.weight", "model.model.1.model.1.weight"): _port_unet,
    ("model.1.weight", "model.10.conv_block.1.weight", "model.7.weight"): _port_resnet,
    ("down1.model.0.weight", "up1.model.0.weight", "final.2.weight"): _huggan,
}
"""Names that a network has and no other, and what reads it."""
