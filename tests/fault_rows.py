"""What framefan survives, and its tests: `python tests/fault_rows.py > docs/faults.md`.

Tests are named by their file under tests/ and their function; a test of this table looks that they
are there. `red` are those in which the guard is switched off and the fault is seen to harm.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Row(NamedTuple):
    fault: str
    promise: str
    tests: tuple[str, ...]
    red: tuple[str, ...] = ()


_SERVER, _WEB, _TOKEN = (
    "unit/gateway/test_server",
    "unit/gateway/test_web",
    "unit/gateway/test_token",
)
_SESSION, _SESSION_TOKEN = "unit/gateway/test_session", "unit/gateway/test_session_token"
_PUBLISH, _OUTLET = "process/test_published", "unit/inference/test_outlet"
_BUS, _KILLS, _TORN = "process/test_bus_faults", "process/test_kills", "process/test_torn_frames"
_SUPERVISOR, _WORKERS = "process/test_supervisor_faults", "process/test_worker_faults"
_DEATHS, _RETURNS = "process/test_predictor_deaths", "process/test_predictor_returns"
_CAMERAS, _PICTURES = "process/test_camera_faults", "process/test_camera_pictures"
_CAMERA_GUARDS, _FILES = "process/test_camera_guards", "process/test_camera_files"
_CAMERA_PROCESSES = "process/test_camera_processes"

ROWS: dict[str, tuple[Row, ...]] = {
    "Clients": (
        Row(
            "one stops reading",
            "cut off at the stall deadline; what waits for it is bounded, the others are served",
            (
                f"{_SERVER}::test_a_stalled_client_is_aborted_in_time_and_the_others_are_served",
                f"{_SERVER}::test_what_waits_for_a_stalled_client_does_not_grow",
            ),
        ),
        Row(
            "a stop while somebody does not read",
            "the run ends in time",
            (f"{_SERVER}::test_shutdown_with_a_stalled_client_is_bounded",),
        ),
        Row(
            "a flood of pings or messages",
            "closed or cut off at the cap",
            (
                f"{_SERVER}::test_a_ping_flood_of_a_client_that_does_not_read_is_aborted_at_the_cap",
                f"{_SERVER}::test_a_flood_of_messages_closes_with_1008",
            ),
        ),
        Row(
            "frames against the protocol, too large, compressed",
            "the right close code, no compression",
            (
                f"{_SERVER}::test_frames_against_the_protocol_close_with_the_right_code",
                f"{_SERVER}::test_a_message_too_big_closes_with_1009",
                f"{_SERVER}::test_compression_is_not_negotiated_and_a_subprotocol_not_demanded",
            ),
        ),
        Row(
            "connections that say nothing, handshakes above the cap",
            "closed at the deadline, 503 above it, good clients get in",
            (
                f"{_SERVER}::test_idle_connections_are_closed_at_the_deadline_and_good_ones_get_in",
                f"{_SERVER}::test_clients_above_the_cap_get_503_and_the_others_stay",
            ),
        ),
        Row(
            "pages of foreign sites, rebound names",
            "403 on every path",
            (
                f"{_WEB}::test_a_foreign_origin_is_refused_everywhere",
                f"{_WEB}::test_a_foreign_host_is_refused_everywhere",
                f"{_WEB}::test_an_absent_or_doubled_host_is_refused",
            ),
        ),
        Row(
            "no token, a wrong one, one in the address",
            "401, 4401 or 400, and the token in no log",
            (
                f"{_TOKEN}::test_without_the_token_it_is_401",
                f"{_TOKEN}::test_a_token_in_the_address_is_refused",
                f"{_SESSION_TOKEN}::test_no_token_in_time_closes_with_4401",
                f"{_SESSION_TOKEN}::test_the_token_and_guesses_are_in_no_answer_and_no_log",
            ),
        ),
        Row(
            "wrong options and commands of any kind",
            "an answer that names what is wrong, or a close",
            (
                f"{_SESSION}::test_what_is_wrong_is_named_and_changes_nothing",
                f"{_SESSION}::test_a_million_cameras_are_refused_by_their_size",
                f"{_SESSION}::test_each_depth_of_nesting_is_answered",
                "unit/gateway/test_asked::test_no_command_raises_anything_but_a_refusal",
            ),
        ),
        Row(
            "a label that is markup",
            "shown as text",
            ("browser/test_page::test_a_hostile_label_stays_text",),
        ),
        Row(
            "a slow reader of `latest`",
            "it never reads anything old",
            ("process/test_slow_reader::test_slow_readers_read_nothing_old",),
        ),
        Row(
            "somebody watches the pictures",
            "no result waits for them, and one that cannot be made hurts nobody",
            (
                "process/test_watched_pictures::test_no_result_waits_for_a_picture",
                "process/test_watched_pictures::test_a_picture_that_cannot_be_made_hurts_nobody",
            ),
            ("process/test_watched_pictures::test_no_result_waits_for_a_picture",),
        ),
    ),
    "Gateway and bus": (
        Row(
            "the gateway is killed",
            "another one serves at once; who comes back learns what it missed",
            (
                f"{_SUPERVISOR}::test_a_killed_gateway_refuses_nobody_and_disturbs_nobody",
                "process/test_client_gateway::test_a_dead_gateway_costs_what_it_says",
                "process/test_gateway_faults::"
                "test_clients_that_come_back_to_another_gateway_learn_what_they_missed",
            ),
        ),
        Row(
            "the gateway stands still",
            "no memory grows, the gap is counted, nothing old is sent",
            (
                f"{_BUS}::"
                "test_a_gateway_that_stands_still_costs_no_memory_and_counts_what_it_missed",
                "process/test_gateway_faults::"
                "test_after_a_standstill_nothing_old_is_sent_one_by_one",
            ),
            (f"{_BUS}::test_without_the_high_water_mark_it_would_cost_memory",),
        ),
        Row(
            "readers without a key, or with an unknown one, at an open `--publish`",
            "they get nothing; without keys framefan does not start there",
            (
                f"{_PUBLISH}::test_only_readers_whose_key_is_in_the_folder_get_anything",
                f"{_PUBLISH}::test_refused_without_keys_and_named_when_taken",
                f"{_OUTLET}::test_with_the_doorman_gone_nobody_is_let_in",
            ),
            (f"{_OUTLET}::test_without_its_list_the_doorman_lets_in_whoever_knows_the_server",),
        ),
        Row(
            "a reader of the bus on another machine that stands still",
            "no memory grows, nobody else loses a result",
            (f"{_PUBLISH}::test_a_reader_that_reads_nothing_costs_no_memory_and_nobody_a_result",),
        ),
        Row(
            "the pool is killed while others read where `--publish` is",
            "they go on with the new epoch, at the same endpoint",
            (f"{_PUBLISH}::test_a_reader_goes_on_with_the_next_pool",),
        ),
        Row(
            "foreign bytes, forged numbers, pickles on the bus",
            "dropped and counted; nothing is unpickled",
            (
                f"{_BUS}::test_foreign_bytes_and_forged_leases_are_dropped_and_counted",
                f"{_BUS}::test_nothing_in_framefan_unpickles",
                f"{_BUS}::test_what_subscribers_send_upstream_harms_nobody",
            ),
        ),
        Row(
            "an outcome that comes twice",
            "counts once",
            (f"{_BUS}::test_an_outcome_told_twice_counts_once",),
        ),
    ),
    "Workers and predictors": (
        Row(
            "killed at any step of a frame",
            "exactly one outcome for its seq, its slot comes back, another worker in 2 s",
            (f"{_KILLS}::test_a_worker_killed_at_any_step",),
            (f"{_KILLS}::test_this_fails_without",),
        ),
        Row(
            "predict hangs, in Python or in C, or the process is stopped",
            "its stacks are in the log, it is killed at the deadline and started anew",
            (f"{_WORKERS}::test_a_worker_that_hangs_is_replaced_within_the_deadline",),
            (f"{_WORKERS}::test_without_the_deadline_it_would_hang_for_ever",),
        ),
        Row(
            "setup takes long, or for ever",
            "waited for until the start deadline",
            (f"{_WORKERS}::test_a_slow_setup_is_waited_for_and_an_endless_one_is_not",),
        ),
        Row(
            "predict raises, or returns what cannot be sent",
            "an error that names it; the worker lives",
            (f"{_RETURNS}::test_every_return_reaches_a_client_as_the_table_says",),
            (f"{_RETURNS}::test_without_a_guard_its_rows_are_red",),
        ),
        Row(
            "predict ends its process in any way",
            "told with its cause, one frame lost",
            (f"{_DEATHS}::test_each_death_is_told_with_its_cause_and_loses_one_frame",),
        ),
        Row(
            "predict keeps the image",
            "told once, copies from then on",
            (f"{_DEATHS}::test_whoever_keeps_an_image_is_told_once_and_gets_copies",),
            (f"{_DEATHS}::test_without_counting_references_what_it_keeps_would_change",),
        ),
        Row(
            "a frame that kills every worker",
            "never given twice; its camera is left out, the others go on",
            ("process/test_poison::test_poison_is_left_out_and_tried_again",),
            ("process/test_poison::test_without_the_circuit_it_kills_on",),
        ),
        Row(
            "a crash at every start",
            "failed after a few, at next to no cost; the rest runs",
            (f"{_WORKERS}::test_crashing_at_start_again_and_again_fails_alone_and_cheaply",),
        ),
        Row(
            "a leak",
            "the worker is replaced without a lost result",
            (
                "process/test_changes_under_load::"
                "test_an_edited_file_is_loaded_and_a_leak_is_replaced",
            ),
        ),
        Row(
            "other workers or another predictor under load",
            "no seq is missing, twice or late; one that fails leaves the old one in place",
            (
                "process/test_changes_under_load::test_scaled_and_swapped_without_a_hole",
                "process/test_changes_under_load::test_changes_in_random_order_leave_no_hole",
                "process/test_changes_under_load::"
                "test_a_predictor_that_fails_leaves_the_old_one_in_place",
            ),
            ("process/test_changes_under_load::test_without_the_guard_a_hole_is_seen",),
        ),
    ),
    "Supervisor and pool": (
        Row(
            "the supervisor is killed",
            "all children go with it; the next start works at once",
            (
                f"{_SUPERVISOR}::"
                "test_a_killed_supervisor_takes_all_with_it_and_the_next_start_works",
            ),
            (f"{_SUPERVISOR}::test_without_that_signal_a_child_holding_the_lock_would_stay",),
        ),
        Row(
            "a second run of the name",
            "refused, the first unharmed",
            (
                f"{_SUPERVISOR}::"
                "test_a_second_run_of_the_same_name_is_refused_and_the_first_unharmed",
            ),
        ),
        Row(
            "signals at any moment",
            "a clean end, the documented code",
            (
                f"{_SUPERVISOR}::test_sigterm_while_it_starts_is_a_clean_end",
                f"{_SUPERVISOR}::test_sigterm_while_a_predictor_is_set_up",
                f"{_SUPERVISOR}::test_a_second_sigterm_ends_it_now",
                f"{_SUPERVISOR}::test_ctrl_c_in_a_terminal_reaches_the_whole_group",
                f"{_SUPERVISOR}::test_sighup_stops_it_in_order",
            ),
        ),
        Row(
            "the pool is killed",
            "results again within 3 s, in a new epoch",
            (
                f"{_SUPERVISOR}::test_a_killed_pool_comes_back_with_a_new_epoch",
                "process/test_client_gateway::test_a_dead_pool_is_a_new_epoch",
            ),
        ),
        Row(
            "the wall clock jumps",
            "nobody is killed",
            (
                f"{_SUPERVISOR}::test_the_wall_clock_jumps_an_hour_and_nobody_is_killed",
                f"{_SUPERVISOR}::test_deadlines_never_read_the_wall_clock",
            ),
        ),
        Row(
            "a ring that does not fit the memory, or is damaged",
            "refused with both numbers, or by its checksum",
            (
                "unit/framefan/test_ring::test_a_ring_that_does_not_fit_names_both_numbers",
                "unit/framefan/test_ring::test_one_changed_byte_is_refused",
            ),
        ),
        Row(
            "readers and kills while frames are written",
            "no frame is ever torn",
            (
                f"{_TORN}::test_no_frame_is_torn_while_workers_die",
                f"{_TORN}::test_no_frame_is_torn_while_capture_pool_and_workers_die",
            ),
            (f"{_TORN}::test_without_leases_frames_are_torn",),
        ),
    ),
    "Cameras": (
        Row(
            "refuses, 401, 404, no host, never answers, closes, stalls",
            "each its reason, tried again after diced waits, at next to no cost",
            (
                f"{_CAMERAS}::test_a_camera_says_why_and_when_and_is_back_when_it_is_well",
                f"{_CAMERAS}::test_cameras_that_fail_again_and_again_cost_next_to_nothing",
                f"{_CAMERAS}::test_waits_are_diced",
            ),
            (f"{_CAMERA_GUARDS}::test_without_reasons_and_dice_none_are_told",),
        ),
        Row(
            "a damaged picture, a pause, the same picture, another size",
            "counted, `stalled`, `frozen`, followed",
            (
                f"{_PICTURES}::test_one_damaged_picture_is_counted_and_the_stream_goes_on",
                f"{_PICTURES}::test_a_pause_is_told_and_the_stream_goes_on",
                f"{_PICTURES}::test_the_same_picture_is_told_and_served_until_another_one_comes",
                f"{_PICTURES}::test_a_new_size_is_told_and_followed",
            ),
            (f"{_CAMERA_GUARDS}::test_what_nobody_looks_for_is_not_seen",),
        ),
        Row(
            "its decoder crashes, its process stands still",
            "that camera alone is started anew",
            (
                f"{_CAMERA_PROCESSES}::test_a_crash_of_the_decoder_is_its_cameras_own",
                f"{_CAMERA_PROCESSES}::test_one_that_stands_still_is_killed_and_started_anew",
            ),
            (f"{_CAMERA_GUARDS}::test_without_a_watch_nothing_comes_back",),
        ),
        Row(
            "files of every kind",
            "exactly their pictures, or a reason",
            (
                f"{_FILES}::test_each_file_gives_exactly_its_pictures_and_the_run_ends_well",
                f"{_FILES}::test_a_file_that_is_no_video_ends_the_run_that_begins_with_it",
            ),
        ),
        Row(
            "a password in an address, and anything fails",
            "it is seen nowhere",
            ("process/test_camera_security::test_a_password_is_seen_nowhere_whatever_fails",),
        ),
        Row(
            "`file:`, `concat:`, playlists that point elsewhere",
            "refused",
            (
                f"{_FILES}::test_other_schemes_are_refused_in_the_configuration_too",
                "unit/capture/test_whitelists::test_a_redirect_to_a_file_shows_nothing",
            ),
        ),
    ),
    "All together": (
        Row(
            "any of these, in random order, again and again",
            "the ledger exact after each, all well again in time: `make chaos`",
            ("process/test_chaos::test_random_faults_hurt_nobody_for_long",),
        ),
    ),
}


def page() -> str:
    """docs/faults.md."""
    lines = [
        "# What framefan survives",
        "",
        "Each row is shown by tests of `make test`; a dagger marks those that switch the guard off",
        "and see the fault do harm. `make chaos SECONDS=1800` plays faults in random order against",
        "one run. Written by `python tests/fault_rows.py`; a test compares.",
    ]
    for area, rows in ROWS.items():
        lines += [
            "",
            f"## {area}",
            "",
            "| what happens | what is promised | tests |",
            "|---|---|---|",
        ]
        for row in rows:
            named = [_link(each) for each in row.tests]
            named += [f"{_link(each)} †" for each in row.red if each not in row.tests]
            lines.append(f"| {row.fault} | {row.promise} | {', '.join(named)} |")
    return "\n".join(lines) + "\n"


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{file}.py)"


if __name__ == "__main__":
    sys.stdout.write(page())
