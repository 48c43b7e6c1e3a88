"""Gallery: what do failed runs look like?"""

from core.demo.gallery import FAILURES, open_gallery
from ui import gallery as drawn
from ui.app import page_frame

store = page_frame.open_page(
    "Gallery", "What does a failed run look like, and how could it have been fixed?"
)
runs = open_gallery(store)
drawn.draw_introduction()
drawn.draw(store, FAILURES, runs)
