"""Class: how did everybody's runs turn out, and what may students ask for?"""

from core.people.classroom import read_rules
from core.runs.leaderboard import read_leaderboard
from ui import board as drawn
from ui import navigation
from ui.app import page_frame

store = page_frame.open_page("Class", "How did everybody's runs turn out?")
if store.settings.mode != "classroom":
    page_frame.empty(
        "This server is not a classroom.",
        "Start it with LORALAB_MODE=classroom to let a class in: each student gets a queue of their"
        " own, and their runs meet here.",
        navigation.RUNS,
        "Open the list of runs",
    )
rules = read_rules(store)
if store.visitor.in_charge:
    drawn.draw_teacher(store, rules)
drawn.draw(store, read_leaderboard(store, rules))
