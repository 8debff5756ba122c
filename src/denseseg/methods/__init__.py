"""The methods: a new one is a new file and one line here."""

from denseseg.methods.denseseg import DenseSeg
from denseseg.methods.heatmap_regression import HeatmapRegression
from denseseg.methods.heatmap_segmentation import HeatmapSegmentation
from denseseg.methods.local_appearance import LocalAppearanceNet
from denseseg.methods.localization_unet import LocalizationUNet
from denseseg.methods.mean_shape import MeanShape
from denseseg.methods.method import Method, Recipe
from denseseg.methods.network_method import NetworkMethod, NetworkRecipe
from denseseg.methods.nnunet import NNUNet
from denseseg.methods.plain_unet import PlainUNet
from denseseg.methods.registry import METHODS, create, get_method, get_recipe, load_method, register, save_method
from denseseg.methods.shapeformer import ShapeFormer
from denseseg.methods.spatial_configuration import SpatialConfiguration
from denseseg.methods.spatial_configuration_loss import SpatialConfigurationLoss

register(MeanShape)
register(DenseSeg)
register(HeatmapRegression)
register(HeatmapSegmentation)
register(LocalizationUNet)
register(SpatialConfiguration)
register(LocalAppearanceNet)
register(SpatialConfigurationLoss)
register(ShapeFormer)
register(PlainUNet)
register(NNUNet)

__all__ = [
    "METHODS", "DenseSeg", "HeatmapRegression", "HeatmapSegmentation", "LocalAppearanceNet", "LocalizationUNet", "MeanShape",
    "Method", "NNUNet", "NetworkMethod", "NetworkRecipe", "PlainUNet", "Recipe", "ShapeFormer", "SpatialConfiguration",
    "SpatialConfigurationLoss", "create", "get_method", "get_recipe", "load_method", "register", "save_method",
]  # fmt: skip
