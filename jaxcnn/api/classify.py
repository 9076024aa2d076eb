"""Image files to classes, by the network of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcnn import nn
from jaxcnn.api.load import evaluated
from jaxcnn.data.images import read_image
from jaxcnn.data.policy import ImagePolicy
from jaxcnn.runs import Run


@dataclass(frozen=True)
class Classifier:
    """What `classifier` returns.

    Example:
        >>> same = Classifier(lambda x: x, lambda x: x / 255, ("dark", "light"), ImagePolicy(), (1, 2, 1), 255.0)
        >>> same.classes
        ('dark', 'light')
    """

    probabilities: Callable[[jax.Array], jax.Array]
    """Of each class, `(images, classes)`, from prepared images."""
    preprocessing: Callable[[Any], Any]
    """From stored images to prepared ones."""
    classes: tuple[str, ...]
    """Their names."""
    policy: ImagePolicy
    """What image files are brought to."""
    input_shape: tuple[int, ...]
    """`(height, width, channels)` of an image."""
    white: float
    """The stored value of white."""
    logits: Callable[[jax.Array], jax.Array] = lambda x: x
    """What probabilities are made of, `(images, classes)`."""

    def read(self, path: str | Path) -> np.ndarray:
        """Read an image file as the run's data are stored.

        Args:
            path: The file.

        Returns:
            `(height, width, channels)`.

        Raises:
            ValueError: It is no image, or has another size than the network takes.
            OSError: It cannot be read.
        """
        with Path(path).open("rb") as stream:
            image = read_image(stream, self.policy)
        if image.shape != self.input_shape:
            got, expected = ("x".join(map(str, shape)) for shape in (image.shape, self.input_shape))
            raise ValueError(f"an image of {got}; the network was trained on {expected}")
        return image if self.white == 255 else (image * np.float32(self.white / 255))

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the probability of each class, `(images, classes)`, float32.

        Args:
            images: Of `read`.

        Returns:
            They add up to 1 in each row, unless an image may have several labels.
        """
        return np.asarray(self.probabilities(self.prepared(images)))

    def prepared(self, images: Sequence[np.ndarray]) -> jax.Array:
        """Return images as the network takes them, `(images, height, width, channels)`."""
        return jnp.asarray(self.preprocessing(np.stack(images)), jnp.float32)


def classifier(run: Run | str | Path, *, model: nn.Module | None = None) -> Classifier:
    """Make the network that a run chose read image files.

    Files are brought to the size and the colours of the run's data: as its set was made of files, or a square of the
    middle, resized. The views that the run's evaluation averages over are averaged here too.

    Args:
        run: The run, or its folder.
        model: A module of the same structure, where the run trained one of your own.

    Returns:
        The classifier.

    Raises:
        ValueError: It is not a run, or its network gives no classes of images.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from jaxcnn.api import fit
        >>> from jaxcnn.config import Config
        >>> classify = classifier(fit("linear", "synthetic", Config(epochs=1), out=tempfile.mkdtemp()))
        >>> file = tempfile.mkdtemp() + "/image.png"
        >>> Image.new("L", (60, 40), 128).save(file)
        >>> classify.read(file).shape, classify([classify.read(file)]).shape
        ((32, 32, 3), (1, 10))
    """
    run = run if isinstance(run, Run) else Run.open(run)
    facts, config = run.facts, run.config
    shape = tuple(facts["input_shape"])
    classes = tuple(facts["classes"])
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(f"{run.path} was not trained on images, but on inputs of {shape}")
    logits = jax.jit(evaluated(run, model=model))
    found = jax.eval_shape(logits, jax.ShapeDtypeStruct((1, *shape), jnp.float32)).shape
    if found != (1, len(classes)):
        raise ValueError(
            f"{run.path} is no classifier of images: its network gives {found[1:]} numbers for one, and there are "
            f"{len(classes)} classes"
        )
    squash = jax.nn.sigmoid if config.loss.name == "multi_label" else jax.nn.softmax
    policy = ImagePolicy(**facts["images"]) if "images" in facts else ImagePolicy()
    if policy.size is None and shape[0] == shape[1]:
        policy = ImagePolicy(size=shape[0], resize=policy.resize)
    policy = ImagePolicy(policy.size, policy.resize, "grey" if shape[-1] == 1 else "rgb")
    white = 1 / run.preprocessing.scale
    white = 255.0 if abs(white - 255) < 1e-3 else white  # 1/255 is no float
    return Classifier(
        jax.jit(lambda x: squash(logits(x).astype(jnp.float32))),
        run.preprocessing, classes, policy, shape, white, logits,
    )  # fmt: skip
