"""The registry of methods: a new one is a new file and one line here."""

from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.mean_shape import MeanShape
from denseseg.methods.method import Method
from denseseg.methods.registry import Registry
from denseseg.prediction import Prediction

REGISTRY = Registry({cls.name: cls for cls in (MeanShape, DenseSeg, HeatmapRegression)})
METHODS = REGISTRY.classes
create = REGISTRY.create
options = REGISTRY.options
load_method = REGISTRY.load

__all__ = ["METHODS", "DenseSeg", "HeatmapRegression", "MeanShape", "Method", "Prediction", "create", "load_method", "options"]
