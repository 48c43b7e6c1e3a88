"""Safeguards for ``mutations.py``: what is removed (file, old, new), and the test
that must miss it.
"""

GUARDS_TEST = "tests/security/test_guards.py"
PLAIN = "tests/pages/test_hostile_texts.py::test_every_hostile_text_is_made_plain"
NAMES, PICKLES, FOLDERS = (
    "tests/security/test_names.py",
    "tests/security/test_pickles.py",
    "tests/pages/test_no_folders.py",
)
CLASS = "tests/core/people/test_classroom.py"
ACTIONS = "core/jobs/actions.py"
WORK = "    require(store.visitor, Action.WORK)\n"
GUEST_CHANGES = f"{GUARDS_TEST}::test_a_guest_changes_nothing"

GUARDS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "guard: whose run it is",
        "core/access.py",
        "owner == visitor.id)",
        "True)",
        f"{GUARDS_TEST}::test_a_student_does_nothing_to_another_ones_run_in_any_state",
    ),
    (
        "guard: a guest only looks",
        "core/access.py",
        "    return False\n",
        "    return True\n",
        GUEST_CHANGES,
    ),
    ("guard: launching", ACTIONS, "    require(store.visitor, Action.LAUNCH)\n", "", GUEST_CHANGES),
    ("guard: jobs other than runs", ACTIONS, WORK, "", GUEST_CHANGES),
    (
        "guard: what is done to a run",
        ACTIONS,
        "    require(store.visitor, action, job.owner)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: importing",
        "core/transfer/imports/import_run.py",
        "    require(store.visitor, Action.IMPORT)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: scoring",
        "core/jobs/tasks/score_import.py",
        "    require(store.visitor, Action.SCORE, run.owner)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: the log of a run",
        "core/runs/artifacts.py",
        "    require(store.visitor, Action.READ_LOG, job.owner)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: datasets",
        "core/jobs/actions.py",
        "    require(store.visitor, Action.KEEP_DATA)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: downloads",
        "core/jobs/tasks/download_data.py",
        "    require(store.visitor, Action.KEEP_DATA)\n",
        "",
        GUEST_CHANGES,
    ),
    ("guard: backups", "core/jobs/tasks/back_up.py", WORK, "", GUEST_CHANGES),
    (
        "guard: restored runs",
        "core/jobs/tasks/restore.py",
        "    require(store.visitor, Action.IMPORT)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: the class",
        "core/people/classroom.py",
        "    require(store.visitor, Action.MANAGE)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: repairing",
        "core/storage/recovery.py",
        "    require(visitor, Action.REPAIR)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: folders of the machine as models",
        "core/runs/model_access.py",
        "        require(store.visitor, Action.NAME_FOLDER)\n",
        "        pass\n",
        f"{GUARDS_TEST}::test_a_student_names_no_folder_of_the_machine",
    ),
    (
        "guard: whose file it is",
        "core/jobs/tasks/classify_file.py",
        "found if store.visitor.in_charge or found.owner == store.visitor.id else None",
        "found",
        f"{GUARDS_TEST}::test_no_one_finds_another_ones_file",
    ),
    (
        "texts of a file that waits are kept",
        ACTIONS,
        "frame, needed)",
        "frame)",
        f"{GUARDS_TEST}::test_the_texts_of_a_file_that_waits_stay_however_many_others_upload",
    ),
    (
        "a recipe for each student",
        ACTIONS,
        "save_recipe(store.settings, recipe, store.visitor.shelf)",
        "save_recipe(store.settings, recipe)",
        f"{GUARDS_TEST}::test_what_a_student_starts_is_theirs_and_leaves_all_of_others_as_it_was",
    ),
    (
        "a note of each launch",
        "core/jobs/launching.py",
        '    accounts.note(store, kind.audit or kind.action, f"{job.id} {job.name}")\n'
        "    ensure_supervisor",
        "    ensure_supervisor",
        f"{GUARDS_TEST}::test_what_a_student_starts_is_theirs_and_leaves_all_of_others_as_it_was",
    ),
    (
        "ten wrong codes, then a minute",
        "core/people/classroom.py",
        "WRONG_IN_WINDOW = 60.0, 10",
        "WRONG_IN_WINDOW = 60.0, 1000",
        f"{CLASS}::test_after_ten_wrong_codes_in_a_minute_an_address_waits",
    ),
    (
        "wrong codes at the same moment count",
        "core/people/classroom.py",
        "        with self._one_at_a_time:\n",
        "        if True:\n",
        f"{CLASS}::test_many_tries_at_once_are_no_way_round_the_wait",
    ),
    (
        "codes compared in constant time",
        "core/people/classroom.py",
        "hmac.compare_digest(given, self.student.lower().encode())",
        "given == self.student.lower().encode()",
        f"{CLASS}::test_codes_are_compared_in_constant_time",
    ),
    ("escaping of Markdown", "ui/text.py", 'MARKDOWN.sub(r"\\\\\\1", seen)', "seen", PLAIN),
    (
        "addresses and colons are no Markdown",
        "ui/text.py",
        "found[0] + WORD_JOINER",
        "found[0]",
        PLAIN,
    ),
    (
        "control characters are shown",
        "ui/text.py",
        'UNSEEN.sub("\\ufffd", " ".join(without_folders(text).split()))',
        '" ".join(text.split())',
        PLAIN,
    ),
    (
        "names of datasets lead nowhere",
        "core/data/sources.py",
        'name == Path(name).name and not name.startswith(".") and ',
        "",
        f"{NAMES}::test_no_name_leads_out_of_the_home_folder",
    ),
    (
        "names that are too long",
        "core/data/sources.py",
        ' and len(name.encode(errors="replace")) <= LONGEST_NAME',
        "",
        f"{NAMES}::test_no_name_leads_out_of_the_home_folder",
    ),
    (
        "a fingerprint is one",
        "core/data/preparation.py",
        'not re.fullmatch(r"[0-9a-f]{12}", fingerprint) or ',
        "",
        f"{NAMES}::test_no_name_leads_out_of_the_home_folder",
    ),
    (
        "folders hidden from visitors",
        "ui/text.py",
        "    return hide_folders(settings, text)\n",
        "    return text\n",
        FOLDERS,
    ),
    (
        "a pickle in an adapter is refused",
        "core/transfer/imports/archive.py",
        "in PICKLES]:",
        "in PICKLES and False]:",
        f"{PICKLES}::test_no_pickle_in_an_adapter_that_someone_uploads_is_loaded",
    ),
    (
        "an error shows its id alone",
        "ui/session/error_boundary.py",
        "here (error {error_id})",
        "here ({error})",
        FOLDERS,
    ),
)
