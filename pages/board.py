"""Class: how did everybody's runs turn out, and what may students ask for?"""

from core.classroom import read_rules
from core.jobs.board import class_board
from ui import class_board as drawn
from ui import frame, navigation

store = frame.open_page("Class", "How did everybody's runs turn out?")
if store.settings.mode != "classroom":
    frame.empty(
        "This server is not a classroom.",
        "Start it with LORALAB_MODE=classroom to let a class in: each student gets a queue of their own, and their runs meet here.",
        navigation.RUNS,
        "Open the list of runs",
    )
rules = read_rules(store)
if store.visitor.in_charge:
    drawn.draw_teacher(store, rules)
drawn.draw(store, class_board(store, rules))
