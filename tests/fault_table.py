"""The rows of docs/faults.md: what happens, what is promised, and which tests show it.

Tests are named by their file under tests/ and their function; a test of this table looks that they
are there. `red` are those of their own in which a guard is switched off and the fault is seen to
harm; the switches of guard_table.py are found by the names of the tests.
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
    "What a run tells": TOLD,
    "Gateway and bus": (
        Row(
            "the gateway is killed",
            "another one serves at once; who comes back learns what it missed",
            (
                f"{_SUPERVISOR}::test_a_killed_gateway_refuses_nobody_and_disturbs_nobody",
                "process/test_client_gateway::test_a_dead_gateway_costs_what_it_says",
                "process/test_gateway_faults::"
                "test_clients_that_come_back_to_another_gateway_learn_what_they_missed",
                f"{_SUPERVISED}::test_a_lost_child_comes_back_and_the_others_stay",
                "unit/gateway/delivery/test_session_since::test_what_was_not_kept_is_counted_as_history",
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
            "a reader of pictures on the bus stands still, or a gateway whose clients watch",
            "it costs the pool `picture_bytes` at most, and nobody else a picture or a result; "
            "only where results are, readers of pictures share these bytes",
            (
                f"{_PICTURE_BUS}::test_a_reader_that_stands_still_costs_a_bounded_amount",
                f"{_PICTURE_BUS}::test_pictures_leave_results_their_room",
                "process/test_picture_bound::"
                "test_a_gateway_that_stands_still_costs_few_pictures_and_nobody_else_any",
            ),
        ),
        Row(
            "a picture overtakes its result on the bus",
            "it waits in the gateway, and comes behind its result",
            (
                "unit/gateway/http/test_pictures::"
                "test_a_picture_that_is_here_before_its_result_comes_behind_it",
            ),
        ),
        Row(
            "the pool is killed while others read where `--publish` is",
            "they go on with the new epoch, at the same endpoint",
            (f"{_PUBLISH}::test_a_reader_goes_on_with_the_next_pool",),
        ),
        Row(
            "foreign bytes, forged numbers, pickles, 100 MB on the bus",
            "dropped and counted; nothing is unpickled",
            (
                f"{_BUS}::test_foreign_bytes_and_forged_leases_are_dropped_and_counted",
                f"{_BUS}::test_nothing_in_framefan_unpickles",
                f"{_BUS}::test_what_subscribers_send_upstream_harms_nobody",
                "unit/gateway/test_intake::test_what_is_not_ours_is_dropped_and_counted",
                "unit/framefan/ipc/test_bus::test_a_message_too_large_is_never_taken_in",
            ),
        ),
        Row(
            "an outcome that comes twice, or of a lease long settled",
            "counts once",
            (
                f"{_BUS}::test_an_outcome_told_twice_counts_once",
                "unit/inference/leases/test_sequencer::test_a_settled_seq_is_not_settled_again",
            ),
            (f"{_LEDGER}::test_without_the_guard_the_machine_says_so",),
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
            "a lease that comes back late, or from another worker",
            "changes nothing, and counts as stale",
            (
                "unit/inference/leases/test_schedule::test_a_return_that_does_not_fit_changes_nothing",
            ),
            (f"{_LEDGER}::test_without_the_guard_the_machine_says_so",),
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
            (
                f"{_WORKERS}::test_a_slow_setup_is_waited_for_and_an_endless_one_is_not",
                "unit/inference/pool/test_pool_workers::"
                "test_a_slow_setup_is_not_killed_before_its_deadline_and_then_is",
            ),
        ),
        Row(
            "predict raises, or returns what cannot be sent, 50 MB for instance",
            "an error that names it; the worker lives",
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
            "told with its cause, one frame lost",
            (
                f"{_DEATHS}::test_each_death_is_told_with_its_cause_and_loses_one_frame",
                "unit/inference/pool/test_worker_handle::test_its_end_is_told_in_words",
            ),
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
            (
                f"{_WORKERS}::test_crashing_at_start_again_and_again_fails_alone_and_cheaply",
                "unit/framefan/settings/test_restart::test_waits_double_and_then_it_failed",
            ),
        ),
        Row(
            "a leak",
            "the worker is replaced without a lost result",
            (
                "process/test_changes_under_load::"
                "test_an_edited_file_is_loaded_and_a_leak_is_replaced",
                "unit/inference/pool/test_pool_workers::"
                "test_a_worker_that_leaks_is_replaced_and_loses_nothing",
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
                "unit/framefan/supervisor/test_rundir::test_the_second_is_refused_and_the_first_unharmed",
            ),
        ),
        Row(
            "what a killed run left, of any version",
            "removed under the lock, in nobody's way",
            (
                "unit/framefan/supervisor/test_rundir::test_leftovers_are_removed_only_under_the_lock",
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
            "nobody is killed",
            (
                f"{_SUPERVISOR}::test_the_wall_clock_jumps_an_hour_and_nobody_is_killed",
                f"{_SUPERVISOR}::test_deadlines_never_read_the_wall_clock",
            ),
            (f"{_SUPERVISOR}::test_with_deadlines_of_the_wall_clock_the_jump_ends_all",),
        ),
        Row(
            "a ring that does not fit the memory, or is damaged",
            "refused with both numbers, or by its checksum",
            (
                f"{_RING}::test_a_ring_that_does_not_fit_names_both_numbers",
                f"{_RING}::test_memory_the_kernel_refuses_is_too_large_too",
                "unit/framefan/base/test_host::test_memory_has_no_name_and_its_pages_are_reserved",
                f"{_RING}::test_one_changed_byte_is_refused",
                f"{_RING}::test_attach_refuses_foreign_memory",
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
        Row(
            "files in the folder at hand that are named like modules of Python or of packages",
            "each command works; a predictor finds its neighbours",
            (
                "process/test_odd_folder::"
                "test_each_command_works_among_files_that_are_named_like_modules",
                "process/test_odd_folder::test_a_run_and_the_commands_that_ask_it_work_there",
            ),
        ),
        Row(
            "the pool or a gateway dies at each start",
            "the run ends with 3, and says why",
            ("process/test_odd_folder::test_a_run_that_cannot_start_says_why_and_ends_with_3",),
        ),
        Row(
            "the system does not let go of a process that was killed",
            "nobody waits for it; what it had is given to others once it is gone",
            (
                f"{_SUPERVISED}::"
                "test_who_is_killed_and_stays_holds_nobody_up_and_is_replaced_once_it_is_gone",
                "unit/inference/pool/test_worker_handle::test_who_was_killed_and_stays_is_asked_again",
            ),
        ),
        Row(
            "the run's folder is removed",
            "all starts anew in a new folder, at the same port",
            (f"{_SUPERVISOR}::test_a_folder_that_is_removed_under_a_run_is_made_anew",),
        ),
        Row(
            "dozens of cameras start at once on a busy machine",
            "they come by turns; nobody is killed who works",
            (
                "unit/framefan/ipc/test_turns::test_captures_come_by_turns_and_the_others_at_once",
                "unit/framefan/ipc/test_turns::"
                "test_a_child_that_works_is_spared_until_it_is_up_and_not_for_ever",
            ),
        ),
        Row(
            "nobody takes the log: a stopped terminal, a full pipe, a reader that is gone, "
            "a closed stream, a full disk",
            "results go on, a stop is heard; dropped lines are counted and told when it is taken "
            "again",
            (
                "process/test_unread_log::test_a_terminal_that_is_stopped",
                "process/test_unread_log::test_a_pipe_that_is_full_and_one_whose_reader_is_gone",
                "process/test_unread_log::test_a_standard_error_that_takes_nothing",
                "unit/framefan/base/test_output::test_each_line_is_written_or_counted_in_its_place",
            ),
        ),
    ),
    "Cameras": CAMERAS,
    "All together": (
        Row(
            "any of these, in random order, again and again",
            "the ledger exact after each, all well again in time: `make chaos`",
            ("process/test_chaos::test_random_faults_hurt_nobody_for_long",),
        ),
    ),
}
