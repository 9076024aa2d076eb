"""Losses and metrics as loops over examples, in float64."""

import numpy as np


def log_softmax(row):
    row = row - row.max()
    return row - np.log(np.exp(row).sum())


def cross_entropy(outputs, targets, label_smoothing=0.0, class_weights=None, gamma=0.0):
    """With true classes, or with shares of the classes in an axis more."""
    classes = outputs.shape[-1]
    weights = np.ones(classes) if class_weights is None else class_weights
    total = weight = 0.0
    rows = targets.reshape(-1, classes) if targets.ndim == outputs.ndim else np.eye(classes)[targets.reshape(-1)]
    for row, shares in zip(outputs.reshape(-1, classes), rows, strict=True):
        log_p = log_softmax(row.astype(np.float64))
        truth = (1 - label_smoothing) * shares + label_smoothing / classes
        total -= sum(truth[c] * weights[c] * (1 - np.exp(log_p[c])) ** gamma * log_p[c] for c in range(classes))
        weight += sum(shares[c] * weights[c] for c in range(classes))
    return total / weight


def sigmoid_binary_cross_entropy(outputs, targets):
    p = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    return -np.mean(targets * np.log(p) + (1 - targets) * np.log(1 - p))


def ranked(row):
    """Classes from the largest output to the smallest; among equals, the lowest number first."""
    return sorted(range(len(row)), key=lambda c: (-row[c], c))


def top_k_accuracy(outputs, targets, k):
    rows = outputs.reshape(-1, outputs.shape[-1])
    return np.mean([label in ranked(row)[:k] for row, label in zip(rows, targets.reshape(-1), strict=True)])


def confusion_matrix(outputs, targets):
    classes = outputs.shape[-1]
    counts = np.zeros((classes, classes), int)
    for row, label in zip(outputs.reshape(-1, classes), targets.reshape(-1), strict=True):
        if 0 <= label < classes:
            counts[label, ranked(row)[0]] += 1
    return counts
