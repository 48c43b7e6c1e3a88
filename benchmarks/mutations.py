"""Test the tests: remove one safeguard at a time and check that its test and its row of faults.py
fail.

``python benchmarks/mutations.py [WORD]`` works on a copy of the project, with all safeguards or
those whose name contains WORD. It fails if a removed safeguard is not noticed.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.promises.guards import GUARDS
from benchmarks.promises.server_guards import SERVER_GUARDS

ROOT = Path(__file__).parents[1]

SECONDS = 300  # a row of the small benchmark on a busy machine
DISKS, STAGE = "tests/support/faults/test_disks.py", "tests/support/faults/test_lab.py"


@dataclass(frozen=True)
class Mutation:
    """``old`` is replaced by ``new`` throughout ``file``; then ``test`` must fail, and the row
    ``row`` must break.
    """

    safeguard: str
    file: str
    old: str
    new: str
    test: str
    row: str = ""


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        "fsync of a file before its rename",
        "core/storage/files.py",
        "        disk.sync(part)\n        disk.rename",
        "        disk.rename",
        f"{DISKS}::test_a_power_cut_leaves_the_old_or_the_new",
        "disk.power_cuts",
    ),
    Mutation(
        "fsync of the folder after a rename",
        "core/storage/files.py",
        "    disk.sync(path.parent)\n",
        "",
        f"{DISKS}::test_what_was_written_survives_a_power_cut_right_after",
    ),
    Mutation(
        "fsync of the files of a checkpoint",
        "core/storage/files.py",
        "            disk.sync(part / name)\n",
        "",
        f"{DISKS}::test_a_power_cut_leaves_the_old_or_the_new",
        "disk.power_cuts",
    ),
    Mutation(
        "rename: files are written in place",
        "core/storage/files.py",
        '    part = make_temporary_path(path, "part")\n',
        "    part = path\n",
        f"{DISKS}::test_a_disk_that_fails_leaves_the_old_or_the_new",
    ),
    Mutation(
        "fence: the attempt's number in the database",
        "core/storage/store.py",
        "AND attempt = ?",
        "AND attempt >= ?",
        "tests/core/storage/test_store.py::test_a_stale_attempt_cannot_write",
        "races.owners",
    ),
    Mutation(
        "fence: the attempt's number before a file is written",
        "core/jobs/context.py",
        ".attempt != self.job.attempt:",
        ".attempt < self.job.attempt:",
        f"{STAGE}::test_a_stale_attempt_writes_neither_rows_nor_files",
    ),
    Mutation(
        "lock: anybody gets it",
        "core/storage/locks.py",
        "    except BlockingIOError:\n        return False",
        "    except BlockingIOError:\n        return True",
        "tests/core/jobs/test_supervisor_processes.py::test_a_lock_is_taken_once",
    ),
    Mutation(
        "lock: the supervisor does not look at it",
        "core/jobs/supervisor.py",
        'return is_locked(self.store.get_folder(job) / "lock")',
        "return False",
        "tests/core/jobs/test_supervisor.py::test_an_orphan_is_alive_as_long_as_its_lock_is_held",
        "races.owners",
    ),
    Mutation(
        "launch key unique",
        "core/storage/database.py",
        "launch_key TEXT NOT NULL UNIQUE",
        "launch_key TEXT NOT NULL",
        "tests/core/storage/test_store.py::test_the_same_launch_key_makes_one_job",
        "races.launches",
    ),
    Mutation(
        "launch key made when the button is drawn",
        "ui/train/launch.py",
        "if not clicked:",
        "if True:",
        "tests/pages/test_train.py::test_a_second_click_on_its_way_launches_nothing",
    ),
    Mutation(
        "checksums of a checkpoint",
        "core/storage/files.py",
        'or compute_checksum(data) != entry["sha256"]',
        "",
        "tests/core/runs/test_artifacts_checkpoints.py"
        "::test_whatever_happens_to_the_newest_the_one_before_is_taken",
    ),
    Mutation(
        "rows in the database before the checkpoint past them",
        "core/jobs/workers/recorder.py",
        "        self.context.flush()\n        artifacts",
        "        artifacts",
        "tests/core/jobs/workers/test_recorder.py"
        "::test_rows_are_in_the_database_before_the_checkpoint_that_is_past_them",
    ),
    Mutation(
        "forgetting the rows past the checkpoint on resume",
        "core/jobs/workers/recorder.py",
        "        self.context.store.drop_metrics_after(self.context.job, newest.step)\n",
        "",
        f"{STAGE}::test_a_run_goes_on_after_a_power_cut_as_if_nothing_had_been",
        "disk.power_cuts",
    ),
    Mutation(
        "texts of the hidden final test left out of predictions",
        "core/data/hidden_test.py",
        'if "text" not in predictions or not (hidden := read_hidden_test(settings)).is_hiding:',
        "if True:",
        "tests/pages/test_hidden_test.py::test_no_page_shows_a_hidden_text_to_a_student",
    ),
    Mutation(
        "data of a class opened without the hidden final test",
        "core/data/preparation.py",
        "return find_visible(settings, whole) if whole else None",
        "return whole",
        "tests/pages/test_hidden_test.py::test_the_test_texts_of_explore_are_the_visible_ones",
    ),
    Mutation(
        "refusal to open data with the hidden final test",
        "core/data/preparation.py",
        "    require_visible(settings, fingerprint)\n",
        "",
        "tests/core/data/test_hidden_test.py::"
        "test_the_dataset_with_the_hidden_part_cannot_be_opened_until_it_is_revealed",
    ),
    *(Mutation(*guard) for guard in (*GUARDS, *SERVER_GUARDS)),
)


def main() -> int:
    """Print a line per safeguard; return 1 if the removal of one is not noticed."""
    only, unnoticed = sys.argv[1] if len(sys.argv) > 1 else "", 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        listed = (
            subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
            .stdout.decode()
            .split("\0")
        )
        for name in filter(None, listed):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
        for mutation in (mutation for mutation in MUTATIONS if only in mutation.safeguard):
            text = (copy / mutation.file).read_text()
            if mutation.old not in text:
                raise SystemExit(
                    f"{mutation.file} has no {mutation.old!r} any more: update this list."
                )
            (copy / mutation.file).write_text(text.replace(mutation.old, mutation.new))
            test, row = (
                _fails(copy, mutation.test),
                _breaks(copy, mutation.row) if mutation.row else None,
            )
            (copy / mutation.file).write_text(text)
            unnoticed += not test or row is False
            verdict = {True: "breaks", False: "HOLDS", None: "no row of its own"}[row]
            name = mutation.test.rpartition("::")[2]
            print(
                f"without {mutation.safeguard:<52} {'fails' if test else 'PASSES'} {name};"
                f" {mutation.row or ''} {verdict}",
                flush=True,
            )
    return int(unnoticed > 0)


def _fails(copy: Path, test: str) -> bool:
    """Return whether pytest ran the test and it failed; a hang counts."""
    code, _ = _run(copy, ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test])
    return code in (1, None)


def _breaks(copy: Path, row: str) -> bool:
    """Return whether the row of the small benchmark reports a broken promise; a hang counts."""
    code, printed = _run(copy, ["benchmarks/faults.py", "--small", "--only", row])
    return code is None or "BROKEN" in printed


def _run(copy: Path, arguments: list[str]) -> tuple[int | None, str]:
    """Return the exit code, None after a timeout, and the output."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=copy, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stdout


if __name__ == "__main__":
    sys.exit(main())
