"""Lesson: what does this lesson ask, and how far is everyone?"""

import streamlit as st

from core.access import Action, is_allowed
from core.lesson import open_lesson
from core.translation import translate
from ui import navigation
from ui.app import page_frame
from ui.lesson import lesson_page
from ui.session import cache
from ui.text import plain

store = page_frame.open_page("Lesson", "Guess first, then look: a guided way through the app.")
if open_lesson.find_owner(store) is None:
    page_frame.draw_empty(
        "There is no lesson on this page.",
        "Install LoRA Lab on your own machine to take the guided tour.",
        navigation.EXPLORE,
        "Explore the data",
    )
delivered = open_lesson.list_delivered(store)
current = next((lesson for lesson in delivered if lesson.place.ended_at is None), None)
leads = is_allowed(store.visitor, Action.TEACH)
if current is None and not leads:
    st.markdown(f"#### {translate('No lesson is open.')}")
    st.caption(translate("Your teacher starts it. It then appears next to every page."))
if leads and current is None:
    lesson_page.draw_library(store)
    if source := cache.read_data_status(store.settings).source:
        lesson_page.draw_preparation(store, source)
shown = current or next(iter(delivered), None)
if shown:
    st.markdown(f"#### {plain(shown.lesson.title)}")
    lesson_page.draw_lesson(store, shown, leads)
