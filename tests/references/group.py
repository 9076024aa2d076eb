"""Group convolution as loops over pixels and elements in float64: an element is a 2x2 matrix of integers."""

import itertools

import numpy as np

TURN = np.array([[0, -1], [1, 0]])  # (row, column) -> (-column, row): counter-clockwise, since rows count downwards
MIRROR = np.array([[1, 0], [0, -1]])  # left to right


def elements(order):
    """Matrices on (row, column) in the order of the library: turns, then turns after a mirror."""
    power = np.linalg.matrix_power
    return [power(TURN, i % 4) @ power(MIRROR, i // 4) for i in range(order)]


def index(matrix, order):
    return next(i for i, other in enumerate(elements(order)) if (matrix == other).all())


def moved(image, matrix):
    """(L x)[p] = x[g^-1 p], positions measured from the centre; (height, width, ...)."""
    sizes = np.abs(matrix) @ image.shape[:2]
    result = np.zeros((*sizes, *image.shape[2:]), image.dtype)
    for at in np.ndindex(*image.shape[:2]):
        doubled = matrix @ (2 * np.array(at) - np.array(image.shape[:2]) + 1)
        result[tuple((doubled + sizes - 1) // 2)] = image[at]
    return result


def act(y, h, order):
    """Act by element h on a map (height, width, order, channels)."""
    matrices = elements(order)
    result = np.stack([np.zeros_like(moved(y[:, :, 0], matrices[h]))] * order, 2)
    for s in range(order):
        result[:, :, index(matrices[h] @ matrices[s], order)] = moved(y[:, :, s], matrices[h])
    return result


def conv(x, kernel, bias, order, *, strides, padding, mode, dilation):
    """x (height, width, source, in), kernel (size, size, source, in, out), source 1 (an image) or `order`."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    (low, high), size, sources = padding, len(kernel), x.shape[2]
    x = np.pad(x, [(low, high), (low, high), (0, 0), (0, 0)], mode=mode)
    span = dilation * (size - 1) + 1
    outputs = [(n - span) // strides + 1 for n in x.shape[:2]]
    matrices = elements(order)
    y = np.zeros((*outputs, order, kernel.shape[-1]))
    for g, s in itertools.product(range(order), range(sources)):
        inverse = matrices[g].T
        source = 0 if sources == 1 else index(inverse @ matrices[s], order)
        for i, j, p, q in itertools.product(*map(range, outputs), range(size), range(size)):
            tap = (inverse @ (2 * np.array([p, q]) - size + 1) + size - 1) // 2  # (L_g k)[p] = k[g^-1 p]
            value = x[strides * i + dilation * p, strides * j + dilation * q, s]
            y[i, j, g] += value @ kernel[tap[0], tap[1], source]
    return y if bias is None else y + np.asarray(bias, np.float64)
