"""The rows of docs/faults.md about starts, settings and what a run reports: see fault_table.py."""

from __future__ import annotations

from fault_clients import Row

_CONFIGURE, _RELOAD = "unit/framefan/config/test_configure", "unit/framefan/supervisor/test_reload"
_SOURCES, _URL = "unit/framefan/settings/test_source_spec", "unit/framefan/settings/test_source_url"
_BAD, _WEB = "process/test_bad_input", "unit/gateway/http/test_web"
_RECOGNITION = "unit/inference/predictors/test_onnx_recognition"
_ONNX, _LOG = "unit/inference/predictors/test_onnx_models", "process/test_log_lines"
_PLAIN, _ONCE = "unit/framefan/commands/test_standard_output", "unit/framefan/commands/test_once"

STARTS: tuple[Row, ...] = (
    Row(
        "impossible arguments, files, ports and predictors",
        "refused in three lines with the documented exit code, and nothing is left behind",
        (f"{_BAD}::test_bad_input", "unit/framefan/commands/test_cli::test_bad_input"),
    ),
    Row(
        "one source of several is missing",
        "its camera is `failed` and retried, the others run; with `--fail-fast` the run ends",
        (
            f"{_BAD}::test_what_cannot_start_does_not_prevent_the_others",
            f"{_CONFIGURE}::test_a_source_that_is_not_there_is_that_cameras_state",
            "process/test_reload_while_running"
            "::test_cameras_that_cannot_be_and_were_added_fail_alone",
        ),
    ),
    Row(
        "a configuration that is empty, cut off or still being written",
        "a reload waits until it is written, and changes only what the file itself says",
        (
            f"{_RELOAD}::test_a_file_that_is_half_written_changes_nothing",
            f"{_RELOAD}::test_a_file_that_was_cut_off_does_not_start_the_demo",
            f"{_RELOAD}::test_a_file_that_is_being_written_is_read_when_complete",
            f"{_RELOAD}::test_a_file_that_asks_for_the_demo_gets_it",
            "process/test_reload_while_running::test_a_bad_file_changes_nothing",
        ),
    ),
    Row(
        "`workers`, `gateways` or `predictor` changed in the file",
        "a reload applies them, and reports what failed",
        (f"{_RELOAD}::test_workers_gateways_and_predictor_are_changed_one_after_the_other",),
    ),
    Row(
        "variables set by Kubernetes, empty variables, a wrong value that is overridden",
        "the run starts",
        (
            "unit/framefan/config/test_service_links"
            "::test_variables_of_kubernetes_do_not_prevent_the_start",
            f"{_CONFIGURE}::test_an_empty_variable_is_not_set",
            f"{_CONFIGURE}::test_an_overridden_value_is_not_checked",
        ),
    ),
    Row(
        "a configuration with a byte order mark, or in UTF-16 or Latin-1",
        "it is read, or refused with the command that converts it",
        (
            f"{_CONFIGURE}::test_a_configuration_as_editors_save_it",
            f"{_CONFIGURE}::test_a_configuration_in_another_encoding",
        ),
    ),
    Row(
        "an address with special characters in its login, capitals, a zone",
        "opened as the user meant it, or refused; no part of a login is shown",
        (
            f"{_URL}::test_a_valid_address_is_opened_as_the_user_meant_it",
            f"{_URL}::test_the_others_are_refused_and_no_part_of_a_login_is_shown",
            f"{_URL}::test_a_password_as_people_type_it_is_not_shown",
            "unit/framefan/settings/test_secret::test_no_part_of_it_is_left_whatever_is_masked_first",
        ),
    ),
    Row(
        "files called `0`, `demo` or `100%d.mp4`, names that are not UTF-8, folders in patterns",
        "a file of exactly that name is opened, whatever bytes; a pattern matches or is refused",
        (
            f"{_SOURCES}::test_a_file_of_exactly_that_name_takes_precedence",
            "unit/framefan/settings/test_patterns::test_patterns_of_folders_and_of_capitals",
            "process/test_camera_files::test_each_file_gives_exactly_its_pictures_and_the_run_ends_with_0",
        ),
    ),
    Row(
        "standard input, devices and links to them, a named pipe without a writer",
        "refused by name; opened as webcams; waited for within the time limit and opened once",
        (
            f"{_SOURCES}::test_what_only_its_own_process_can_read_is_refused_by_name",
            f"{_SOURCES}::test_a_link_to_a_device_is_a_webcam",
            "unit/capture/sources/test_pipe::test_a_pipe_without_a_writer_is_waited_for_within_the_limit",
            "unit/capture/sources/test_pipe"
            "::test_all_that_is_written_is_played_and_the_next_writer_is_waited_for",
        ),
    ),
    Row(
        "an ONNX file of another number type, with a second input, or with ambiguous outputs",
        "it gets the input that it takes, or is refused by name; impossible output is an error of "
        "that frame",
        (
            f"{_ONNX}::test_inputs_of_other_numbers_get_the_same_picture",
            f"{_ONNX}::test_a_model_that_is_no_detector_is_refused_by_name",
            f"{_RECOGNITION}::test_what_may_be_something_else_is_refused",
            f"{_RECOGNITION}::test_what_cannot_be_is_an_error_of_its_frame",
            "unit/inference/predictors/test_onnx_inputs::test_which_boxes_are_kept",
            "unit/inference/predictors/test_onnx_backends"
            "::test_threads_are_this_workers_share_and_do_not_spin",
        ),
    ),
    Row(
        "an ONNX file whose number of rows depends on the picture, with OpenCV",
        "it is refused by name: OpenCV would leave out boxes, or end the worker",
        (f"{_ONNX}::test_opencv_gets_no_graph_of_which_it_would_lose_rows",),
    ),
    Row(
        "a predictor's setup kills its process, as OpenCV does with some models",
        "the log names the cause and what to do; if no worker was ever ready, the run ends",
        (
            "unit/inference/pool/test_pool_workers"
            "::test_a_predictor_that_kills_its_process_in_setup_ends_the_run",
            "unit/framefan/ipc/test_setup_death::test_the_advice_works",
            "unit/framefan/ipc/test_setup_death::test_once_says_what_killed_it",
        ),
    ),
    Row(
        "a labels file with blank lines, a byte order mark or too few lines, or in YAML or JSON",
        "classes keep their numbers, or the file is refused by name",
        (
            f"{_ONNX}::test_a_line_of_the_labels_is_a_class",
            f"{_ONNX}::test_what_is_no_list_of_the_models_names_is_named",
        ),
    ),
    Row(
        "requests that are almost right: another path, a page opened from a file, no Host",
        "answered, or refused with the cause and the flag that helps",
        (
            f"{_WEB}::test_a_refusal_names_its_cause_and_what_helps",
            f"{_WEB}::test_a_websocket_at_another_path_is_sent_to_the_right_one",
            f"{_WEB}::test_names_as_networks_have_them_are_answered",
            f"{_WEB}::test_the_advice_for_pages_from_files_can_be_followed",
            f"{_WEB}::test_a_doubled_host_is_refused_and_an_absent_one_but_for_probes",
        ),
    ),
    Row(
        "another site frames the page or loads its files",
        "the browser is told to refuse",
        (f"{_WEB}::test_no_foreign_page_frames_ours_or_takes_its_files",),
    ),
    Row(
        "a token that is short, or that other users can read",
        "a warning at the start; words in the log stay readable",
        (
            "unit/framefan/supervisor/test_startup::test_a_token_that_others_may_guess_or_read_is_warned_of",
            "unit/framefan/settings/test_secret::test_a_weak_secret_makes_no_word_unreadable",
        ),
    ),
)

TOLD: tuple[Row, ...] = (
    Row(
        "a predictor that fails on every frame",
        "the log has the first error, then counts; status, `/readyz` and metrics show it",
        (
            "process/test_predictor_returns"
            "::test_a_predictor_that_fails_on_each_frame_is_seen_everywhere",
            "unit/inference/pool/test_failures::test_a_flickering_predictor_fills_no_log",
        ),
    ),
    Row(
        "a camera is down for hours, or keeps failing and recovering",
        "one warning, then sums",
        (
            f"{_LOG}::test_a_dead_camera_is_logged_once_with_fields_for_programs",
            "unit/inference/pool/test_camera_log"
            "::test_a_dead_camera_is_told_once_then_summed_up_then_back",
            "unit/inference/pool/test_camera_log"
            "::test_who_comes_and_goes_fills_no_log_and_is_told_when_it_stays",
        ),
    ),
    Row(
        "a stop signal that reaches all processes at once",
        "the log is that of an orderly stop",
        (f"{_LOG}::test_a_stop_of_the_whole_group_reads_like_a_stop",),
    ),
    Row(
        "the log file is truncated or moved away",
        "the log continues, at the beginning or in the moved file",
        (f"{_LOG}::test_a_log_file_may_be_copied_and_truncated_and_may_be_moved",),
    ),
    Row(
        "narrow terminals, pipes, an ASCII locale, a full disk for a command's output",
        "numbers and reasons are complete, names readable; exit code 1 if nothing can be written",
        (
            "unit/framefan/commands/test_status::test_names_are_shortened_before_numbers_and_reasons",
            "unit/framefan/commands/terminal/test_columns::test_a_number_is_whole_at_any_width",
            f"{_PLAIN}::test_letters_that_the_encoding_lacks_are_readable",
            f"{_PLAIN}::test_a_full_disk_is_an_error_of_three_lines",
        ),
    ),
    Row(
        "the only run has another name, or there are several runs",
        "the command uses the only run, or names them all",
        ("unit/framefan/supervisor/test_rundir::test_which_run_is_meant",),
    ),
    Row(
        "clients reconnect, leave with results pending, or lose their gateway",
        "no counter falls, offered = sent + missed + pending, status and metrics agree",
        (
            "unit/gateway/test_run_stats::test_no_counter_ever_falls_at_any_gateway_whichever_dies",
            "unit/gateway/http/test_metrics::test_a_counter_never_falls_and_what_is_pending_may",
            "unit/gateway/test_stats::test_what_waited_for_a_client_that_left_waits_no_more",
            "process/test_monitoring::test_status_and_metrics_tell_the_same_counts",
        ),
    ),
    Row(
        "the faults that an operator should know",
        "each raises its alert, and none is raised while all is well",
        ("process/test_monitoring::test_each_alert_is_raised_by_its_fault_and_by_no_other",),
    ),
    Row(
        "`once` with a dead camera, a slow predict or a time limit",
        "it reports which, and ends",
        (
            f"{_ONCE}::test_a_dead_camera_says_its_state_reason_and_message_and_ends_early",
            f"{_ONCE}::test_a_predict_that_does_not_return_is_reported",
            f"{_ONCE}::test_the_time_limit_ends_it_too",
        ),
    ),
)
