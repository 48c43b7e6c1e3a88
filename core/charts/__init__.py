"""Altair charts from plain frames. Each function returns a ``Chart``: a spec, its data, a title and a text alternative."""

from core.charts.bars import probabilities, trainable_bar, trainable_modules
from core.charts.chart import CLASS_COLOURS, CLASS_SHAPES, Chart, class_colours
from core.charts.comparison import AXES, COSTS, MEASURES, Axis, Measure, cost_and_accuracy, run_curves
from core.charts.curves import loss_curves, score_curves, sparkline
from core.charts.distributions import class_balance, length_histogram
from core.charts.matrix import CELLS_SHOW, CellsShow, confusion_matrix

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
    "class_balance",
    "class_colours",
    "confusion_matrix",
    "length_histogram",
    "loss_curves",
    "probabilities",
    "score_curves",
    "sparkline",
    "trainable_bar",
    "trainable_modules",
]
