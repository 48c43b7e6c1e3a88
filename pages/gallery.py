"""Gallery: what does a run look like that went wrong?"""

from core.jobs.gallery import FAILURES, open_gallery
from ui import frame
from ui import gallery as drawn

store = frame.open_page("Gallery", "What does a run look like that went wrong, and what would have mended it?")
runs = open_gallery(store)
drawn.draw_introduction()
drawn.draw(store, FAILURES, runs)
