"""A lesson of 45 minutes at ten times its speed: a teacher and 30 students on one server.

    LORALAB_DATA=FOLDER python benchmarks/lesson.py --people 30 --speed 10

The teacher starts the included lesson, shows each answer and moves everyone on, when the step's
minutes divided by ``--speed`` are over. In each step a student gives a guess, opens the page of
the step, works there, and writes a note where the step has a prompt; in the second step each starts
a run. People click at the pace of real ones, 2 to 8 seconds between two clicks, although the lesson
passes faster, so the server gets about ten times the requests of a lesson minute.

Runs are simulated, because a real one cannot be accelerated: each keeps the cores busy for a
``--speed``-th of its estimated time (``benchmarks/lesson_run.py``). Queue, worker processes,
metrics, pages and the inference process are real. The bundled example is the prepared run.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from streamlit.proto.WidgetStates_pb2 import WidgetState

from benchmarks import lesson_run
from benchmarks.class_server import (
    ARRIVES_SECONDS,
    Class,
    ClassServer,
    percentile,
    print_figures,
    say,
    serve_class,
)
from benchmarks.crowd import Lost, Person
from core.data.sources import find_source
from core.lesson.lesson_file import GuessKind, Lesson, LessonStep, list_bundled, read_lesson
from core.presets import Preset, make_config
from core.runs.local_estimate import estimate_request
from core.runs.requests import TrainRequest
from core.storage import lesson_records
from core.storage.job import JobKind, JobState
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store

TEACHER_CODE = "walrus-teacher"
LESSON = "first-lesson"
CLASSES = ("World", "Sports", "Business", "Sci/Tech")
LAUNCH_STEP = 1  # from 0
SHOWN_AFTER = 0.75  # of a step's time, the teacher shows the answer
LAST_RESULT_MINUTE, LIMIT_MS = 25, 500
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 120.0


@dataclass
class Clock:
    """Minutes of the lesson, of which ``speed`` pass in a minute."""

    speed: float
    began: float = 0.0

    @property
    def minute(self) -> float:
        """Minutes since the start of the lesson."""
        return (time.time() - self.began) / 60 * self.speed

    async def wait_until(self, minute: float) -> None:
        """Wait until this minute of the lesson."""
        await asyncio.sleep(max(0.0, (minute - self.minute) * 60 / self.speed))


async def teach(item: Person, lesson: Lesson, clock: Clock) -> None:
    """Lead the lesson from its start to its end."""
    await item.open("lesson")
    clock.began = time.time()
    await item.click("lesson-start", "teacher: start the lesson")
    end = 0.0
    for number, step in enumerate(lesson.steps):
        start, end = end, end + step.minutes
        await clock.wait_until(start + SHOWN_AFTER * step.minutes)
        await item.click("lesson-reveal", "teacher: show the answer")
        await clock.wait_until(end)
        if number < len(lesson.steps) - 1:
            await item.click("lesson-next", "teacher: move everyone on")
    await item.click("lesson-end", "teacher: end the lesson")


async def learn(group: Class, item: Person, lesson: Lesson) -> None:
    """Follow the lesson as a student until it ends."""
    for number, step in enumerate(lesson.steps):
        key = await _await_widget(item, "lesson-", f"-{number}-guess")
        if not key:
            raise Lost(f"step {number + 1} did not reach a student")
        await group.think()
        await _guess(group, item, step, key)
        await group.think()
        await item.open(step.page, f"run={EXAMPLE_ID}" if step.run else "")
        await group.think()
        if number == LAUNCH_STEP:
            await item.click("launch", "start a run")
        elif step.page == "classify":
            await item.fill("text", "A recipe for soup with leeks and potatoes.", "type a text")
            await item.click("classify", "classify a text")
        if step.prompt and (note := await _await_widget(item, "lesson-note-", f"-{number}")):
            await item.fill(note, f"Note {group.draw.randrange(1000)}")
            await item.click("lesson-note-save", "save a note")


async def _await_widget(item: Person, prefix: str, ending: str) -> str:
    """Wait until the page shows such a widget of the lesson; return its key, or an empty text."""
    for _ in range(int(PATIENCE_SECONDS / POLL_SECONDS)):
        keys = (key for key in item.widget_ids if key.startswith(prefix) and key.endswith(ending))
        if key := next(keys, ""):
            return key
        await asyncio.sleep(POLL_SECONDS)
    return ""


async def _guess(group: Class, item: Person, step: LessonStep, key: str) -> None:
    assert step.guess
    state = WidgetState(id=item.find(key))
    options = list(step.guess.options) or list(CLASSES)
    if step.guess.kind is GuessKind.NUMBER:
        state.double_value = group.draw.randint(1, 99)
    elif step.guess.choose > 1:
        state.string_array_value.data.extend(group.draw.sample(options, step.guess.choose))
    elif step.guess.kind is GuessKind.TEXT:
        state.string_value = group.draw.choice(["game", "season", "coach"])
    else:
        state.string_value = group.draw.choice(options)
    item.widgets[state.id] = state
    await item.click("lesson-give", "give a guess")


async def attend(group: Class, lesson: Lesson, start: asyncio.Event) -> None:
    """Join before the lesson, follow it, and record every error."""
    try:
        async with Person(group.address, group.times) as item:
            await asyncio.sleep(group.draw.uniform(0, ARRIVES_SECONDS))
            await group.join(item)
            await start.wait()
            await learn(group, item, lesson)
    except (Lost, OSError) as error:
        group.times.errors.append(str(error))


async def measure(server: ClassServer, people: int, speed: float) -> dict[str, float]:
    """Hold the lesson and return the figures."""
    store = Store(server.settings)
    group, clock = Class(server.address, store), Clock(speed)
    lesson = read_lesson(list_bundled()[LESSON])
    start = asyncio.Event()
    students = [asyncio.create_task(attend(group, lesson, start)) for _ in range(people)]
    async with Person(group.address, group.times) as teacher:
        await teacher.rerun("arrive")
        await teacher.fill("teach-name", "Teacher")
        await teacher.fill("teach-code", TEACHER_CODE)
        await teacher.click("teach-submit", "join")
        await asyncio.sleep(ARRIVES_SECONDS + 2)
        start.set()
        await teach(teacher, lesson, clock)
    await asyncio.gather(*students)
    for description, some in sorted(group.times.reruns.items()):
        say(f"{percentile(some, 50):>7.0f} {percentile(some, 95):>7.0f} ms  {len(some):>5} ×"
            f" {description}")  # fmt: skip
    for error, number in Counter(group.times.errors).most_common(10):
        say(f"{number} × {error}")
    return report(store, group, lesson, people, clock)


def report(
    store: Store, group: Class, lesson: Lesson, people: int, clock: Clock
) -> dict[str, float]:
    """Return answers, results and times."""
    place = lesson_records.list_places(store, "")[0]
    entries = lesson_records.list_entries(store, place.id)
    guesses = [entry for entry in entries if entry.kind == "guess"]
    answered = Counter(entry.step for entry in guesses)
    say(f"answers by step: {[answered[step] for step in range(len(lesson.steps))]}")
    runs = [job for job in store.list_jobs(JobKind.TRAIN) if job.created_at >= clock.began]
    launched = [(job.created_at - clock.began) / 60 * clock.speed for job in runs]
    ended = [
        ((job.ended_at or 0) - clock.began) / 60 * clock.speed
        for job in runs
        if job.state is JobState.COMPLETED
    ]
    reruns = group.times.list_reruns()
    return {
        f"answers of {people * len(lesson.steps)} (all)": len(guesses),
        "notes": sum(entry.kind == "note" for entry in entries),
        f"runs with a result, of {people}": len(ended),
        "lesson minute of the first launch": min(launched, default=float("nan")),
        "lesson minute of the last launch": max(launched, default=float("nan")),
        "lesson minute of the first result": min(ended, default=float("nan")),
        f"lesson minute of the last result ({LAST_RESULT_MINUTE})": max(
            ended, default=float("nan")
        ),
        "reruns": len(reruns),
        "rerun, p50, ms": percentile(reruns, 50),
        f"rerun, p95, ms ({LIMIT_MS})": percentile(reruns, 95),
        "live tick, p95, ms": percentile(group.times.ticks, 95),
        "errors (0)": len(group.times.errors),
    }


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30, help="students")
    parser.add_argument("--speed", type=float, default=10, help="lesson minutes in a minute")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    os.environ |= {
        "LORALAB_TEACHER_CODE": TEACHER_CODE,
        "LORALAB_TRAIN_MODULE": lesson_run.__name__,
        lesson_run.SPEED: str(arguments.speed),
    }
    with serve_class() as server:
        source = find_source(server.settings)
        request = TrainRequest(
            config=make_config(Preset.TASTE, {}), source=source, preset=Preset.TASTE
        )
        expected = estimate_request(Store(server.settings), request)
        assert expected
        say(
            f"simulated: a Taste run takes {expected.likely_seconds / arguments.speed:.1f} s, its"
            f" estimated {expected.likely_seconds:.0f} s divided by {arguments.speed:g}; its"
            " accuracy is drawn at random; people click at the pace of real ones"
        )
        figures = asyncio.run(measure(server, arguments.people, arguments.speed))
    print_figures(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
