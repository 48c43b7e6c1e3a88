"""Safeguards of the server for ``mutations.py``, as in ``guards.py``."""

BOUNDARY, BOUNDARY_TEST = "ui/session/error_boundary.py", "tests/ui/session/test_error_boundary.py"
REQUEST_GUARD, PAGES = "ui/app/request_guard.py", "tests/security/test_many_pages.py"

CLASS, CLASS_TEST = "core/people/classroom.py", "tests/core/people/test_classroom.py"
HIDDEN_TEST = "tests/pages/test_hidden_test.py"

DOWNLOADS, DOWNLOADS_TEST = "ui/app/server_start.py", "tests/security/test_downloads.py"

SERVER_GUARDS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        "guard: addresses of downloads cannot be computed",
        DOWNLOADS,
        "(data, key=self._secret, digest_size=16)",
        "(data, digest_size=16)",
        f"{DOWNLOADS_TEST}::test_who_knows_a_file_does_not_know_its_address",
    ),
    (
        "guard: memory of files that no page refers to",
        DOWNLOADS,
        " and size <= MOST_RELEASED_BYTES",
        "",
        f"{DOWNLOADS_TEST}::test_released_files_take_little_memory",
    ),
    (
        "guard: a download is found while others use the server",
        "Home.py",
        "    server_start.keep_downloads()\n",
        "",
        f"{DOWNLOADS_TEST}::test_a_download_is_found_while_others_use_the_server",
    ),
    (
        "guard: numbers that are not finite",
        REQUEST_GUARD,
        "        and all(map(math.isfinite, _list_numbers(message)))\n",
        "",
        "tests/security/test_request_guard.py::test_a_number_that_is_not_finite_runs_no_script",
    ),
    (
        "guard: disputed labels are short",
        "core/data/disputed_labels.py",
        "if longest > LONGEST_LABEL:",
        "if False:",
        "tests/core/data/test_disputed_labels.py::test_a_forged_suggestion_is_refused",
    ),
    (
        "guard: messages that would write into the repository",
        REQUEST_GUARD,
        'WhichOneof("payload") in OPERATIONS',
        'request_id != ""',
        "tests/security/test_request_guard.py::test_a_page_cannot_write_into_the_repository",
    ),
    (
        "guard: scripts that run at the same time",
        BOUNDARY,
        "while counted < self.places and self._waiting",
        "while self._waiting",
        f"{BOUNDARY_TEST}::test_no_more_scripts_run_than_there_are_places",
    ),
    (
        "guard: scripts take turns by visitor",
        BOUNDARY,
        "self._waiting.add(asker, turn)",
        'self._waiting.add(Asker(""), turn)',
        f"{BOUNDARY_TEST}::"
        "test_the_scripts_of_one_visitor_keep_another_one_waiting_for_one_place_at_most",
    ),
    (
        "guard: members do not wait for each address",
        BOUNDARY,
        "self._groups[asker.is_member].setdefault",
        "self._groups[False].setdefault",
        f"{BOUNDARY_TEST}::test_members_and_others_alternate",
    ),
    (
        "guard: scripts are started in turn",
        "ui/app/server_start.py",
        "waiting.add(find(runner), runner)",
        'waiting.add(Asker(""), runner)',
        "tests/ui/app/test_server_start.py::test_scripts_are_started_in_turn_for_visitors",
    ),
    (
        "guard: length of the request that fetches the cookie",
        "ui/session/visit_cookie.py",
        "if len(body) > MOST_BODY_BYTES:",
        "if False:",
        "tests/ui/session/test_visit_cookie.py::test_a_request_whose_body_does_not_end_is_refused",
    ),
    (
        "guard: the page takes a turn",
        BOUNDARY,
        "    with SCRIPTS.take(_find_asker(), _find_asker):\n",
        "    if True:\n",
        f"{BOUNDARY_TEST}::test_a_script_of_a_page_takes_a_turn",
    ),
    (
        "guard: a long script keeps no one out",
        BOUNDARY,
        "now - began < self.long_seconds for",
        "now - began < 3600 for",
        f"{BOUNDARY_TEST}::test_a_script_that_takes_long_keeps_no_one_out",
    ),
    (
        "guard: scripts of closed pages leave",
        BOUNDARY,
        "                require_reader()\n",
        "",
        f"{BOUNDARY_TEST}::test_a_script_that_no_one_awaits_leaves_while_it_waits",
    ),
    (
        "guard: pages of one address",
        REQUEST_GUARD,
        "self.counts[address] < self.most_of_address and",
        "",
        f"{PAGES}::test_a_class_behind_one_address_has_room_and_a_flood_has_not",
    ),
    (
        "guard: pages of all",
        REQUEST_GUARD,
        " and total < self.most - self.reserved",
        "",
        f"{PAGES}::test_no_more_pages_are_open_than_the_memory_holds",
    ),
    (
        "guard: pages of a member",
        REQUEST_GUARD,
        " and self.counts[member] < PAGES_OF_MEMBER",
        "",
        f"{PAGES}::test_members_open_pages_when_a_flood_has_taken_the_others",
    ),
    (
        "guard: pages that were just closed",
        REQUEST_GUARD,
        "COUNTED_SECONDS - (self.timer() - began)",
        "0",
        f"{PAGES}::test_a_page_that_is_opened_and_closed_again_and_again_counts_for_a_while",
    ),
    (
        "guard: pages open in turn",
        REQUEST_GUARD,
        "self.waiting.setdefault(owner, deque())",
        'self.waiting.setdefault("", deque())',
        f"{PAGES}::test_pages_open_in_turn_and_not_all_at_once",
    ),
    (
        "guard: pages do not open all at once",
        REQUEST_GUARD,
        "asyncio.sleep(self.pace.take())",
        "asyncio.sleep(0)",
        f"{PAGES}::test_pages_open_in_turn_and_not_all_at_once",
    ),
    (
        "guard: a full server says so",
        REQUEST_GUARD,
        "                self._require_page(scope)\n",
        "                pass\n",
        f"{PAGES}::test_full_server_says_so_on_a_page_that_opens_later",
    ),
    (
        "guard: a WebSocket needs a place",
        REQUEST_GUARD,
        "self.pages.count(owner := self._require_page(scope))",
        'self.pages.count(owner := "anyone")',
        f"{PAGES}::test_full_server_says_so_on_a_page_that_opens_later",
    ),
    (
        "guard: wrong codes of an address alone",
        CLASS,
        "WRONG_IN_WINDOW + 1, WINDOW_SECONDS",
        "10_000, WINDOW_SECONDS",
        f"{CLASS_TEST}::test_one_address_alone_does_not_reach_the_common_limit",
    ),
    (
        "guard: wrong codes are counted one at a time",
        "core/storage/accounts.py",
        '        db.execute("BEGIN IMMEDIATE")  # requests at once must not see the same number\n',
        "",
        f"{CLASS_TEST}::test_many_tries_at_once_are_no_way_round_the_limit",
    ),
    (
        "guard: wrong codes when the clock is set back",
        "core/storage/accounts.py",
        "(at <= ? OR at > ?)",
        "(at <= ? OR at > ? + 1e12)",
        f"{CLASS_TEST}::test_clock_that_is_set_back_makes_no_wrong_code_late",
    ),
    (
        "guard: hidden texts of a file",
        "core/jobs/tasks/classify_texts.py",
        '"" if hide else text for',
        "text for",
        f"{HIDDEN_TEST}::test_a_file_with_the_test_split_shows_no_scores_of_the_hidden_texts",
    ),
    (
        "guard: imported scores while the final test is hidden",
        "core/runs/run.py",
        "        if recorded.test is None:\n            return recorded\n",
        "        if recorded.test is None or recorded.imported:\n            return recorded\n",
        f"{HIDDEN_TEST}::test_an_imported_score_without_predictions_is_not_shown_before_the_reveal",
    ),
)
