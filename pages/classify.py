"""Classify: how does a run classify your text?"""

import streamlit as st

from core.jobs.tasks.classify_texts import find_batch
from core.translation import translate
from ui import navigation
from ui.app import inference, page_frame
from ui.app.page_frame import Needs
from ui.classify import answers, explanation, file_form, file_result
from ui.session import cache, drafts

run = page_frame.open_run("Classify", "How does a run classify your text?", Needs.ADAPTER)

way = navigation.choose(
    translate("Classify"),
    file_form.WAYS,
    key=file_form.WAY_KEY,
    default=file_form.ONE,
    label_visibility="collapsed",
)
if way == file_form.ONE:
    inference.warm_up(run)
    drafts.follow(cache.open_lab(), {answers.TEXT_KEY: ""}, drafts.is_text)
    answers.draw_examples(run)
    text = st.text_area(
        translate("Text"),
        key=answers.TEXT_KEY,
        height=120,
        placeholder=translate("Enter a text"),
    )
    others = answers.choose_others(run)
    if answers.draw_button():
        answers.ask([run, *others], text)
    answers.draw_answer([run, *others])
    if answered := answers.read_answers([run, *others]):
        explanation.draw(run, answered[0], answered[1][0])
    answers.draw_history()
    file_result.draw_list(run)
    st.stop()

job = find_batch(cache.open_lab(), run.job, st.query_params.get(file_form.JOB_KEY, ""))
if job:
    file_result.draw(run, job)
elif way == file_form.FILE:
    file_form.draw_upload(run)
else:
    file_form.draw_pasted(run)
file_result.draw_list(run, job.id if job else "")
