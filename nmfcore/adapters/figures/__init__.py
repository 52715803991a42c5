"""One function a figure: arrays and tables in, a `Figure` out; `draw_all` for a whole sweep."""

from nmfcore.adapters.figures.components import component_heatmap
from nmfcore.adapters.figures.consensus_map import consensus_heatmap
from nmfcore.adapters.figures.curves import rank_survey, reconstruction_curve
from nmfcore.adapters.figures.drawing import draw, draw_all, save
from nmfcore.adapters.figures.runs import error_by_seed, error_histories
from nmfcore.adapters.figures.stability import Reproducibility, component_stability
from nmfcore.adapters.figures.tree import component_tree_figure
from nmfcore.adapters.store import figure_names

__all__ = [
    "Reproducibility",
    "component_heatmap",
    "component_stability",
    "component_tree_figure",
    "consensus_heatmap",
    "draw",
    "draw_all",
    "error_by_seed",
    "error_histories",
    "figure_names",
    "rank_survey",
    "reconstruction_curve",
    "save",
]
