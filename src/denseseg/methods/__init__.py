"""The methods: a new one is a new file and one line here."""

from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.heatmap_segmentation import HeatmapSegmentation
from denseseg.methods.mean_shape import MeanShape
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.methods.plain_unet import PlainUNet
from denseseg.methods.registry import METHODS, create, get_method, get_recipe, load_method, register, save_method

register(MeanShape)
register(DenseSeg)
register(HeatmapRegression)
register(HeatmapSegmentation)
register(PlainUNet)

__all__ = [
    "METHODS", "DenseSeg", "HeatmapRegression", "HeatmapSegmentation", "MeanShape", "Method", "NetworkMethod", "NetworkRecipe",
    "PlainUNet", "Recipe", "create", "get_method", "get_recipe", "load_method", "register", "save_method",
]  # fmt: skip
