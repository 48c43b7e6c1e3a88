"""Class: how did all runs of the class turn out, and what are the rules?"""

from core.lesson.lesson_file import Spoiler
from core.people.classroom import read_rules
from core.runs.leaderboard import read_leaderboard
from ui import class_page, navigation
from ui.app import page_frame
from ui.lesson import hiding

store = page_frame.open_page("Class", "How did all runs of the class turn out?")
if store.settings.mode != "classroom":
    page_frame.draw_empty(
        "This server is not in classroom mode.",
        "Start it with LORALAB_MODE=classroom for a class: each student gets their own queue, and"
        " this page lists all runs.",
        navigation.RUNS,
        "Open the list of runs",
    )
rules = read_rules(store)
if store.visitor.is_admin:
    class_page.draw_teacher(store, rules)
hiding.stop_if_hidden(store, Spoiler.RESULTS, Spoiler.GUESSES, Spoiler.PARAMETERS)
class_page.draw(store, read_leaderboard(store, rules))
