"""Altair charts from plain data frames.

Each function returns a ``Chart``: a specification, its data, a title and a text alternative. May
import ``core.evaluation``, ``core.data`` and ``core.inference.messages``.
"""

from core.charts.bars import (
    draw_pattern_bars,
    draw_probabilities,
    draw_trainable_bar,
    draw_trainable_modules,
)
from core.charts.base import CLASS_COLORS, CLASS_SHAPES, Chart, choose_class_colors
from core.charts.curves import (
    draw_loss_curves,
    draw_over_steps,
    draw_score_curves,
    draw_sparkline,
    draw_training_map,
)
from core.charts.decision_picture import draw_decision_picture, draw_head_loss
from core.charts.distributions import (
    draw_class_balance,
    draw_cut_curve,
    draw_length_boxes,
    draw_length_histogram,
)
from core.charts.file_answers import draw_confidence_histogram, draw_predicted_classes
from core.charts.matrix import (
    CELLS_SHOW,
    MOST_LABELED,
    CellsShow,
    draw_confusion_matrix,
    draw_matrix_difference,
)
from core.charts.model_internals import (
    draw_adapter_map,
    draw_adapters,
    draw_attention,
    draw_movement,
    draw_singular_values,
    draw_strips,
)
from core.charts.reliability import draw_bin_counts, draw_coverage, draw_reliability
from core.charts.run_comparison import (
    AXES,
    COSTS,
    MEASURES,
    Axis,
    Measure,
    draw_cost_and_accuracy,
    draw_run_curves,
)
from core.charts.score_intervals import AREAS as RANKING_AREAS
from core.charts.score_intervals import (
    draw_class_scores,
    draw_dots,
    draw_ranking_curves,
    draw_slices,
)
from core.charts.text_map import draw_layer_scores, draw_text_map, find_common_range
from core.charts.token_tiles import draw_attributions, draw_token_tiles, draw_tokens_per_word
from core.charts.word_cloud import draw_word_bars, draw_word_cloud

__all__ = [
    "AXES",
    "COSTS",
    "MEASURES",
    "MOST_LABELED",
    "RANKING_AREAS",
    "Axis",
    "Measure",
    "draw_cost_and_accuracy",
    "draw_run_curves",
    "CELLS_SHOW",
    "CLASS_COLORS",
    "CLASS_SHAPES",
    "CellsShow",
    "Chart",
    "draw_adapter_map",
    "draw_adapters",
    "draw_attention",
    "draw_attributions",
    "draw_class_balance",
    "draw_class_scores",
    "draw_over_steps",
    "draw_training_map",
    "draw_slices",
    "draw_bin_counts",
    "draw_decision_picture",
    "draw_head_loss",
    "draw_coverage",
    "draw_reliability",
    "draw_matrix_difference",
    "draw_ranking_curves",
    "choose_class_colors",
    "find_common_range",
    "draw_confidence_histogram",
    "draw_confusion_matrix",
    "draw_predicted_classes",
    "draw_cut_curve",
    "draw_dots",
    "draw_length_boxes",
    "draw_length_histogram",
    "draw_loss_curves",
    "draw_pattern_bars",
    "draw_layer_scores",
    "draw_movement",
    "draw_token_tiles",
    "draw_probabilities",
    "draw_score_curves",
    "draw_singular_values",
    "draw_sparkline",
    "draw_strips",
    "draw_text_map",
    "draw_tokens_per_word",
    "draw_trainable_bar",
    "draw_trainable_modules",
    "draw_word_bars",
    "draw_word_cloud",
]
