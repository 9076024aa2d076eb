"""PyTorch: channels-last, all cores, a fused optimizer; way `eager` or `compiled`."""

import os

import numpy as np
import torch
import worker
from torch import nn
from torch.nn import functional as F

FUNCTIONS = {"relu": lambda: nn.ReLU(inplace=True), "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}
POOLS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


class Flatten(nn.Module):
    """Turn maps into features in the order in which channels-last maps lie, without a copy."""

    def forward(self, x):
        return x.permute(0, 2, 3, 1).flatten(1)


class GlobalPool(nn.Module):
    """Reduce every map to one value."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        return x.amax((2, 3)) if self.how == "max" else x.mean((2, 3))


class Subsample(nn.Module):
    """Keep one position in so many."""

    def __init__(self, strides):
        super().__init__()
        self.strides = strides

    def forward(self, x):
        return x[:, :, :: self.strides, :: self.strides]


class PadChannels(nn.Module):
    """Put channels of zeros after those of the input."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return F.pad(x, (0, 0, 0, 0, 0, self.channels - x.shape[1]))


class Residual(nn.Module):
    """Add the shortcut to the body."""

    def __init__(self, body, shortcut, then):
        super().__init__()
        self.body, self.shortcut, self.then = body, shortcut, then

    def forward(self, x):
        return self.then(self.body(x) + self.shortcut(x))


def build(layers, named):
    """Return layers one after another; those with parameters are entered into `named`."""
    return nn.Sequential(*(make(layer, named) for layer in layers))


def make(layer, named):
    """Return one layer."""
    kind = layer["kind"]
    if kind == "conv":
        sizes = {name: tuple(layer[name]) for name in ("padding", "dilation")}
        made = nn.Conv2d(
            *layer["channels"], tuple(layer["window"]), tuple(layer["strides"]), **sizes, groups=layer["groups"],
            bias=layer["bias"],
        )  # fmt: skip
    elif kind == "dense":
        made = nn.Linear(*layer["channels"], bias=layer["bias"])
    elif kind == "batch_norm":
        made = nn.BatchNorm2d(layer["channels"], eps=layer["epsilon"], momentum=1 - layer["momentum"])
    elif kind == "activation":
        return FUNCTIONS[layer["function"]]()
    elif kind == "pool":
        return POOLS[layer["how"]](tuple(layer["window"]), tuple(layer["strides"]), tuple(layer["padding"]))
    elif kind == "residual":
        return Residual(*(build(layer[part], named) for part in ("body", "shortcut", "then")))
    else:
        plain = {"flatten": Flatten, "global_pool": GlobalPool, "subsample": Subsample, "pad_channels": PadChannels}
        return plain[kind](**{name: value for name, value in layer.items() if name not in ("kind", "name")})
    named[layer["name"]] = made
    return made


def load(named, parameters):
    """Take parameters as jaxcnn has them."""
    names = {"kernel": "weight", "scale": "weight", "offset": "bias", "bias": "bias"}
    with torch.no_grad():
        for name, array in parameters.items():
            layer, kind = name.rsplit(".", 1)
            if kind == "kernel":
                array = np.transpose(array, (array.ndim - 1, array.ndim - 2, *range(array.ndim - 2)))
            getattr(named[layer], names[kind]).copy_(torch.from_numpy(np.ascontiguousarray(array)))


class Torch:
    """A PyTorch network in training."""

    def __init__(self, task):
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.half = task.dtype == "bfloat16"
        named = {}
        model = build(task.network, named)
        load(named, task.parameters)
        self.model = model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=task.learning_rate, momentum=task.momentum, fused=True
        )
        compiled = task.way == "compiled"
        self.loss = torch.compile(self.objective, dynamic=False) if compiled else self.objective
        self.evaluate = torch.compile(self.outputs, dynamic=False) if compiled else self.outputs
        self.images = [self.placed(batch) for batch in task.images]
        self.labels = [torch.from_numpy(batch).long().to(self.device) for batch in task.labels]

    def placed(self, images):
        """Return (batch, channels, height, width), channels-last in memory."""
        lying = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        return lying.to(self.device)

    def outputs(self, images):
        """Return logits, in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            return self.model(images).float()

    def objective(self, images, labels):
        """Return the loss."""
        return F.cross_entropy(self.outputs(images), labels)

    def logits(self):
        """Return the outputs for the first batch."""
        self.model.eval()
        with torch.inference_mode():
            return self.evaluate(self.images[0]).cpu().numpy()

    def infer(self):
        """Evaluate the first batch."""
        self.logits()

    def train(self, steps):
        """Take steps."""
        self.model.train()
        loss = torch.zeros(())
        for i in range(steps):
            which = i % len(self.images)
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(self.images[which], self.labels[which])
            loss.backward()
            self.optimizer.step()
        return loss.item()

    def facts(self):
        """Return the version, the threads, and whether oneDNN is there."""
        return {
            "packages": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
            "onednn": torch.backends.mkldnn.is_available(),
            "device": str(self.device),
        }


if __name__ == "__main__":
    worker.serve(Torch)
