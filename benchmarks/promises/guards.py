"""Safeguards for ``mutations.py``: file, removed text, replacement, and the test that must fail."""

GUARDS_TEST = "tests/security/test_guards.py"
PLAIN = "tests/pages/test_hostile_texts.py::test_every_hostile_text_is_made_plain"
NAMES, PICKLES, FOLDERS = (
    "tests/security/test_names.py",
    "tests/security/test_pickles.py",
    "tests/pages/test_no_folders.py",
)
REQUESTS = "tests/security/test_request_guard.py"
REQUEST_GUARD, LOCAL_REQUESTS = "ui/app/request_guard.py", "ui/session/local_machine.py"
REBOUND = f"{REQUESTS}::test_local_mode_refuses_every_other_host_origin_and_proxy"
PATHS = "tests/security/test_typed_paths.py"
CELLS = "core/data/tables/exported_cells.py"
CELLS_TEST = "tests/core/data/tables/test_exported_cells.py"
BOMBS = "tests/security/test_bombs.py"
CLASS = "tests/core/people/test_classroom.py"
LOOKS_LIKE = "test_name_that_looks_like_another_ones_is_refused"
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
        "core/jobs/tasks/classify_texts.py",
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
        "    require(store.visitor, Action.MANAGE_DATASETS)\n",
        "",
        GUEST_CHANGES,
    ),
    (
        "guard: jobs of every kind",
        "core/jobs/launching.py",
        '    require(store.visitor, kind.action, run.owner if run else "")\n',
        "",
        GUEST_CHANGES,
    ),
    ("guard: backups", "core/jobs/tasks/backups.py", WORK, "", GUEST_CHANGES),
    (
        "guard: restored runs",
        "core/jobs/tasks/backups.py",
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
        "core/runs/limits.py",
        "        require(store.visitor, Action.NAME_FOLDER)\n",
        "        pass\n",
        f"{GUARDS_TEST}::test_a_student_names_no_folder_of_the_machine",
    ),
    (
        "guard: whose file it is",
        "core/jobs/tasks/classify_texts.py",
        "if (store.visitor.is_admin or job.owner == store.visitor.id) and",
        "if",
        f"{GUARDS_TEST}::test_no_one_finds_another_ones_file",
    ),
    (
        "texts of a file that waits are kept",
        ACTIONS,
        "batch, needed)",
        "batch)",
        f"{GUARDS_TEST}::test_the_texts_of_a_file_that_waits_stay_however_many_others_upload",
    ),
    (
        "a recipe for each student",
        ACTIONS,
        "save_recipe(store.settings, recipe, store.visitor.folder)",
        "save_recipe(store.settings, recipe)",
        f"{GUARDS_TEST}::test_what_a_student_starts_is_theirs_and_leaves_all_of_others_as_it_was",
    ),
    (
        "a note of each launch",
        "core/jobs/launching.py",
        "        if log:\n",
        "        if not log:\n",
        f"{GUARDS_TEST}::test_what_a_student_starts_is_theirs_and_leaves_all_of_others_as_it_was",
    ),
    (
        "ten wrong codes of an address",
        "core/people/classroom.py",
        "WRONG_IN_WINDOW, WRONG_OF_ALL = 60, 10, 60",
        "WRONG_IN_WINDOW, WRONG_OF_ALL = 60, 1000, 60",
        f"{CLASS}::test_ten_wrong_codes_of_a_school_lock_out_no_one",
    ),
    (
        "wrong codes of all addresses",
        "core/people/classroom.py",
        "WRONG_IN_WINDOW, WRONG_OF_ALL = 60, 10, 60",
        "WRONG_IN_WINDOW, WRONG_OF_ALL = 60, 10, 6000",
        f"{CLASS}::test_wrong_codes_of_many_addresses_have_a_limit_in_common",
    ),
    (
        "right codes always pass",
        "core/people/classroom.py",
        "    given = read_codes(store).find_role(code)\n",
        "    given = read_codes(store).find_role(code)\n"
        "    _note_wrong(store, CLASS_CODE, address, browser, pause)\n",
        f"{CLASS}::test_ten_wrong_codes_of_a_school_lock_out_no_one",
    ),
    (
        "wrong codes above a limit are slow",
        "core/people/classroom.py",
        "        pause(PAUSE_SECONDS)\n",
        "",
        f"{CLASS}::test_wrong_codes_above_a_limit_are_answered_late",
    ),
    (
        "forwarded addresses of unknown proxies",
        "ui/app/request_guard.py",
        "            _distrust_forwarded(scope)\n",
        "",
        "tests/security/test_request_guard.py"
        "::test_forwarded_addresses_count_only_from_a_configured_proxy",
    ),
    (
        "codes compared in constant time",
        "core/people/classroom.py",
        "hmac.compare_digest(given, self.student.lower().encode())",
        "given == self.student.lower().encode()",
        f"{CLASS}::test_codes_are_compared_in_constant_time",
    ),
    (
        "escaping of Markdown",
        "ui/text.py",
        'MARKDOWN.sub(r"\\\\\\1", _without_unseen(text))',
        "_without_unseen(text)",
        PLAIN,
    ),
    (
        "addresses and colons are no Markdown",
        "ui/text.py",
        "match[0] + WORD_JOINER",
        "match[0]",
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
        'name == Path(name).name\n        and not name.startswith(".")\n        and ',
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
        "id=error_id",
        "id=error",
        FOLDERS,
    ),
    (
        "request guard: host",
        LOCAL_REQUESTS,
        "    if len(hosts) != 1 or read_host_name(hosts[0]) not in LOCAL_HOSTS:\n",
        "    if False:\n",
        REBOUND,
    ),
    (
        "request guard: origin in local mode",
        LOCAL_REQUESTS,
        "    if not all(is_same_origin(origin, hosts[0]) for origin in origins):\n",
        "    if False:\n",
        REBOUND,
    ),
    (
        "request guard: proxies",
        LOCAL_REQUESTS,
        "if lower in FORWARDING_HEADERS or lower.startswith(FORWARDING_PREFIXES):",
        "if False:",
        REBOUND,
    ),
    (
        "request guard: foreign origin",
        REQUEST_GUARD,
        "if changes and not _is_origin_allowed(headers):",
        "if False:",
        f"{REQUESTS}::test_foreign_origin_is_refused_without_a_lookup_elsewhere",
    ),
    (
        "request guard: messages",
        REQUEST_GUARD,
        "kind in MESSAGES\n        and",
        "True\n        and",
        f"{REQUESTS}::test_a_page_cannot_clear_what_others_use_or_read_the_repository",
    ),
    (
        "request guard: flood of messages",
        REQUEST_GUARD,
        "            if seconds:\n",
        "            if False:\n",
        f"{REQUESTS}::test_flood_of_messages_waits",
    ),
    (
        "request guard: metrics",
        REQUEST_GUARD,
        'if scope["path"].endswith(METRICS):',
        "if False:",
        f"{REQUESTS}::test_other_modes_answer_by_any_name_and_hide_metrics",
    ),
    (
        "request guard: who uploads",
        REQUEST_GUARD,
        "if not person:",
        "if False:",
        f"{REQUESTS}::test_guest_of_a_public_page_cannot_upload",
    ),
    (
        "request guard: room for uploads",
        REQUEST_GUARD,
        "        self._require_room(person, int(length))\n",
        "",
        f"{REQUESTS}::test_uploads_are_limited",
    ),
    (
        "request guard: token",
        REQUEST_GUARD,
        "if self.token and not self._has_token(scope):",
        "if False:",
        f"{REQUESTS}::test_token_is_needed_in_every_request_but_the_first",
    ),
    (
        "path guard: folders that may be read",
        "core/settings.py",
        "if found_at.is_relative_to(folder):",
        "if True:",
        f"{PATHS}::test_no_mode_reads_other_files_by_default",
    ),
    (
        "path guard: hidden folders",
        "core/settings.py",
        "if not hidden:",
        "if True:",
        f"{PATHS}::test_no_mode_reads_other_files_by_default",
    ),
    (
        "path guard: links",
        "core/settings.py",
        "os.path.realpath(os.path.expanduser(path))",
        "os.path.abspath(os.path.expanduser(path))",
        f"{PATHS}::test_no_mode_reads_other_files_by_default",
    ),
    (
        "path guard: links in a folder",
        "ui/data/add.py",
        "            find_readable(settings, each)\n",
        "            pass\n",
        "tests/pages/test_data.py::test_path_of_another_folder_is_refused",
    ),
    (
        "path guard: base models",
        "core/runs/limits.py",
        "        _require_readable_folder(store, folder)\n",
        "",
        f"{PATHS}::test_base_model_is_not_read_elsewhere_through_a_browser",
    ),
    (
        "formulas: after invisible characters",
        CELLS,
        'FORMULA = re.compile(f"\'*[{INVISIBLE}]*[{SIGNS}]")',
        'FORMULA = re.compile(f"\'*[ ]*[{SIGNS}]")',
        f"{CELLS_TEST}::test_a_text_that_would_be_executed_gets_one_apostrophe",
    ),
    (
        "formulas: after other separators",
        CELLS,
        'return front + INNER.sub(r"\\1\'", cell)',
        "return front + cell",
        f"{CELLS_TEST}::test_text_is_escaped_after_what_other_spreadsheets_split_at",
    ),
    (
        "bombs: memory of the reading process",
        "core/storage/resources.py",
        "resource.setrlimit(kind, (most, most))",
        "pass",
        f"{BOMBS}::test_call_ends_at_its_limit",
    ),
    (
        "bombs: size of a table",
        "core/data/tables/table.py",
        "if rows > MAX_ROWS or rows * columns > self.cells or unpacked > self.unpacked:",
        "if False:",
        f"{BOMBS}::test_table_larger_than_the_server_may_hold_is_refused",
    ),
    (
        "bombs: tables are read in another process",
        "core/data/splits/data_folders.py",
        "if isinstance(source, bytes) and is_small_text(name, source):",
        "if True:",
        f"{BOMBS}::test_table_larger_than_the_server_may_hold_is_refused",
    ),
    (
        "bombs: files to classify are read in another process",
        "core/data/tables/whole_table.py",
        "if is_small_text(name, data):",
        "if True:",
        f"{BOMBS}::test_file_to_classify_is_limited_as_well",
    ),
    (
        "bombs: files of ends alone",
        "core/data/tables/table.py",
        "if any(source.count(end) > self.cells for end in",
        "if any(False for end in",
        f"{BOMBS}::test_file_of_ends_alone_is_refused_without_reading_it",
    ),
    (
        "turns: short requests first",
        "core/inference/process.py",
        "ticket = (is_long, next(self._numbers))",
        "ticket = (False, next(self._numbers))",
        "tests/core/inference/test_process.py::test_short_requests_have_the_next_turns",
    ),
    (
        "turns: explanations pause",
        "core/inference/attribution.py",
        "            if should_pause():\n                raise Paused\n",
        "",
        "tests/core/inference/test_process.py"
        "::test_an_explanation_pauses_while_a_short_request_waits",
    ),
    *(
        (
            f"names: {name}",
            "core/people/names.py",
            removed,
            replacement,
            f"tests/core/people/test_names.py::{test}",
        )
        for name, removed, replacement, test in (
            (
                "letters that look alike",
                "return plain.translate(LOOK_ALIKE)",
                "return plain",
                LOOKS_LIKE,
            ),
            ("accents", 'ACCENTS.sub("", unicodedata', '("" + unicodedata', LOOKS_LIKE),
            (
                "strokes",
                "untitled.translate(STROKES).casefold()",
                "untitled.casefold()",
                "test_letters_of_the_same_strokes_look_alike",
            ),
            (
                "invisible characters",
                'SELECTORS.sub("", INVISIBLE.sub("", sanitize_name(text, 2 * LONGEST_NAME)))',
                "sanitize_name(text, 2 * LONGEST_NAME)",
                "test_name_of_invisible_characters_is_missing",
            ),
            (
                "reserved",
                "if role is not Role.TEACHER and is_reserved(name):",
                "if False:",
                "test_no_student_has_the_name_of_a_teacher_or_the_product",
            ),
            (
                "marks in a row",
                "if marks <= MOST_MARKS:",
                "if True:",
                "test_name_is_stored_tidy",
            ),
            (
                "of a provider",
                "    is_known = find_namesake(store, name, visitor) is not None\n",
                "    is_known = False\n",
                "test_names_of_a_provider_are_distinct",
            ),
        )
    ),
    (
        "names: a teacher's name is the teacher's",
        "core/people/classroom.py",
        "        accounts.rename_person(store, namesake, renamed)\n",
        "",
        "tests/core/people/test_names.py"
        "::test_student_with_the_name_of_a_teacher_is_renamed_when_that_one_joins",
    ),
    (
        "names: one join at a time",
        "core/people/classroom.py",
        "    with hold_names(store):\n",
        "    if True:\n",
        "tests/core/people/test_names.py::test_joining_waits_for_another_server_process",
    ),
    *(
        (
            f"allowances: {name}",
            file,
            removed,
            replacement,
            f"tests/{test}",
        )
        for name, file, removed, replacement, test in (
            (
                "joins of a network",
                "core/people/classroom.py",
                "    uses = [(of_network, find_network(address))]\n",
                "    uses = [(of_network, secrets.token_hex(4))]\n",
                "core/people/test_allowances.py"
                "::test_a_school_of_two_classes_joins_and_a_script_does_not",
            ),
            (
                "joins of a browser",
                "core/people/classroom.py",
                "    if lineage := allowances.read_lineage(browser.token):\n",
                "    if lineage := False:\n",
                "core/people/test_allowances.py"
                "::test_a_browser_joins_a_few_times_whatever_its_address_and_secret",
            ),
            (
                "uses at once",
                "core/storage/accounts.py",
                '        db.execute("BEGIN IMMEDIATE")  # two requests',
                "        # two requests",
                "core/people/test_allowances.py"
                "::test_uses_at_the_same_time_do_not_exceed_the_limit",
            ),
            (
                "the last use",
                "core/storage/accounts.py",
                "            if number >= use.most:\n",
                "            if number > use.most:\n",
                "core/people/test_allowances.py"
                "::test_uses_at_the_same_time_do_not_exceed_the_limit",
            ),
            (
                "explanations are counted",
                "ui/classify/explanation.py",
                "        allowances.spend(_store, limited)\n",
                "        pass\n",
                "pages/test_classify.py::test_a_guest_explains_short_texts_until_nothing_is_left",
            ),
            (
                "explained texts of guests",
                "ui/classify/explanation.py",
                "    if len(text) > most:\n",
                "    if False:\n",
                "pages/test_classify.py::test_a_guest_explains_short_texts_until_nothing_is_left",
            ),
            (
                "texts of guests",
                "core/people/allowances.py",
                "return OF_GUESTS if visitor.role in GUESTS else OF_MEMBERS",
                "return OF_MEMBERS",
                "core/people/test_allowances.py::test_texts_of_guests_are_shorter",
            ),
        )
    ),
    *(
        (
            f"quota: {name}",
            file,
            removed,
            replacement,
            f"tests/core/runs/test_limits_quota.py::{test}",
        )
        for name, file, removed, replacement, test in (
            (
                "what a student may have",
                "core/runs/limits.py",
                "        if used > most:",
                "        if False:",
                "test_student_who_would_exceed_the_quota_is_refused",
            ),
            (
                "exports",
                "core/jobs/launching.py",
                "        require_quota(store, exports=1)\n",
                "",
                "test_export_is_refused_at_the_quota",
            ),
            (
                "exports expire",
                "core/runs/limits.py",
                "            path.unlink()\n",
                "            pass\n",
                "test_old_exports_of_students_are_removed",
            ),
            (
                "imported runs in their owner's list",
                "core/storage/store.py",
                "        if self.visitor.is_admin:",
                "        if True:",
                "test_imported_run_of_a_student_is_in_no_other_students_list",
            ),
        )
    ),
)
