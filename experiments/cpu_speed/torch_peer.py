"""PyTorch: the same networks, channels-last, eager or compiled, on all cores.

Images lie in memory batch by batch, ready to use (ours gathers them). Flattening reads the channels-last map as it
lies, without a copy.
"""

import os
from collections import OrderedDict

import numpy as np
import torch
import worker
from problems import BATCHES, CLASSES, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, make_batches
from torch import nn
from torch.nn import functional as F


class Flatten(nn.Module):
    """Turn channels-last maps into features, without a copy."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class GlobalMax(nn.Module):
    """Take the maximum of every channel."""

    def forward(self, x):
        return x.amax((2, 3))


class Residual(nn.Sequential):
    """Add the input to what the layers make of it."""

    def forward(self, x):
        return super().forward(x) + x


def unit(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 3x3 convolution, its batch norm and ReLU."""
    layers = {
        "conv": nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        "norm": nn.BatchNorm2d(out_channels),
        "activation": nn.ReLU(inplace=True),
    }
    return nn.Sequential(OrderedDict(layers))


def residual(channels: int) -> Residual:
    """Return a residual of two units."""
    return Residual(OrderedDict(unit1=unit(channels, channels), unit2=unit(channels, channels)))


def resnet9() -> dict[str, nn.Module]:
    """Return ResNet-9's layers."""
    return {
        "unit1": unit(3, 64),
        "unit2": unit(64, 128),
        "pool1": nn.MaxPool2d(2),
        "residual1": residual(128),
        "unit3": unit(128, 256),
        "pool2": nn.MaxPool2d(2),
        "unit4": unit(256, 512),
        "pool3": nn.MaxPool2d(2),
        "residual2": residual(512),
        "pool": GlobalMax(),
        "dense": nn.Linear(512, CLASSES),
    }


def lenet5() -> dict[str, nn.Module]:
    """Return LeNet-5's layers."""
    return {
        "conv1": nn.Conv2d(1, 6, 5, padding=2),
        "activation1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Conv2d(6, 16, 5),
        "activation2": nn.ReLU(inplace=True),
        "pool2": nn.MaxPool2d(2),
        "flatten": Flatten(),
        "dense1": nn.Linear(400, 120),
        "activation3": nn.ReLU(inplace=True),
        "dense2": nn.Linear(120, 84),
        "activation4": nn.ReLU(inplace=True),
        "dense": nn.Linear(84, CLASSES),
    }


def three_layer() -> dict[str, nn.Module]:
    """Return the layers of three convolutions, each with ReLU and a 2x2 max pool, and of a dense head."""
    layers, channels = {}, 3
    for i, width in enumerate((16, 32, 64), 1):
        layers[f"conv{i}"] = nn.Conv2d(channels, width, 3, padding=1)
        layers[f"activation{i}"] = nn.ReLU(inplace=True)
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        channels = width
    return {**layers, "flatten": Flatten(), "dense": nn.Linear(16 * channels, CLASSES)}


NETWORKS = {"resnet9": resnet9, "lenet5": lenet5, "three_layer": three_layer}
NAMES = {"kernel": "weight", "scale": "weight", "offset": "bias", "bias": "bias"}


class Torch:
    """A PyTorch network in training. Modes: `eager` and `compile`."""

    def __init__(self, asked):
        torch.set_num_threads(os.cpu_count() or 1)
        torch.manual_seed(asked.seed)
        self.half = asked.dtype == "bfloat16"
        model = nn.Sequential(OrderedDict(NETWORKS[asked.network]()))
        self.model = model.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True
        )
        self.loss = torch.compile(self.objective, dynamic=False) if asked.mode == "compile" else self.objective
        images, labels = make_batches(asked.network, asked.batch, asked.seed)
        self.images = [channels_last(batch) for batch in images]
        self.labels = [torch.from_numpy(batch).long() for batch in labels]
        self.taken = 0
        self.parameters = sum(parameter.numel() for parameter in self.model.parameters())

    def facts(self):
        """Return the version, the threads, and whether oneDNN is there."""
        return {
            "packages": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
            "onednn": torch.backends.mkldnn.is_available(),
        }

    def outputs(self, images):
        """Return logits, in float32."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            return self.model(images).float()

    def objective(self, images, labels):
        """Return the loss."""
        return F.cross_entropy(self.outputs(images), labels)

    def load(self, file: str) -> None:
        """Take the parameters of a file: kernels lie there as (*window, in, out)."""
        state = self.model.state_dict()
        with np.load(file) as arrays:
            for name, array in arrays.items():
                path, kind = name.rsplit(".", 1)
                if kind == "kernel":
                    array = np.transpose(array, (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)))
                state[f"{path}.{NAMES[kind]}"].copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def logits(self) -> np.ndarray:
        """Return the outputs on the first batch."""
        with torch.no_grad():
            return self.outputs(self.images[0]).numpy()

    def advance(self, steps: int) -> float:
        """Take steps."""
        loss = torch.zeros(())
        for _ in range(steps):
            which = self.taken % BATCHES
            self.taken += 1
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(self.images[which], self.labels[which])
            loss.backward()
            self.optimizer.step()
        return loss.item()


def channels_last(images: np.ndarray) -> torch.Tensor:
    """Return (batch, channels, height, width), channels-last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    worker.work(Torch)
