"""Losses of maps of things as loops, in float64."""

import numpy as np


def things(target: np.ndarray, classes: int) -> list[tuple[int, tuple[int, int, int, int], np.ndarray]]:
    """Return each thing's class, box and pixels."""
    found = []
    for value in sorted(set(target[target > 0].tolist()), key=lambda v: (v - 1) // classes):
        rows, columns = np.nonzero(target == value)
        box = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        found.append(((value - 1) % classes, tuple(map(int, box)), target == value))
    return found


def _sigmoid(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def detection_loss(outputs: np.ndarray, targets: np.ndarray, classes: int) -> float:
    """Cell by cell and class by class."""
    total, count = 0.0, 0
    rows, columns = outputs.shape[1:3]
    stride = targets.shape[1] // rows
    for output, target in zip(outputs.astype(float), targets, strict=True):
        bump = np.zeros((rows, columns, classes))
        for label, (top, left, bottom, right), _ in things(target, classes):
            y, x = (top + bottom) / 2 / stride, (left + right) / 2 / stride
            row, column = int(y), int(x)
            high, wide = max((bottom - top) / stride / 6, 0.5), max((right - left) / stride / 6, 0.5)
            for i in range(rows):
                for j in range(columns):
                    value = np.exp(-0.5 * (((i - row) / high) ** 2 + ((j - column) / wide) ** 2))
                    bump[i, j, label] = max(bump[i, j, label], value)
            wanted = y - row, x - column, np.log(bottom - top), np.log(right - left)
            total += np.abs(output[row, column, classes:] - wanted).sum()
            count += 1
        for i in range(rows):
            for j in range(columns):
                for label in range(classes):
                    p, b = _sigmoid(output[i, j, label]), bump[i, j, label]
                    total -= (1 - p) ** 2 * np.log(p) if b == 1 else (1 - b) ** 4 * p**2 * np.log(1 - p)
    return total / count


def instance_loss(outputs: np.ndarray, targets: np.ndarray, classes: int) -> float:
    """Pixel by pixel."""
    kinds, centres, votes = [0.0, 0.0], 0.0, 0.0
    on = count = 0
    for output, target in zip(outputs.astype(float), targets, strict=True):
        known = things(target, classes)
        count += len(known)
        for i, j in np.ndindex(target.shape):
            bump, kind = 0.0, classes
            for label, (top, left, bottom, right), own in known:
                y, x = (top + bottom - 1) / 2, (left + right - 1) / 2
                high, wide = max((bottom - top) / 8, 1), max((right - left) / 8, 1)
                bump = max(bump, np.exp(-0.5 * (((i - int(y)) / high) ** 2 + ((j - int(x)) / wide) ** 2)))
                if own[i, j]:
                    kind, on = label, on + 1
                    votes += np.abs(output[i, j, -2:] - [(y - i) / 8, (x - j) / 8]).sum()
            logits, p = output[i, j, : classes + 1], _sigmoid(output[i, j, classes + 1])
            kinds[kind == classes] -= logits[kind] - np.log(np.exp(logits).sum())
            centres -= (1 - p) ** 2 * np.log(p) if bump == 1 else (1 - bump) ** 4 * p**2 * np.log(1 - p)
    return kinds[0] / on + kinds[1] / (targets.size - on) + 0.1 * centres / count + votes / on


def right_boxes(targets: np.ndarray, classes: int, stride: int) -> np.ndarray:
    """Return the maps of a detector that is right."""
    size = targets.shape[1] // stride
    maps = np.full((len(targets), size, size, classes + 4), -20.0, np.float32)
    for output, target in zip(maps, targets, strict=True):
        for label, (top, left, bottom, right), _ in things(target, classes):
            y, x = (top + bottom) / 2 / stride, (left + right) / 2 / stride
            output[int(y), int(x), label] = 9
            output[int(y), int(x), classes:] = y - int(y), x - int(x), np.log(bottom - top), np.log(right - left)
    return maps


def right_pixels(targets: np.ndarray, classes: int) -> np.ndarray:
    """Return the maps of a segmenter that is right."""
    maps = np.zeros((*targets.shape, classes + 4), np.float32)
    maps[..., classes], maps[..., classes + 1] = 9, -20
    for output, target in zip(maps, targets, strict=True):
        for label, (top, left, bottom, right), own in things(target, classes):
            y, x = (top + bottom - 1) / 2, (left + right - 1) / 2
            output[own, classes], output[own, label] = 0, 9
            output[int(y), int(x), classes + 1] = 9
            rows, columns = np.nonzero(own)
            output[rows, columns, -2], output[rows, columns, -1] = (y - rows) / 8, (x - columns) / 8
    return maps
