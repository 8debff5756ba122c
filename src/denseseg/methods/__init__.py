"""The methods: a new one is a new file and one line here."""

from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.mean_shape import MeanShape
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.methods.nnunet import NNUNet
from denseseg.methods.registry import METHODS, create, get_method, get_recipe, load_method, register, save_method
from denseseg.methods.shapeformer import ShapeFormer

register(MeanShape)
register(DenseSeg)
register(HeatmapRegression)
register(ShapeFormer)
register(NNUNet)

__all__ = [
    "METHODS", "DenseSeg", "HeatmapRegression", "MeanShape", "Method", "NNUNet", "NetworkMethod", "NetworkRecipe", "Recipe",
    "ShapeFormer", "create", "get_method", "get_recipe", "load_method", "register", "save_method",
]  # fmt: skip
