"""A lesson of 45 minutes at ten times its speed: a teacher and 30 students on one server.

    LORALAB_DATA=FOLDER python benchmarks/lesson.py --people 30 --speed 10

The teacher starts the included lesson, shows each answer and moves everyone on. In each step a
student gives a guess, opens the page of the step, works there, and writes a note where the step has
a prompt; in the second step each starts a Taste run, for which the rules were set as "Prepare a
lesson" sets them.

Scaled by ``--speed``: the minutes of the steps, the times at which people act, each drawn from a
part of the step's minutes (``GUESS`` to ``NOTE``), and the runs, because a real one cannot be
accelerated: two real Taste runs are trained before the lesson, and each run of a student keeps the
cores busy for the seconds of the second divided by the speed (``benchmarks/lesson_run.py``). So the
server gets ``--speed`` times the requests of a lesson minute.

Not scaled: the server and the simulated browsers, whose pages tick as often as real ones; queue,
start of processes, metrics and the inference process. A process needs some seconds to start, which
is more than a run may take at a high speed, so the minute of the last result is on the late side.
The bundled example is the prepared run.
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
from benchmarks.interface import wait_until
from core.data.sources import find_source
from core.jobs import actions
from core.lesson.lesson_file import GuessKind, Lesson, LessonStep, list_bundled, read_lesson
from core.lesson.lesson_setup import find_minutes
from core.people.classroom import change_rules, read_rules
from core.presets import Preset, make_config
from core.runs.requests import TrainRequest
from core.settings import Settings
from core.storage import lesson_records
from core.storage.job import UNFINISHED, JobKind, JobState
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store

TEACHER_CODE = "walrus-teacher"
LESSON = "first-lesson"
CLASSES = ("World", "Sports", "Business", "Sci/Tech")
LAUNCH_STEP = 1  # from 0
SHOWN_AFTER = 0.75  # of a step's time, the teacher shows the answer
# when people act, in parts of a step's time: a person reads first, and others are quicker
GUESS, OPEN, WORK, NOTE = (0.1, 0.4), (0.05, 0.15), (0.05, 0.15), (0.8, 0.95)
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
        await self.wait(minute - self.minute)

    async def wait(self, minutes: float) -> None:
        """Wait for some minutes of the lesson."""
        await asyncio.sleep(max(0.0, minutes * 60 / self.speed))


async def teach(item: Person, lesson: Lesson, clock: Clock, started: asyncio.Event) -> None:
    """Lead the lesson from its start to its end."""
    await item.open("lesson")
    clock.began = time.time()
    await item.click("lesson-start", "teacher: start the lesson")
    end = 0.0
    started.set()
    for number, step in enumerate(lesson.steps):
        start, end = end, end + step.minutes
        await clock.wait_until(start + SHOWN_AFTER * step.minutes)
        await item.click("lesson-reveal", "teacher: show the answer")
        await clock.wait_until(end)
        if number < len(lesson.steps) - 1:
            await item.click("lesson-next", "teacher: move everyone on")
    await item.click("lesson-end", "teacher: end the lesson")


async def learn(group: Class, item: Person, lesson: Lesson, clock: Clock) -> None:
    """Follow the lesson as a student until it ends."""
    begins = 0.0
    for number, step in enumerate(lesson.steps):
        key = await _await_widget(item, "lesson-", f"-{number}-guess")
        if not key:
            raise Lost(f"step {number + 1} did not reach a student")
        at, *pauses = (group.draw.uniform(*part) for part in (GUESS, OPEN, WORK))
        await clock.wait_until(begins + at * step.minutes)
        await _guess(group, item, step, key)
        await clock.wait(pauses[0] * step.minutes)
        await item.open(step.page, f"run={EXAMPLE_ID}" if step.run else "")
        await clock.wait(pauses[1] * step.minutes)
        if number == LAUNCH_STEP:
            await item.click("launch", "start a run")
        elif step.page == "classify":
            await item.fill("text", "A recipe for soup with leeks and potatoes.", "type a text")
            await item.click("classify", "classify a text")
        await clock.wait_until(begins + group.draw.uniform(*NOTE) * step.minutes)
        if step.prompt and (note := await _await_widget(item, "lesson-note-", f"-{number}")):
            await item.fill(note, f"Note {group.draw.randrange(1000)}")
            await item.click("lesson-note-save", "save a note")
        begins += step.minutes


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


async def attend(group: Class, lesson: Lesson, clock: Clock, start: asyncio.Event) -> None:
    """Join before the lesson, follow it, and record every error."""
    try:
        async with group.enter() as item:
            await asyncio.sleep(group.draw.uniform(0, ARRIVES_SECONDS))
            await group.join(item)
            await start.wait()
            await learn(group, item, lesson, clock)
    except (Lost, OSError) as error:
        group.times.errors.append(str(error))


def prepare_class(settings: Settings) -> float:
    """Train a Taste run and fit the rules to it, as "Prepare a lesson" does, and one with another
    seed, as a student does; return the seconds of the second.
    """
    store, source = Store(settings), find_source(settings)
    if seconds := lesson_run.read_seconds(store):  # of the home folder that was copied
        return seconds
    for number in range(lesson_run.REAL_RUNS):
        config = make_config(Preset.TASTE, {"seed": 42 + number})
        request = TrainRequest(config=config, source=source, preset=Preset.TASTE)
        actions.launch_training(store, request)
    # also their baselines
    wait_until(lambda: not store.list_jobs(states=UNFINISHED), seconds=900)
    seconds, minutes = lesson_run.read_seconds(store), find_minutes(store, source)
    assert seconds and minutes
    change_rules(store, read_rules(store).model_copy(update={"minutes": minutes}))
    return seconds


async def measure(server: ClassServer, people: int, speed: float) -> dict[str, float]:
    """Hold the lesson and return the figures."""
    store = Store(server.settings)
    group, clock = Class(server.addresses, store), Clock(speed)
    lesson = read_lesson(list_bundled()[LESSON])
    start = asyncio.Event()
    students = [asyncio.create_task(attend(group, lesson, clock, start)) for _ in range(people)]
    async with group.enter() as teacher:
        await teacher.rerun("arrive")
        await teacher.fill("teach-name", "Teacher")
        await teacher.fill("teach-code", TEACHER_CODE)
        await teacher.click("teach-submit", "join")
        await asyncio.sleep(ARRIVES_SECONDS + 2)
        await teach(teacher, lesson, clock, start)
    await asyncio.gather(*students)
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
        **_list_actions(group.times.reruns),
    }


def _list_actions(reruns: dict[str, list[float]]) -> dict[str, float]:
    """Return number, median, 95th percentile and slow reruns of each action."""
    figures: dict[str, float] = {}
    for action, some in sorted(reruns.items(), key=lambda pair: -percentile(pair[1], 95)):
        figures |= {
            f"{action}: times": len(some),
            f"{action}: p50, ms": percentile(some, 50),
            f"{action}: p95, ms": percentile(some, 95),
            f"{action}: above {LIMIT_MS} ms": sum(time > LIMIT_MS for time in some),
        }
    return figures


def main() -> None:
    """Print one figure per line, or one object with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=30, help="students")
    parser.add_argument("--speed", type=float, default=10, help="lesson minutes in a minute")
    parser.add_argument("--home", type=Path, help="a home folder to copy, after two Taste runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    os.environ |= {
        "LORALAB_TEACHER_CODE": TEACHER_CODE,
        "LORALAB_TRAIN_MODULE": lesson_run.__name__,
        lesson_run.SPEED: str(arguments.speed),
    }
    with serve_class(arguments.home) as server:
        seconds = prepare_class(server.settings)
        say(
            f"a real Taste run after another one took {seconds:.1f} s, that of a student is a"
            f" stand-in of {seconds / arguments.speed:.1f} s; its accuracy is drawn at random"
        )
        before, began = server.used_seconds, time.monotonic()
        figures = asyncio.run(measure(server, arguments.people, arguments.speed))
        used = server.used_seconds - before
        figures["cores used by the server"] = used / (time.monotonic() - began)
    print_figures(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
