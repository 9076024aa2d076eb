"""Training and evaluation of any pure network, as compiled programs."""

from jaxcnn.training.accumulate import gradient
from jaxcnn.training.augment import make_augment, moves
from jaxcnn.training.augment_colour import random_colour
from jaxcnn.training.augment_mixing import random_cutmix, random_cutout, random_mixup
from jaxcnn.training.augment_moves import alternating_flip, random_crop, random_flip, random_translate
from jaxcnn.training.augment_randaugment import random_operations
from jaxcnn.training.augment_warps import random_resized_crop, random_rotation
from jaxcnn.training.balanced import balanced_order
from jaxcnn.training.batch import Augment, Batch, on_inputs
from jaxcnn.training.detection import Detections, average_precision, detection_f1, detection_loss, detections
from jaxcnn.training.errors import NonFiniteLossError, OutOfMemoryError, explain_out_of_memory
from jaxcnn.training.evaluate import make_evaluate, make_predict
from jaxcnn.training.events import Chunk, Compiled, Epoch, Progress, Stopped
from jaxcnn.training.feed import Feed, resident, steps_that_fit, streamed
from jaxcnn.training.instances import find_instances, instance_loss, panoptic_quality
from jaxcnn.training.lookahead import lookahead
from jaxcnn.training.loop import epochs
from jaxcnn.training.losses import (
    DENSE,
    balanced_class_weights,
    check_labels,
    cross_entropy,
    make_loss,
    mean_squared_error,
    output_channels,
    sigmoid_binary_cross_entropy,
)
from jaxcnn.training.members import Members, Plan, plans
from jaxcnn.training.mesh import check_batch, make_mesh, place, rows
from jaxcnn.training.metrics import (
    accuracy,
    confusion_matrix,
    exact_match,
    label_accuracy,
    per_class_accuracy,
    top_k_accuracy,
)
from jaxcnn.training.optimizers import kernels, make_optimizer
from jaxcnn.training.schedules import make_schedule
from jaxcnn.training.state import TrainState, create_state
from jaxcnn.training.steps import TrainSteps, epoch_order, make_train_steps, steps_per_epoch
from jaxcnn.training.things import Things, most_things, things_of
from jaxcnn.training.views import with_views
from jaxcnn.training.whitening import whitening_kernel

__all__ = [
    "DENSE",
    "Augment",
    "Batch",
    "Chunk",
    "Compiled",
    "Detections",
    "Epoch",
    "Feed",
    "Members",
    "NonFiniteLossError",
    "OutOfMemoryError",
    "Plan",
    "Progress",
    "Stopped",
    "Things",
    "TrainState",
    "TrainSteps",
    "accuracy",
    "alternating_flip",
    "average_precision",
    "balanced_class_weights",
    "balanced_order",
    "check_batch",
    "check_labels",
    "confusion_matrix",
    "create_state",
    "cross_entropy",
    "detection_f1",
    "detection_loss",
    "detections",
    "epoch_order",
    "epochs",
    "exact_match",
    "explain_out_of_memory",
    "find_instances",
    "gradient",
    "instance_loss",
    "kernels",
    "label_accuracy",
    "lookahead",
    "make_augment",
    "make_evaluate",
    "make_loss",
    "make_mesh",
    "make_optimizer",
    "make_predict",
    "make_schedule",
    "make_train_steps",
    "mean_squared_error",
    "most_things",
    "moves",
    "on_inputs",
    "output_channels",
    "panoptic_quality",
    "per_class_accuracy",
    "place",
    "plans",
    "random_colour",
    "random_crop",
    "random_cutmix",
    "random_cutout",
    "random_flip",
    "random_mixup",
    "random_operations",
    "random_resized_crop",
    "random_rotation",
    "random_translate",
    "resident",
    "rows",
    "sigmoid_binary_cross_entropy",
    "steps_per_epoch",
    "steps_that_fit",
    "streamed",
    "things_of",
    "top_k_accuracy",
    "whitening_kernel",
    "with_views",
]
