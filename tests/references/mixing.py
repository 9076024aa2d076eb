"""Mixed and covered images, pixel by pixel."""

import numpy as np


def rectangle(centre, sides, height, width):
    """Rows and columns of a rectangle that lie in the image."""
    (y, x), (high, wide) = centre, sides
    rows = [row for row in range(y - high // 2, y - high // 2 + high) if 0 <= row < height]
    return rows, [column for column in range(x - wide // 2, x - wide // 2 + wide) if 0 <= column < width]


def one_hot(labels, classes):
    """Labels as shares."""
    shares = np.zeros((len(labels), classes))
    for i, label in enumerate(labels):
        shares[i, label] = 1
    return shares


def mixup(images, shares, mine):
    """Each image and its label's shares, mixed with the next."""
    mixed, labels = np.zeros(images.shape), np.zeros(shares.shape)
    for i in range(len(images)):
        other = (i + 1) % len(images)
        mixed[i] = mine[i] * images[i].astype(float) + (1 - mine[i]) * images[other]
        labels[i] = mine[i] * shares[i] + (1 - mine[i]) * shares[other]
    return mixed, labels


def cutmix(images, shares, centres, sides):
    """Each image with a rectangle of the next, and its label's shares by the pixels."""
    mixed, labels = images.copy(), np.zeros(shares.shape)
    for i in range(len(images)):
        other, pasted = (i + 1) % len(images), 0
        rows, columns = rectangle(centres[i], sides[i], *images.shape[1:3])
        for row in rows:
            for column in columns:
                mixed[i, row, column] = images[other, row, column]
                pasted += 1
        share = pasted / (images.shape[1] * images.shape[2])
        labels[i] = (1 - share) * shares[i] + share * shares[other]
    return mixed, labels


def covered(image, centre, side):
    """An image with a square of zeros."""
    out = image.copy()
    rows, columns = rectangle(centre, (side, side), *image.shape[:2])
    for row in rows:
        for column in columns:
            out[row, column] = 0
    return out
