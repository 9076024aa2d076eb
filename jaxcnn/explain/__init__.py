"""What a network has learned, as arrays and as figures: filters, feature maps, what a unit looks for and at."""

from jaxcnn.explain.features import feature_maps, features, layers
from jaxcnn.explain.figures import draw_heat, draw_images
from jaxcnn.explain.filters import filter_images
from jaxcnn.explain.grad_cam import grad_cam
from jaxcnn.explain.maximize import Maximized, maximize
from jaxcnn.explain.neighbours import nearest
from jaxcnn.explain.occlusion import occlusion

__all__ = [
    "Maximized",
    "draw_heat",
    "draw_images",
    "feature_maps",
    "features",
    "filter_images",
    "grad_cam",
    "layers",
    "maximize",
    "nearest",
    "occlusion",
]
