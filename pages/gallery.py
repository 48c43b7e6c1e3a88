"""Gallery: what does a run look like that went wrong?"""

from core.demo.gallery import FAILURES, open_gallery
from ui import gallery as drawn
from ui.app import page_frame

store = page_frame.open_page(
    "Gallery", "What does a run look like that went wrong, and what would have mended it?"
)
runs = open_gallery(store)
drawn.draw_introduction()
drawn.draw(store, FAILURES, runs)
