"""The rows of docs/faults.md: what happens, what is promised, and which tests show it.

Tests are named by their file under tests/ and their function; a test checks that they exist. `red`
names separate tests in which a guard is switched off and the fault does harm. The switches of
guard_table.py are found by the names of the tests.
"""

from __future__ import annotations

from fault_cameras import CAMERAS
from fault_clients import CLIENTS, Row
from fault_starts import STARTS, TOLD

_PUBLISH, _OUTLET = "process/test_published", "unit/inference/pool/test_publish_endpoint"
_BUS, _KILLS, _TORN = "process/test_bus_faults", "process/test_kills", "process/test_torn_frames"
_SUPERVISOR, _WORKERS = "process/test_supervisor_faults", "process/test_worker_faults"
_SHAPES = "unit/inference/predictors/test_shapes"
_DEATHS, _RETURNS = "process/test_predictor_deaths", "process/test_predictor_returns"
_LEDGER, _PICTURE_BUS = "unit/inference/leases/test_ledger", "unit/inference/pool/test_picture_bus"
_SUPERVISED, _RING = "unit/framefan/supervisor/test_supervisor", "unit/framefan/ipc/test_ring"

ROWS: dict[str, tuple[Row, ...]] = {
    "Clients": CLIENTS,
    "Starts and settings": STARTS,
    "What a run reports": TOLD,
    "Gateway and bus": (
        Row(
            "the gateway is killed",
            "another one serves at once; a reconnecting client learns what it missed",
            (
                f"{_SUPERVISOR}::test_a_killed_gateway_causes_no_refusal_and_affects_nothing_else",
                "process/test_client_gateway::test_a_dead_gateway_costs_only_the_reported_results",
                "process/test_gateway_faults::"
                "test_clients_that_come_back_to_another_gateway_learn_what_they_missed",
                f"{_SUPERVISED}::test_a_lost_child_comes_back_and_the_others_stay",
                "unit/gateway/delivery/test_session_since::test_what_was_not_kept_is_counted_as_history",
            ),
        ),
        Row(
            "the gateway hangs",
            "no memory grows, the gap is counted, no old result is sent",
            (
                f"{_BUS}::test_a_gateway_that_hangs_costs_no_memory_and_counts_what_it_missed",
                "process/test_gateway_faults::test_a_gateway_that_hung_sends_no_old_results",
            ),
            (f"{_BUS}::test_without_the_high_water_mark_it_would_cost_memory",),
        ),
        Row(
            "readers without a key, or with an unknown one, at a non-loopback `--publish` endpoint",
            "they get nothing; framefan does not start there without keys",
            (
                f"{_PUBLISH}::test_only_readers_whose_key_is_in_the_folder_get_anything",
                f"{_PUBLISH}::test_refused_without_keys_and_named_when_taken",
                f"{_OUTLET}::test_with_the_doorman_gone_nobody_is_let_in",
            ),
            (f"{_OUTLET}::test_without_its_list_the_doorman_lets_in_whoever_knows_the_server",),
        ),
        Row(
            "a reader of the bus on another machine hangs",
            "no memory grows, no other reader loses a result",
            (
                f"{_PUBLISH}::test_a_reader_that_reads_nothing_costs_no_memory_and_no_other_reader_a_result",
            ),
        ),
        Row(
            "a reader of pictures on the bus hangs, or a gateway whose clients watch pictures",
            "it costs the pool `picture_bytes` at most, and no other reader a picture or a result; "
            "at the results endpoint, all readers of pictures share these bytes",
            (
                f"{_PICTURE_BUS}::test_a_reader_that_stands_still_costs_a_bounded_amount",
                f"{_PICTURE_BUS}::test_pictures_leave_results_their_room",
                "process/test_picture_bound::"
                "test_a_gateway_that_hangs_costs_few_pictures_and_no_other_reader_any",
            ),
        ),
        Row(
            "a picture overtakes its result on the bus",
            "it waits in the gateway, and is sent after its result",
            (
                "unit/gateway/http/test_pictures::"
                "test_a_picture_that_arrives_before_its_result_is_sent_after_it",
            ),
        ),
        Row(
            "the pool is killed while readers are connected to the `--publish` endpoint",
            "they continue with the new epoch, at the same endpoint",
            (f"{_PUBLISH}::test_a_reader_continues_with_the_next_pool",),
        ),
        Row(
            "foreign bytes, forged numbers, pickles or 100 MB on the bus",
            "dropped and counted; nothing is unpickled",
            (
                f"{_BUS}::test_foreign_bytes_and_forged_leases_are_dropped_and_counted",
                f"{_BUS}::test_nothing_in_framefan_unpickles",
                f"{_BUS}::test_messages_from_subscribers_have_no_effect",
                "unit/gateway/test_intake::test_what_is_not_ours_is_dropped_and_counted",
                "unit/framefan/ipc/test_bus::test_a_message_too_large_is_never_taken_in",
            ),
        ),
        Row(
            "an outcome that arrives twice, or for a lease settled long ago",
            "it counts once",
            (
                f"{_BUS}::test_an_outcome_sent_twice_counts_once",
                "unit/inference/leases/test_sequencer::test_a_settled_seq_is_not_settled_again",
            ),
            (f"{_LEDGER}::test_without_the_guard_the_machine_says_so",),
        ),
    ),
    "Workers and predictors": (
        Row(
            "a worker is killed at any step of a frame",
            "its seq has exactly one outcome, its slot is freed, another worker is up within 2 s",
            (f"{_KILLS}::test_a_worker_killed_at_any_step",),
            (f"{_KILLS}::test_this_fails_without",),
        ),
        Row(
            "a lease is returned late, or by another worker",
            "the return changes nothing, and counts as stale",
            (
                "unit/inference/leases/test_schedule::test_a_return_that_does_not_fit_changes_nothing",
            ),
            (f"{_LEDGER}::test_without_the_guard_the_machine_says_so",),
        ),
        Row(
            "predict hangs, in Python or in C, or the worker's process is stopped",
            "its stacks are in the log, it is killed at the deadline and replaced",
            (f"{_WORKERS}::test_a_worker_that_hangs_is_replaced_within_the_deadline",),
            (f"{_WORKERS}::test_without_the_deadline_it_would_hang_for_ever",),
        ),
        Row(
            "setup takes long, or never ends",
            "the pool waits until the start deadline",
            (
                f"{_WORKERS}::test_a_slow_setup_is_waited_for_and_an_endless_one_is_not",
                "unit/inference/pool/test_pool_workers::"
                "test_a_slow_setup_is_not_killed_before_its_deadline_and_then_is",
            ),
        ),
        Row(
            "predict raises, or returns what cannot be sent, such as 50 MB",
            "the frame's outcome is an error that names the cause; the worker continues",
            (f"{_RETURNS}::test_every_return_reaches_a_client_as_the_table_says",),
            (f"{_RETURNS}::test_without_a_guard_its_rows_are_red",),
        ),
        Row(
            "an outline of 100,000 points, a bitmap of another size, degrees for radians",
            "simplified to 100 points; an error that names the value",
            (
                f"{_SHAPES}::test_an_outline_of_many_points_has_as_many_as_are_allowed",
                f"{_SHAPES}::test_what_is_no_shape_is_an_error_that_names_it",
            ),
        ),
        Row(
            "predict ends its process in any way",
            "the cause is reported, one frame is lost",
            (
                f"{_DEATHS}::test_each_death_is_reported_with_its_cause_and_loses_one_frame",
                "unit/inference/pool/test_worker_handle::test_its_end_is_told_in_words",
            ),
        ),
        Row(
            "predict keeps the image",
            "one warning, copies from then on",
            (f"{_DEATHS}::test_a_predictor_that_keeps_an_image_is_warned_once_and_gets_copies",),
            (f"{_DEATHS}::test_without_counting_references_what_it_keeps_would_change",),
        ),
        Row(
            "a frame that kills every worker",
            "no frame is given twice; its camera is left out, the others continue",
            ("process/test_poison::test_poison_is_left_out_and_tried_again",),
            ("process/test_poison::test_without_the_circuit_it_kills_on",),
        ),
        Row(
            "a worker crashes at every start",
            "it is `failed` after a few starts, at almost no cost; the rest of the run continues",
            (
                f"{_WORKERS}::test_crashing_at_start_again_and_again_fails_alone_and_cheaply",
                "unit/framefan/settings/test_restart::test_waits_double_and_then_it_failed",
            ),
        ),
        Row(
            "a predictor leaks memory",
            "the worker is replaced, no result is lost",
            (
                "process/test_changes_under_load::"
                "test_an_edited_file_is_loaded_and_a_leak_is_replaced",
                "unit/inference/pool/test_pool_workers::"
                "test_a_worker_that_leaks_is_replaced_and_loses_nothing",
            ),
        ),
        Row(
            "the number of workers or the predictor changes under load",
            "no seq is missing, repeated or late; if a new predictor fails, the old one stays",
            (
                "process/test_changes_under_load::test_scaled_and_swapped_without_a_hole",
                "process/test_changes_under_load::test_changes_in_random_order_leave_no_hole",
                "process/test_changes_under_load::"
                "test_a_predictor_that_fails_leaves_the_old_one_in_place",
            ),
            ("process/test_changes_under_load::test_without_the_guard_a_hole_is_seen",),
        ),
        Row(
            "one of several predictors dies, hangs, is swapped, rescaled, added or removed",
            "cameras of the other predictors lose no frame and no time",
            (
                "process/test_predictors::"
                "test_deaths_and_changes_of_one_predictor_cost_the_others_cameras_nothing",
                "process/test_predictors::"
                "test_a_reload_adds_and_removes_predictors_and_moves_cameras",
                "process/test_predictors::"
                "test_a_predictor_that_a_reload_adds_may_fail_and_the_run_goes_on",
                "unit/inference/leases/test_groups::test_a_group_does_what_it_would_do_alone",
            ),
            ("unit/inference/leases/test_groups::test_the_property_sees_a_shared_circuit",),
        ),
    ),
    "Supervisor and pool": (
        Row(
            "the supervisor is killed",
            "all its children end with it; the next start works at once",
            (
                f"{_SUPERVISOR}::"
                "test_a_killed_supervisor_takes_all_with_it_and_the_next_start_works",
            ),
            (f"{_SUPERVISOR}::test_without_that_signal_a_child_holding_the_lock_would_stay",),
        ),
        Row(
            "a second run of the same name",
            "it is refused, the first run is not affected",
            (
                f"{_SUPERVISOR}::"
                "test_a_second_run_of_the_same_name_is_refused_and_the_first_unharmed",
                "unit/framefan/supervisor/test_rundir::test_the_second_is_refused_and_the_first_unharmed",
            ),
        ),
        Row(
            "a killed run of any version left files behind",
            "they are removed under the lock, and prevent no start",
            (
                "unit/framefan/supervisor/test_rundir::test_leftovers_are_removed_only_under_the_lock",
            ),
        ),
        Row(
            "signals at any moment",
            "the run ends cleanly, with the documented exit code",
            (
                f"{_SUPERVISOR}::test_sigterm_while_it_starts_is_a_clean_end",
                f"{_SUPERVISOR}::test_sigterm_while_a_predictor_is_set_up",
                f"{_SUPERVISOR}::test_a_second_sigterm_ends_it_now",
                f"{_SUPERVISOR}::test_ctrl_c_in_a_terminal_reaches_the_whole_group",
                f"{_SUPERVISOR}::test_sighup_stops_it_in_order",
                "unit/framefan/supervisor/test_signals::"
                "test_the_same_request_twice_is_one_and_a_later_one_is_another",
            ),
        ),
        Row(
            "the pool is killed",
            "results again within 3 s, in a new epoch",
            (
                f"{_SUPERVISOR}::test_a_killed_pool_comes_back_with_a_new_epoch",
                "process/test_client_gateway::test_a_dead_pool_is_a_new_epoch",
                "unit/gateway/test_intake::"
                "test_a_new_epoch_starts_at_0_and_ends_the_old_one_for_good",
            ),
        ),
        Row(
            "the wall clock jumps",
            "no process is killed",
            (
                f"{_SUPERVISOR}::test_the_wall_clock_jumps_an_hour_and_no_process_is_killed",
                f"{_SUPERVISOR}::test_deadlines_never_read_the_wall_clock",
            ),
            (f"{_SUPERVISOR}::test_with_deadlines_of_the_wall_clock_the_jump_ends_all",),
        ),
        Row(
            "a ring does not fit into memory, or is damaged",
            "it is refused with both sizes, or because of its checksum",
            (
                f"{_RING}::test_a_ring_that_does_not_fit_names_both_numbers",
                f"{_RING}::test_memory_the_kernel_refuses_is_too_large_too",
                "unit/framefan/base/test_host::test_memory_has_no_name_and_its_pages_are_reserved",
                f"{_RING}::test_one_changed_byte_is_refused",
                f"{_RING}::test_attach_refuses_foreign_memory",
            ),
        ),
        Row(
            "processes read and are killed while frames are written",
            "no reader ever sees a torn frame",
            (
                f"{_TORN}::test_no_frame_is_torn_while_workers_die",
                f"{_TORN}::test_no_frame_is_torn_while_capture_pool_and_workers_die",
            ),
            (f"{_TORN}::test_without_leases_frames_are_torn",),
        ),
        Row(
            "files in the current folder are named like modules of Python or of packages",
            "each command works; a predictor can import modules beside it",
            (
                "process/test_odd_folder::"
                "test_each_command_works_among_files_that_are_named_like_modules",
                "process/test_odd_folder::test_a_run_and_the_commands_that_ask_it_work_there",
            ),
        ),
        Row(
            "the pool or a gateway dies at each start",
            "the run ends with exit code 3 and the reason",
            ("process/test_odd_folder::test_a_run_that_cannot_start_says_why_and_ends_with_3",),
        ),
        Row(
            "a killed process does not exit, because the system still holds it",
            "nothing waits for it; what it held is used again once it is gone",
            (
                f"{_SUPERVISED}::"
                "test_a_killed_child_that_does_not_exit_delays_nothing_and_is_replaced_later",
                "unit/inference/pool/test_worker_handle::test_who_was_killed_and_stays_is_asked_again",
            ),
        ),
        Row(
            "the folder of a live run is removed",
            "the run restarts in a new folder, at the same port",
            (f"{_SUPERVISOR}::test_a_folder_that_is_removed_under_a_run_is_made_again",),
        ),
        Row(
            "dozens of cameras start at once on a busy machine",
            "only a few start at a time; no process is killed while it works",
            (
                "unit/framefan/ipc/test_turns::test_few_captures_start_at_a_time_and_the_others_at_once",
                "unit/framefan/ipc/test_turns::"
                "test_a_child_that_works_is_not_killed_while_it_loads_but_not_for_ever",
            ),
        ),
        Row(
            "the log cannot be written: a stopped terminal, a full pipe, a reader that has "
            "exited, a closed stream, a full disk",
            "results continue, and a stop works; dropped lines are counted, and their number is "
            "logged when writing works again",
            (
                "process/test_unread_log::test_a_terminal_that_is_stopped",
                "process/test_unread_log::test_a_pipe_that_is_full_and_one_whose_reader_is_gone",
                "process/test_unread_log::test_a_standard_error_that_takes_nothing",
                "unit/framefan/base/test_output::test_each_line_is_written_or_counted_in_its_place",
            ),
        ),
        Row(
            "nobody takes what `watch` or `top` print: a stopped terminal, a full pipe",
            "a signal or --duration ends them",
            ("process/test_watch_command::test_it_ends_also_while_nobody_takes_what_it_prints",),
        ),
        Row(
            "whoever starts a run has blocked its signals",
            "they are heard",
            (
                "unit/framefan/supervisor/test_signals::"
                "test_signals_that_whoever_started_it_had_blocked_are_heard",
            ),
        ),
        Row(
            "a configuration or a token file that is a pipe",
            "read once; one that nobody writes to is given up",
            (
                "unit/framefan/config/test_small_file::"
                "test_a_configuration_and_a_token_may_come_by_a_pipe",
                "unit/framefan/config/test_small_file::"
                "test_a_pipe_that_nobody_writes_to_is_given_up",
            ),
        ),
    ),
    "Cameras": CAMERAS,
    "All together": (
        Row(
            "any of these faults, in random order, repeatedly",
            "the ledger is exact after each, and the run recovers in time: `make chaos`",
            ("process/test_chaos::test_a_run_recovers_from_random_faults",),
        ),
    ),
}
