"""What a run is told: frozen dataclasses, and the presets that are instances of them.

This module imports no JAX, so that `jaxcnn train --help` is instant. Every field is a flag of the command
(`--optim.lr 0.1`), a key of a run's `config.json`, and an argument in Python.

Example:
    >>> import dataclasses
    >>> from jaxcnn.config import PRESETS, config_from_dict
    >>> config = dataclasses.replace(PRESETS["digits"], seed=3)
    >>> config_from_dict(dataclasses.asdict(config)) == config
    True
"""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

PaddingMode = Literal["zeros", "circular", "reflect", "replicate"]
Lowering = Literal["auto", "onednn", "canonical", "xla"]


@dataclass(frozen=True)
class DataConfig:
    """Which data, and from where.

    Example:
        >>> DataConfig("fashion_mnist", directory="downloads").validation
        0.1
    """

    name: str = "digits"
    """digits, fashion_mnist, cifar10_jpeg:FILE.npz or synthetic."""
    directory: str | None = None
    """Folder with the set's original files, for sets that are not shipped (default: the usual places)."""
    validation: float = 0.1
    """Share of the training set that is held out to choose by."""
    memory: float | None = None
    """Megabytes of training images held at once; a larger set is read while it trains (None: all of any set)."""


@dataclass(frozen=True)
class ModelConfig:
    """Which network. A field left at None keeps the model's own default.

    Example:
        >>> ModelConfig("resnet18", stem="cifar").options()
        {'stem': 'cifar'}
    """

    name: str = "small_cnn"
    """A registered model: see `jaxcnn models`."""
    width: int | None = None
    """Channels of the first stage (an MLP: units of a hidden layer)."""
    depth: int | None = None
    """Hidden layers of an MLP."""
    padding_mode: PaddingMode | None = None
    """What lies beyond the border of a map."""
    norm: Literal["batch", "group", "layer", "none"] | None = None
    """Normalisation after a convolution."""
    activation: Literal["relu", "gelu", "silu", "tanh", "sigmoid"] | None = None
    """Nonlinearity."""
    pool: Literal["max", "avg", "blur", "polyphase"] | None = None
    """How maps are made smaller; blur (low-pass) and polyphase (adaptive) sample so that shifts are kept."""
    head: Literal["flatten", "avg", "max"] | None = None
    """How the last maps become a vector: all of them, or a global pool."""
    stem: Literal["imagenet", "cifar"] | None = None
    """First layers of a ResNet."""
    group: Literal["p4", "p4m"] | None = None
    """Symmetries of a group CNN: quarter turns, or mirrors as well."""
    dropout: float | None = None
    """Share of features dropped before the last dense layer in training."""

    def options(self) -> dict[str, Any]:
        """Return the fields that were given, but for the name: the arguments of `models.create`.

        Returns:
            Values by name.

        Example:
            >>> ModelConfig("mlp", width=64, depth=2).options()
            {'width': 64, 'depth': 2}
        """
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of the training images, drawn on the device.

    Example:
        >>> AugmentConfig(flip=True)
        AugmentConfig(flip=True, crop=0, translate=0)
    """

    flip: bool = False
    """Mirror left to right with probability 1/2."""
    crop: int = 0
    """Pad by reflection by this many pixels and crop at random."""
    translate: int = 0
    """Shift by up to this many pixels, zeros moving in."""


@dataclass(frozen=True)
class OptimConfig:
    """How parameters move.

    Example:
        >>> OptimConfig("nesterov", lr=0.1, weight_decay=5e-4).momentum
        0.9
    """

    name: Literal["sgd", "momentum", "nesterov", "adagrad", "adam", "adamw"] = "adamw"
    """The optimizer."""
    lr: float = 1e-3
    """Peak learning rate."""
    momentum: float = 0.9
    """Decay of the velocity (momentum and nesterov)."""
    weight_decay: float = 0.0
    """L2 penalty (adamw: decoupled), on kernels only, never on biases or norms."""
    schedule: Literal["constant", "cosine", "one-cycle", "step"] = "cosine"
    """Course of the learning rate over the run."""
    warmup: float = 0.0
    """Epochs of linear warm-up from 0 (one-cycle: its rising part; 0 means 30 % of the run)."""
    step_epochs: int = 30
    """Epochs between two drops of the step schedule."""
    step_factor: float = 0.1
    """What the step schedule multiplies the rate by."""
    clip: float | None = None
    """Largest global norm of a gradient."""


@dataclass(frozen=True)
class LossConfig:
    """Cross-entropy's options.

    Example:
        >>> LossConfig(label_smoothing=0.1).class_weights
        'none'
    """

    label_smoothing: float = 0.0
    """Share of the target that is spread evenly over all classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: each class weighs n / (classes * its images)."""


@dataclass(frozen=True)
class Config:
    """Everything a training run depends on, but for the machine.

    Example:
        >>> Config(epochs=3, model=ModelConfig("lenet5")).model.name
        'lenet5'
    """

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    epochs: int = 10
    """Passes over the training set."""
    batch: int = 128
    """Images in a training step."""
    last_batch: Literal["drop", "wrap"] = "drop"
    """Images that do not fill a batch: left out of this epoch, or filled up from its first images."""
    eval_batch: int = 512
    """Images evaluated at once; no result depends on it but by rounding."""
    chunk: int = 50
    """Steps in one call of the compiled program: how often progress shows."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type that activations are computed in; parameters and statistics stay float32."""
    select: Literal["best", "last"] = "best"
    """Which epoch's parameters are kept: the best on the validation set, or the last."""
    patience: int | None = None
    """Stop after this many epochs without a better validation accuracy."""
    ema: float | None = None
    """Decay of an exponential moving average of the parameters; where given, it is what is evaluated and kept."""
    save_every: int | None = None
    """Steps between two checkpoints within an epoch (None: at the ends of epochs, and where the run is stopped)."""
    keep_last: int = 2
    """Newest checkpoints that are kept."""
    keep_best: int = 1
    """Checkpoints that are kept beside them, the best on the validation set."""
    mesh: str | None = None
    """Devices to train on, such as data=8 or data=4,model=2 (None: one device)."""
    seed: int = 0
    """Draws the parameters, the order of the data, the augmentation and the dropout."""
    lowering: Lowering | None = None
    """How convolutions are compiled for a CPU (None: the environment's JAXCNN_LOWERING, or auto)."""


def config_from_dict(values: dict[str, Any], kind: type = Config, path: str = "") -> Any:
    """Rebuild a config from `dataclasses.asdict`'s nested dicts.

    Args:
        values: Nested dicts of the fields; those left out keep their default.
        kind: The dataclass to build.
        path: Where `values` stands in the whole, for messages.

    Returns:
        An instance of `kind`.

    Raises:
        ValueError: A key that the dataclass does not have.

    Example:
        >>> config_from_dict({"epochs": 3, "optim": {"lr": 0.1}}).optim.lr
        0.1
    """
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ValueError(unknown("config field", f"{path}{name}", [path + known for known in hints]))
    nested = {name: value for name, value in values.items() if dataclasses.is_dataclass(hints[name])}
    built = {name: config_from_dict(value, hints[name], f"{path}{name}.") for name, value in nested.items()}
    return kind(**{**values, **built})


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is not known, with the nearest one that is.

    Args:
        kind: What the name names.
        name: What was given.
        known: All names that there are.

    Returns:
        One line.

    Example:
        >>> unknown("preset", "digit", ["digits", "fashion_mnist"])
        "unknown preset 'digit': did you mean 'digits'? Known: digits, fashion_mnist"
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}:{hint} Known: {', '.join(known)}"


PRESETS: dict[str, Config] = {
    "digits": Config(
        data=DataConfig("digits"),
        model=ModelConfig("small_cnn", width=32),
        augment=AugmentConfig(translate=1),
        optim=OptimConfig("adamw", lr=3e-3, weight_decay=1e-2, warmup=2),
        epochs=40,
        batch=64,
        select="last",
    ),
    "fashion_mnist": Config(
        data=DataConfig("fashion_mnist"),
        model=ModelConfig("small_cnn", width=16),
        augment=AugmentConfig(flip=True, crop=1),
        optim=OptimConfig("adamw", lr=4e-3, weight_decay=1e-2, warmup=1),
        epochs=14,
        select="last",
    ),
}
"""Ready-made configs, by the name that `jaxcnn train` takes."""
