"""Classes in which a teacher has started a lesson."""

import time
from collections.abc import Callable, Sequence

from core.access import Role, Visitor
from core.lesson import open_lesson
from core.settings import Settings
from core.storage import accounts
from core.storage.lesson_records import Place
from core.storage.store import Store

TEACHER = Visitor("grace", "Grace", Role.TEACHER)


def lead_lesson(
    content: str, students: Sequence[Visitor] = (), clock: Callable[[], float] = time.time
) -> Store:
    """Start the lesson in the class of this environment; return the store of its teacher."""
    store = Store(Settings(), clock, visitor=TEACHER)
    for visitor in (TEACHER, *students) if students else ():
        accounts.add_person(store, visitor, f"key of {visitor.id}")
    open_lesson.start_lesson(store, content)
    return store


def place_of(store: Store) -> Place:
    """Return the place of the visitor's open lesson."""
    place = open_lesson.find_place(store)
    assert place is not None
    return place
