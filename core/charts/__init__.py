"""Altair charts from plain data frames.

Each function returns a ``Chart``: a specification, its data, a title and a text alternative. May
import ``core.evaluation``, ``core.data`` and ``core.inference.messages``.
"""

from core.charts.bars import pattern_bars, probabilities, trainable_bar, trainable_modules
from core.charts.base import CLASS_COLORS, CLASS_SHAPES, Chart, class_colors
from core.charts.curves import loss_curves, over_steps, score_curves, sparkline, training_map
from core.charts.distributions import class_balance, cut_curve, length_boxes, length_histogram
from core.charts.matrix import CELLS_SHOW, CellsShow, confusion_matrix, matrix_difference
from core.charts.model_internals import (
    adapter_map,
    adapters,
    attention,
    movement,
    singular_values,
    strips,
)
from core.charts.reliability import bin_counts, coverage, reliability
from core.charts.run_comparison import (
    AXES,
    COSTS,
    MEASURES,
    Axis,
    Measure,
    cost_and_accuracy,
    run_curves,
)
from core.charts.score_intervals import AREAS as RANKING_AREAS
from core.charts.score_intervals import class_scores, ranking, slices
from core.charts.text_map import common_range, layer_scores, text_map
from core.charts.token_tiles import attributions, token_tiles, tokens_per_word
from core.charts.word_cloud import word_bars, word_cloud

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
    "CLASS_COLORS",
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
    "class_colors",
    "common_range",
    "confusion_matrix",
    "cut_curve",
    "length_boxes",
    "length_histogram",
    "loss_curves",
    "pattern_bars",
    "layer_scores",
    "movement",
    "token_tiles",
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
