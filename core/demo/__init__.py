"""What is bundled with the project: the demo corpus, the example run, and runs that fail on
purpose.
"""
