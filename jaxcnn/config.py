"""What a run is told: frozen dataclasses.

This module imports no JAX, so that `jaxcnn train --help` is instant. Every field is a flag of the command
(`--optim.lr 0.1`), a key of a run's `config.json`, and an argument in Python.

Example:
    >>> import dataclasses
    >>> from jaxcnn.config import Config, config_from_dict
    >>> config = Config(seed=3)
    >>> config_from_dict(dataclasses.asdict(config)) == config
    True
"""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

PaddingMode = Literal["zeros", "circular", "reflect", "replicate"]
Initialization = Literal[
    "he_normal",
    "he_uniform",
    "glorot_normal",
    "glorot_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
    "dirac",
    "partial_dirac",
]
Optimizer = Literal[
    "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "lion", "lamb", "muon", "spherical_muon"
]
Lowering = Literal["auto", "onednn", "canonical", "xla"]


@dataclass(frozen=True)
class DataConfig:
    """Which data, and from where.

    Example:
        >>> DataConfig("fashion_mnist", directory="downloads").validation
        0.1
    """

    name: str = "digits"
    """A set that `jaxcnn data list` names, folder:DIR, npz:FILE or tfds:NAME."""
    directory: str | None = None
    """Folder with the set's original files, for sets that are not shipped (default: the usual places)."""
    validation: float = 0.1
    """Share of the training set that is held out to choose by."""
    memory: float | None = None
    """Megabytes of training images held at once; a larger set is read while it trains (None: all of any set)."""
    size: int | None = None
    """Side in pixels that a folder's images are brought to; needed where they differ in size."""
    resize: Literal["crop", "stretch", "pad"] = "crop"
    """How: scale the shorter side and keep the middle, scale both sides, or scale the longer side and add zeros."""
    colour: Literal["auto", "rgb", "grey"] = "auto"
    """Channels that a folder's images are brought to (auto: grey where every image is)."""
    sampling: Literal["shuffled", "balanced"] = "shuffled"
    """Order of an epoch: every image once, or every class as often as the others, at random."""


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
    """Hidden layers of an MLP; levels of a U-Net."""
    padding_mode: PaddingMode | None = None
    """What lies beyond the border of a map."""
    norm: Literal["batch", "group", "layer", "none"] | None = None
    """Normalisation after a convolution."""
    activation: Literal["relu", "relu6", "gelu", "silu", "tanh", "sigmoid"] | None = None
    """Nonlinearity."""
    pool: Literal["max", "avg", "stride", "blur", "polyphase"] | None = None
    """How maps are made smaller; stride is a strided convolution in the pool's place, and blur (low-pass) and polyphase
    (adaptive) sample so that shifts are kept."""
    head: Literal["flatten", "avg", "max"] | None = None
    """How the last maps become a vector: all of them, or a global pool."""
    stem: Literal["imagenet", "cifar"] | None = None
    """First layers of a ResNet."""
    group: Literal["p4", "p4m"] | None = None
    """Symmetries of a group CNN: quarter turns, or mirrors as well."""
    dropout: float | None = None
    """Share of features dropped in training: before the last dense layer, or where the model's paper has it."""
    residual: bool | None = None
    """Whether a ResNet's blocks add their input: without, it is the plain network of the same depth."""
    drop_path: float | None = None
    """Probability that training drops the last residual block (those before it, less: stochastic depth)."""
    init: Initialization | None = None
    """How kernels are drawn (None: for the activation that follows, He or LeCun normal)."""

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
    """Random changes of the training images, drawn on the device, in the order of these fields.

    Example:
        >>> AugmentConfig(flip="random", crop=4).cutout
        0
    """

    resized_crop: float = 1.0
    """Smallest share of an image's area that a random crop keeps; the crop is resized to the image (1: off)."""
    crop: int = 0
    """Pad by reflection by this many pixels and crop at random."""
    translate: int = 0
    """Shift by up to this many pixels, zeros moving in."""
    rotate: float = 0.0
    """Turn by up to this many degrees, zeros moving in."""
    flip: Literal["none", "random", "alternating"] = "none"
    """Mirror left to right with probability 1/2; alternating: so in the first epoch, then every other epoch."""
    brightness: float = 0.0
    """Multiply by 1 - this to 1 + this."""
    contrast: float = 0.0
    """Multiply the distance from the grey image's mean by 1 - this to 1 + this."""
    saturation: float = 0.0
    """Multiply the distance from grey by 1 - this to 1 + this."""
    hue: float = 0.0
    """Turn hues by up to this share of the colour circle, 0 to 0.5."""
    randaugment: int = 0
    """Operations of RandAugment on each image."""
    magnitude: float = 9.0
    """Their strength, 0 to 30."""
    cutout: int = 0
    """Side in pixels of a square of zeros at a random place."""
    mixup: float = 0.0
    """Mix images and labels of two examples by a share drawn from Beta(this, this)."""
    cutmix: float = 0.0
    """Paste a rectangle of another image, whose share of the area is drawn from Beta(this, this); labels mix alike."""


@dataclass(frozen=True)
class OptimConfig:
    """How parameters move.

    Example:
        >>> OptimConfig("nesterov", lr=0.1, weight_decay=5e-4).momentum
        0.9
    """

    name: Optimizer = "adamw"
    """The optimizer."""
    lr: float = 1e-3
    """Peak learning rate."""
    momentum: float = 0.9
    """Decay of the velocity (momentum, nesterov, muon and spherical_muon)."""
    weight_decay: float = 0.0
    """Pulls kernels towards zero, never biases or norms."""
    decay: Literal["l2", "decoupled"] | None = None
    """Whether the pull is part of the gradient (an L2 penalty) or apart from it (None: apart for adamw, lion, lamb and
    muon)."""
    schedule: Literal["constant", "linear", "polynomial", "cosine", "one-cycle", "step"] = "cosine"
    """Course of the learning rate over the run."""
    warmup: float = 0.0
    """Epochs of linear warm-up from 0 (one-cycle: its rising part; 0 means 30 % of the run)."""
    step_epochs: int = 30
    """Epochs between two drops of the step schedule."""
    step_factor: float = 0.1
    """What the step schedule multiplies the rate by."""
    power: float = 2.0
    """Of the polynomial schedule: lr (1 - t / T)^power."""
    clip: float | None = None
    """Largest global norm of a gradient."""
    accumulate: int = 1
    """Parts that a batch's gradient is computed in, one after another, to save memory."""
    lookahead: int = 0
    """Steps between two pulls of slow parameters towards the fast ones, which start anew from there (0: off)."""
    lookahead_share: float = 0.5
    """How far the slow parameters are pulled."""
    groups: tuple[str, ...] = ()
    """Layers that move otherwise, as "PATTERN: FIELD=VALUE ..." such as "*/bias: rate=64" or "head: name=sgd lr=0.1":
    fields of these settings, rate (a multiple of lr) and epochs (after which they stay as they are)."""


@dataclass(frozen=True)
class LossConfig:
    """What is minimised.

    Example:
        >>> LossConfig(label_smoothing=0.1).class_weights
        'none'
    """

    name: Literal["cross_entropy", "focal", "multi_label", "detection", "instances"] = "cross_entropy"
    """Cross-entropy of the softmax, the same with easy examples weighed less, or of a sigmoid for every label; for maps
    of things, boxes by their centres, or a thing for every pixel."""
    gamma: float = 2.0
    """How much less the focal loss weighs easy examples."""
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
    init: str | None = None
    """Start from the parameters of a run's folder or a .safetensors file (None: draw them)."""
    fresh: tuple[str, ...] = ()
    """Layers, by name or pattern such as head/*, that are drawn anew all the same."""
    freeze: tuple[str, ...] = ()
    """Layers, by name or pattern such as stage1/*, that training leaves as they are, statistics included."""
    whiten: str | None = None
    """Layer, by name, whose kernel begins as the one that whitens patches of training images."""
    views: Literal["one", "mirror", "crops"] = "one"
    """What validation and test average logits over: the image; and its mirror image; and both moved by a pixel."""
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
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}  # JSON has no tuples
    return kind(**{**values, **built, **lists})


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
