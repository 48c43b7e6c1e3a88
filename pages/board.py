"""Class: how did all runs of the class turn out, and what are the rules?"""

from ui import class_page, navigation
from ui.app import page_frame
from ui.classroom import projector

store = page_frame.open_page("Class", "How did all runs of the class turn out?")
if store.settings.mode != "classroom":
    page_frame.draw_empty(
        "This server is not in classroom mode.",
        "Start it with LORALAB_MODE=classroom for a class: each student gets their own queue, and"
        " this page lists all runs.",
        navigation.RUNS,
        "Open the list of runs",
    )
rules = class_page.open_rules(store)
if store.visitor.is_admin and projector.is_chosen():
    projector.draw_switch()
    projector.draw(store)
else:
    if store.visitor.is_admin:
        class_page.draw_teacher(store, rules)
    class_page.draw_live(store)
