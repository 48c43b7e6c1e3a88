"""Altair charts from plain frames. Each function returns a ``Chart``: a spec, its data, a title and a text alternative."""

from core.charts.attributions import attributions
from core.charts.bars import probabilities, trainable_bar, trainable_modules
from core.charts.chart import CLASS_COLOURS, CLASS_SHAPES, Chart, class_colours
from core.charts.comparison import AXES, COSTS, MEASURES, Axis, Measure, cost_and_accuracy, run_curves
from core.charts.curves import loss_curves, score_curves, sparkline
from core.charts.difference import matrix_difference
from core.charts.distributions import class_balance, cut_curve, length_boxes, length_histogram
from core.charts.dynamics import over_steps, training_map
from core.charts.inside import adapters, attention, movement, strips
from core.charts.maps import common_range, layer_scores, text_map
from core.charts.matrix import CELLS_SHOW, CellsShow, confusion_matrix
from core.charts.patterns import pattern_bars
from core.charts.pieces import pieces, tokens_per_word
from core.charts.reliability import bin_counts, coverage, reliability
from core.charts.scores import AREAS as RANKING_AREAS
from core.charts.scores import class_scores, ranking
from core.charts.slices import slices
from core.charts.spectra import adapter_map, singular_values
from core.charts.words import word_bars, word_cloud

__all__ = [
    "AXES",
    "COSTS",
    "MEASURES",
    "RANKING_AREAS",
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
    "class_scores",
    "over_steps",
    "training_map",
    "slices",
    "bin_counts",
    "coverage",
    "reliability",
    "matrix_difference",
    "ranking",
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
