import pytest

from core.access import GUEST, MACHINE_OWNER, ON_A_RUN, Action, Role, Visitor, is_allowed, require
from core.errors import NotAllowed

STUDENT = Visitor("ada", "Ada", Role.STUDENT)
TEACHER = Visitor("grace", "Grace", Role.TEACHER)


@pytest.mark.parametrize("visitor", [MACHINE_OWNER, TEACHER])
@pytest.mark.parametrize("action", list(Action))
def test_an_admin_may_do_everything(visitor: Visitor, action: Action) -> None:
    assert is_allowed(visitor, action, "another")


@pytest.mark.parametrize("action", list(Action))
def test_a_guest_may_only_look(action: Action) -> None:
    assert not is_allowed(GUEST, action, "guest")


@pytest.mark.parametrize("action", list(Action))
def test_a_guest_who_may_taste_launches_and_stops_an_own_run(action: Action) -> None:
    guest_trainer = Visitor("guest-1", "", Role.GUEST_TRAINER)

    assert is_allowed(guest_trainer, action, "guest-1") == (action in (Action.LAUNCH, Action.STOP))
    assert is_allowed(guest_trainer, action, "guest-2") == (action is Action.LAUNCH)


@pytest.mark.parametrize("action", sorted(ON_A_RUN))
def test_a_student_acts_on_own_runs_alone(action: Action) -> None:
    assert is_allowed(STUDENT, action, "ada")
    assert not is_allowed(STUDENT, action, "bob")
    assert not is_allowed(STUDENT, action, "")


@pytest.mark.parametrize("action", [Action.MANAGE, Action.MANAGE_DATASETS])
def test_a_student_changes_neither_the_class_nor_its_data(action: Action) -> None:
    with pytest.raises(NotAllowed, match="Only the teacher"):
        require(STUDENT, action)
