"""Altair charts from plain frames. Each function returns a ``Chart``: a spec, its data, a title and a text alternative."""

from core.charts.attributions import attributions
from core.charts.bars import probabilities, trainable_bar, trainable_modules
from core.charts.chart import CLASS_COLOURS, CLASS_SHAPES, Chart, class_colours
from core.charts.comparison import AXES, COSTS, MEASURES, Axis, Measure, cost_and_accuracy, run_curves
from core.charts.curves import loss_curves, score_curves, sparkline
from core.charts.distributions import class_balance, cut_curve, length_boxes, length_histogram
from core.charts.inside import adapters, attention, movement, strips
from core.charts.maps import common_range, layer_scores, text_map
from core.charts.matrix import CELLS_SHOW, CellsShow, confusion_matrix
from core.charts.patterns import pattern_bars
from core.charts.pieces import pieces, tokens_per_word
from core.charts.spectra import adapter_map, singular_values
from core.charts.words import word_bars, word_cloud

__all__ = [
    "AXES",
    "COSTS",
    "MEASURES",
    "Axis",
    "Measure",
    "cost_and_accuracy",
    "run_curves",
    "CELLS_SHOW",
    "CLASS_COLOURS",
    "CLASS_SHAPES",
    "CellsShow",
    "Chart",
    "adapter_map",
    "adapters",
    "attention",
    "attributions",
    "class_balance",
    "class_colours",
    "common_range",
    "confusion_matrix",
    "cut_curve",
    "length_boxes",
    "length_histogram",
    "loss_curves",
    "pattern_bars",
    "layer_scores",
    "movement",
    "pieces",
    "probabilities",
    "score_curves",
    "singular_values",
    "sparkline",
    "strips",
    "text_map",
    "tokens_per_word",
    "trainable_bar",
    "trainable_modules",
    "word_bars",
    "word_cloud",
]
