"""Pictures that several chapters share, or that users of the package need.

Each function draws one picture and returns what it drew on: one panel an `Axes`, several a `Figure`. Pass `ax` to draw
into a panel of your own. Data stay in pixels, also where the ticks read millimetres, so further points go on top as they are.
Arrays may be NumPy or CPU torch.
"""

from denseseg.viewing.plots.charts import (
    plot_cumulative_error,
    plot_error_by_structure,
    plot_history,
    plot_intervals,
    plot_ours_and_published,
)
from denseseg.viewing.plots.maps import show_heatmaps, show_uv, uv_key
from denseseg.viewing.plots.predictions import overlay, show_best_to_worst, show_prediction
from denseseg.viewing.plots.shapes import plot_error_map, show_case, show_cases, show_shapes, show_template
from denseseg.viewing.plots.style import BRIGHT, STYLE, scale_bar, structure_colours, styled, uv_colours

__all__ = [
    "BRIGHT", "STYLE", "overlay", "plot_cumulative_error", "plot_error_by_structure", "plot_error_map", "plot_history",
    "plot_intervals", "plot_ours_and_published", "scale_bar", "show_best_to_worst", "show_case", "show_cases", "show_heatmaps",
    "show_prediction", "show_shapes", "show_template", "show_uv", "structure_colours", "styled", "uv_colours", "uv_key",
]  # fmt: skip
