"""Home: what is ready on this machine, and the way to a first result."""

from ui import frame

frame.open_page("LoRA Lab", "Fine-tune a text classifier with LoRA, watch it learn, and see what it got right and wrong.")
