"""Gallery: what do failed runs look like, and what is wrong with a dataset?"""

from core.demo.gallery import FAILURES, open_gallery
from core.translation import mark, translate
from ui import navigation
from ui.app import page_frame
from ui.gallery import bug_hunt, failed_runs

RUNS, HUNT = mark("Failed runs"), mark("Bug hunt")

store = page_frame.open_page(
    "Gallery", "What does a failed run look like, and how could it have been fixed?"
)
shown = navigation.choose(
    translate("Show"),
    (RUNS, HUNT),
    key="gallery-shows",
    default=RUNS,
    label_visibility="collapsed",
)
if shown == HUNT:
    bug_hunt.draw(store)
else:
    runs = open_gallery(store)
    failed_runs.draw_introduction()
    failed_runs.draw(store, FAILURES, runs)
