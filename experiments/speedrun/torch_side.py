"""The speed record's recipe (airbench94 by Muon) in PyTorch, on the CPU: bf16 autocast over float32 parameters.

    python torch_side.py --images FILE.npz --seed 0 [--epochs 8] [--compile 1]

It knows nothing of jaxcnn. `FILE.npz` holds the images as uint8, `train_x`, `train_y`, `valid_x`, `valid_y`, `test_x`
and `test_y`. The last line is a JSON object. The clock runs from the network's construction to the last logits of the
test-time views; neither reading the images nor evaluation by epochs is in it.

Reference: Jordan, 94% on CIFAR-10 in 3.29 Seconds on a Single GPU, 2024, and airbench94 with Muon, 2024.
"""

import argparse
import json
import os
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH, WIDTHS = 2000, (64, 256, 256)
BIAS_LR, HEAD_LR, MUON_LR, DECAY = 0.053, 0.67, 0.24, 2e-6 * BATCH
WHITEN_BIAS_EPOCHS = 3


class Norm(nn.BatchNorm2d):
    """Batch norm without a scale that trains, whose statistics move fast."""

    def __init__(self, channels):
        super().__init__(channels, eps=1e-12, momentum=0.4)
        self.weight.requires_grad = False


def convolution(before, after):
    """Make a 3x3 convolution that begins by passing its input on."""
    layer = nn.Conv2d(before, after, 3, padding="same", bias=False)
    nn.init.dirac_(layer.weight.data[:before])
    return layer


class Network(nn.Module):
    """The network of airbench94."""

    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        layers, before = [nn.GELU()], 24
        for width in WIDTHS:
            layers += [convolution(before, width), nn.MaxPool2d(2), Norm(width), nn.GELU()]
            layers += [convolution(width, width), Norm(width), nn.GELU()]
            before = width
        self.blocks = nn.Sequential(*layers, nn.MaxPool2d(3), nn.Flatten())
        self.head = nn.Linear(before, 10, bias=False)
        self.head.weight.data /= self.head.weight.data.std()

    def forward(self, x):
        """Return logits."""
        features = self.blocks(self.whiten(x))
        return self.head(features) / features.shape[-1]

    @torch.no_grad()
    def whiten_by(self, images):
        """Set the first kernel by patches of images."""
        patches = images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / torch.sqrt(values + 5e-4)).T.flip(0).reshape(-1, 3, 2, 2)
        self.whiten.weight.data = torch.cat((filters, -filters)).contiguous(memory_format=torch.channels_last)


def orthogonal(matrix):
    """Bring the singular values near 1 by three steps of Newton-Schulz in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.bfloat16()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(3):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Nesterov's momentum made orthogonal, on filters of norm sqrt(their number)."""

    def __init__(self, params, lr, momentum=0.6):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        """Take a step."""
        for group in self.param_groups:
            for p in group["params"]:
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p.grad))
                velocity.mul_(group["momentum"]).add_(p.grad)
                gradient = p.grad.add(velocity, alpha=group["momentum"])
                p.mul_(len(p) ** 0.5 / p.norm())
                step = orthogonal(gradient.reshape(len(p), -1)).view(p.shape)
                p.add_(step.to(p.dtype), alpha=-group["lr"])


def cropped(images, generator, room=2):
    """Move each image by up to `room` pixels, over reflected borders."""
    size, padded = images.shape[-1], F.pad(images, (room,) * 4, "reflect")
    moves = torch.randint(0, 2 * room + 1, (len(images), 2), generator=generator)
    out = torch.empty_like(images)
    for y in range(2 * room + 1):
        for x in range(2 * room + 1):
            chosen = (moves[:, 0] == y) & (moves[:, 1] == x)
            out[chosen] = padded[chosen, :, y : y + size, x : x + size]
    return out


def flipped(images, generator):
    """Mirror half of the images."""
    chosen = torch.rand(len(images), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], images.flip(-1), images)


@torch.no_grad()
def predict(network, images, views):
    """Return logits, of the images themselves or over mirrored and shifted ones."""
    network.eval()

    def logits(x):
        with torch.autocast("cpu", torch.bfloat16):
            return network(x.contiguous(memory_format=torch.channels_last)).float()

    def mirrored(x):
        return 0.5 * logits(x) + 0.5 * logits(x.flip(-1))

    found = []
    for x in images.split(BATCH):
        if not views:
            found.append(logits(x))
            continue
        padded = F.pad(x, (1,) * 4, "reflect")
        corners = mirrored(padded[:, :, :32, :32]) + mirrored(padded[:, :, 2:, 2:])
        found.append(0.5 * mirrored(x) + 0.25 * corners)
    return torch.cat(found)


def train(train_x, train_y, seed, epochs, compiled, most=None):
    """Train; return the network, what it took and the times of its steps."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    network = Network().to(memory_format=torch.channels_last)
    network.whiten_by(train_x[:5000])
    filters = [p for p in network.parameters() if p.ndim == 4 and p.requires_grad]
    biases = [p for name, p in network.named_parameters() if name.endswith(".bias") and name != "whiten.bias"]
    sgd = torch.optim.SGD(
        [
            {"params": [network.whiten.bias], "lr": BIAS_LR, "weight_decay": DECAY / BIAS_LR},
            {"params": biases, "lr": BIAS_LR, "weight_decay": DECAY / BIAS_LR},
            {"params": [network.head.weight], "lr": HEAD_LR, "weight_decay": DECAY / HEAD_LR},
        ],
        momentum=0.85,
        nesterov=True,
    )
    optimizers = sgd, Muon(filters, MUON_LR)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    first = [group["lr"] for group in groups]
    an_epoch = len(train_x) // BATCH
    lengths = [WHITEN_BIAS_EPOCHS * an_epoch] + [epochs * an_epoch] * (len(groups) - 1)
    forward = torch.compile(network) if compiled else network
    step, times = 0, []
    for epoch in range(epochs):
        if epoch == 0:
            turned = flipped(train_x, generator)
        images = cropped(turned if epoch % 2 == 0 else turned.flip(-1), generator)
        order = torch.randperm(len(images), generator=generator)
        network.train()
        for i in range(an_epoch):
            start = time.perf_counter()
            chosen = order[i * BATCH : (i + 1) * BATCH]
            x = images[chosen].contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                outputs = forward(x)
            F.cross_entropy(outputs.float(), train_y[chosen], label_smoothing=0.2, reduction="sum").backward()
            for group, lr, length in zip(groups, first, lengths, strict=True):
                group["lr"] = lr * max(0.0, 1 - step / length)
            for optimizer in optimizers:
                optimizer.step()
            network.zero_grad(set_to_none=True)
            step += 1
            times.append(time.perf_counter() - start)
            if step == most:
                return network, times
        print(f"epoch {epoch + 1}: {sum(times[-an_epoch:]):.1f} s in steps", flush=True)
    return network, times


def main():
    """Train once, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help="the .npz file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--steps", type=int, help="stop after so many, for timing")
    parser.add_argument("--compile", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    arrays = dict(np.load(asked.images))
    pixels = torch.from_numpy(arrays["train_x"]).float() / 255
    mean, deviation = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    ready = {
        name: ((torch.from_numpy(arrays[name]).float() / 255 - mean) / deviation).permute(0, 3, 1, 2).contiguous()
        for name in ("train_x", "valid_x", "test_x")
    }
    labels = {name: torch.from_numpy(arrays[name]).long() for name in ("train_y", "valid_y", "test_y")}
    start = time.perf_counter()
    network, times = train(ready["train_x"], labels["train_y"], asked.seed, asked.epochs, asked.compile, asked.steps)
    trained = time.perf_counter() - start
    views = predict(network, ready["test_x"], views=True)
    seconds = time.perf_counter() - start

    def accuracy(logits, part):
        return float((logits.argmax(1) == labels[part]).double().mean())

    result = {
        "seed": asked.seed,
        "train_s": trained,
        "views_s": seconds - trained,
        "seconds": seconds,
        "step_s": float(np.median(times)),
        "accuracy": accuracy(views, "test_y"),
        "plain": accuracy(predict(network, ready["test_x"], views=False), "test_y"),
        "valid": accuracy(predict(network, ready["valid_x"], views=True), "valid_y"),
        "steps": len(times),
        "compiled": bool(asked.compile),
        "packages": {"torch": torch.__version__},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
