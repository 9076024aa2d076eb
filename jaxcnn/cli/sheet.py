"""The contact sheet of `jaxcnn data show --sheet`: what is in a set, or what an augmentation makes of it."""

from pathlib import Path

import numpy as np

from jaxcnn.config import AugmentConfig
from jaxcnn.data import Dataset
from jaxcnn.report import Row, contact_sheet, has_letters

CLASSES, COLUMNS = 20, 10
"""Rows and columns, at most."""
_NAMED = 3  # classes that a line tells, of many


def check_sheet(file: str) -> None:
    """Raise where a sheet cannot be written, before there is anything to draw.

    Args:
        file: Its name.

    Raises:
        ValueError: It exists, is no .png, or is to stand in no folder.
    """
    path = Path(file)
    if path.suffix.lower() != ".png":
        raise ValueError(f"`--sheet` (={file!r}) must be the name of a .png file")
    if path.exists():
        raise ValueError(f"{file} exists: give `--sheet` another name")
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is no folder: `--sheet` is written into one that exists")


def write_sheet(file: str, dataset: Dataset, augment: AugmentConfig, *, seed: int) -> str:
    """Draw training images: some of each class, or one of each beside what an augmentation makes of it.

    Args:
        file: Where the PNG is written.
        dataset: The images.
        augment: The augmentation; its default does nothing.
        seed: Of the augmentation.

    Returns:
        What was drawn, in words.

    Raises:
        ValueError: Inputs are no images, or the augmentation does not fit them.
    """
    if len(dataset.input_shape) != 3:
        raise ValueError(f"`--sheet` shows images; those of {dataset.name} are of shape {dataset.input_shape}")
    plain = augment == AugmentConfig()
    rows = _by_class(dataset) if plain else _augmented(dataset, augment, seed)
    columns = () if plain else ("as stored", *(f"epoch {epoch}" for epoch in range(1, COLUMNS)))
    contact_sheet(rows, columns=columns).save(file)
    shown = sum(len(row.images) for row in rows)
    what = f"{shown} images" if plain else f"{len(rows)} images, {COLUMNS - 1} times each"
    return f"{what}, of the training split{_numbered(dataset)}"


def _chosen(dataset: Dataset, each: int) -> list[tuple[str, np.ndarray]]:
    """Return names and the numbers of their first training examples."""
    targets = dataset.train.targets
    if not dataset.classes or targets.ndim != 1:
        return [("", np.array([number])) for number in range(min(CLASSES, len(targets)))]
    step = max(1, -(-len(dataset.classes) // CLASSES))
    first = [(_name(dataset, k), np.flatnonzero(targets == k)[:each]) for k in range(0, len(dataset.classes), step)]
    return [(name, numbers) for name, numbers in first if len(numbers)]


def _name(dataset: Dataset, k: int) -> str:
    """Return a class's name as the sheet's font can write it: its number where letters would be boxes."""
    return dataset.classes[k] if has_letters(dataset.classes[k]) else f"class {k}"


def _numbered(dataset: Dataset) -> str:
    """Tell which classes stand on the sheet by their numbers."""
    lacking = [f"{k} {name!r}" for k, name in enumerate(dataset.classes) if not has_letters(name)]
    if not lacking:
        return ""
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    return f"; by number, as the sheet's font lacks their letters: {', '.join(lacking[:_NAMED])}{more}"


def _by_class(dataset: Dataset) -> list[Row]:
    chosen = _chosen(dataset, COLUMNS)
    if not chosen[0][0]:
        numbers = np.arange(min(len(dataset.train.inputs), CLASSES * COLUMNS))
        chosen = [("", part) for part in np.split(numbers, range(COLUMNS, len(numbers), COLUMNS))]
    return [Row(name, _bytes(dataset, dataset.train.inputs[numbers])) for name, numbers in chosen]


def _augmented(dataset: Dataset, config: AugmentConfig, seed: int) -> list[Row]:
    import jax
    import jax.numpy as jnp

    from jaxcnn import training

    chosen = _chosen(dataset, 1)
    numbers = np.concatenate([numbers for _, numbers in chosen])
    augment = training.make_augment(config, classes=len(dataset.classes) or None)
    assert augment is not None  # as the config is not the default
    inputs, targets = dataset.train.inputs[numbers], dataset.train.targets[numbers]
    key = jax.random.key(seed)
    changed, mixed = [inputs], [targets]
    for epoch in range(COLUMNS - 1):
        batch = training.Batch(jnp.asarray(inputs), jnp.asarray(targets), jnp.asarray(numbers), jnp.asarray(epoch))
        batch = jax.jit(augment)(jax.random.fold_in(key, epoch), batch)
        changed.append(np.asarray(batch.inputs))
        mixed.append(np.asarray(batch.targets))
    told = any(after.shape != targets.shape for after in mixed)
    rows = []
    for row, (name, _) in enumerate(chosen):
        captions = [_told(dataset, after[row]) for after in mixed] if told else []
        rows.append(Row(name, np.stack([_bytes(dataset, images)[row] for images in changed]), captions))
    return rows


def _told(dataset: Dataset, target: np.ndarray) -> str:
    """Return the larger shares of a mixed target."""
    if target.ndim == 0:
        return ""
    shares = [(float(target[k]), _name(dataset, int(k))) for k in np.argsort(-target)[:2] if target[k] > 0]
    return "\n".join(f"{share:.0%} {name}" for share, name in shares)


def _bytes(dataset: Dataset, inputs: np.ndarray) -> np.ndarray:
    """Return stored values as they would be seen: bytes, of one or three channels."""
    values = np.asarray(inputs, np.float32) * dataset.preprocessing.scale
    if dataset.train.inputs.dtype != np.uint8:  # of any range: that of the mean and three deviations to both sides
        mean, std = (np.asarray(part, np.float32) for part in (dataset.preprocessing.mean, dataset.preprocessing.std))
        values = (values - mean + 3 * std) / (6 * std)
    channels = 3 if values.shape[-1] >= 3 else 1
    return np.rint(np.clip(values[..., :channels], 0, 1) * 255).astype(np.uint8)
