"""The methods: a new one is a new file and one line here."""

from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.local_appearance import LocalAppearanceNet
from denseseg.methods.localization_unet import LocalizationUNet
from denseseg.methods.mean_shape import MeanShape
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.methods.registry import METHODS, create, get_method, get_recipe, load_method, register, save_method
from denseseg.methods.spatial_configuration import SpatialConfiguration

register(MeanShape)
register(DenseSeg)
register(HeatmapRegression)
register(SpatialConfiguration)
register(LocalizationUNet)
register(LocalAppearanceNet)

__all__ = [
    "METHODS", "DenseSeg", "HeatmapRegression", "LocalAppearanceNet", "LocalizationUNet", "MeanShape", "Method", "NetworkMethod",
    "NetworkRecipe", "Recipe", "SpatialConfiguration", "create", "get_method", "get_recipe", "load_method", "register",
    "save_method",
]  # fmt: skip
