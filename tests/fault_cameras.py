"""The rows of docs/faults.md that are about cameras; see fault_table.py."""

from __future__ import annotations

from fault_clients import Row

_CAMERAS, _PICTURES = "process/test_camera_faults", "process/test_camera_pictures"
_CAMERA_GUARDS, _FILES = "process/test_camera_guards", "process/test_camera_files"
_CAMERA_PROCESSES, _VIDEO = "process/test_camera_processes", "unit/capture/sources/test_video"
_SOURCE_GUARDS = "unit/framefan/settings/test_guards_of_sources"
_HTTP, _HTTP_VIDEO = "unit/capture/network/test_http_camera", "unit/capture/network/test_http_video"

CAMERAS: tuple[Row, ...] = (
    Row(
        "a camera refuses, answers 401 or 404, has no host, never answers, closes or stalls",
        "the state has the reason; retried after random waits, at almost no cost",
        (
            f"{_CAMERAS}::test_a_camera_reports_reason_and_next_try_and_recovers",
            f"{_CAMERAS}::test_cameras_that_fail_again_and_again_cost_next_to_nothing",
            f"{_CAMERAS}::test_waits_are_random",
        ),
        (f"{_CAMERA_GUARDS}::test_without_reasons_and_random_waits_none_are_reported",),
    ),
    Row(
        "a damaged picture, a pause, the same picture, another size",
        "it is counted; `stalled`; `frozen`; results have the new size",
        (
            f"{_PICTURES}::test_one_damaged_picture_is_counted_and_the_stream_continues",
            f"{_PICTURES}::test_a_pause_is_reported_and_the_stream_continues",
            f"{_PICTURES}::test_the_same_picture_is_reported_and_served_until_another_one_comes",
            f"{_PICTURES}::test_a_new_size_is_reported_and_applied",
        ),
        (f"{_CAMERA_GUARDS}::test_without_the_detectors_nothing_is_reported",),
    ),
    Row(
        "a camera's decoder crashes, or its process hangs",
        "only that camera is restarted",
        (
            f"{_CAMERA_PROCESSES}::test_a_crash_of_the_decoder_is_its_cameras_own",
            f"{_CAMERA_PROCESSES}::test_a_process_that_hangs_is_killed_and_restarted",
        ),
        (f"{_CAMERA_GUARDS}::test_without_a_watch_nothing_comes_back",),
    ),
    Row(
        "files and pictures of every kind: grey, 4 channels, 1x1, 500 fps, a wrong header",
        "exactly their pictures are played, or the reason is reported",
        (
            f"{_FILES}::test_each_file_gives_exactly_its_pictures_and_the_run_ends_with_0",
            f"{_FILES}::test_a_file_that_is_no_video_ends_the_run_that_begins_with_it",
            "unit/capture/sources/test_source::test_pictures_of_any_depth_become_eight_bits",
            "unit/capture/sources/test_source::test_other_formats_are_refused_by_name",
            f"{_VIDEO}::test_a_wrong_header_changes_no_count",
            f"{_VIDEO}::test_pictures_of_any_size",
            f"{_VIDEO}::test_500_frames_a_second",
            f"{_VIDEO}::test_a_file_without_pictures_cannot_be_played",
        ),
    ),
    Row(
        "an address contains a password, and anything fails",
        "the password is shown nowhere",
        (
            "process/test_camera_security::test_a_password_is_seen_nowhere_whatever_fails",
            "unit/framefan/settings/test_secret::test_a_source_is_shown_without_its_secrets",
            "unit/framefan/settings/test_secret::test_redaction_removes_every_spelling",
        ),
        (
            f"{_SOURCE_GUARDS}::test_without_masks_passwords_survive",
            f"{_SOURCE_GUARDS}::test_without_redaction_they_are_logged",
        ),
    ),
    Row(
        "`file:`, `concat:`, playlists that point elsewhere",
        "refused",
        (
            f"{_FILES}::test_other_schemes_are_refused_in_the_configuration_too",
            "unit/framefan/settings/test_source_spec::test_refused",
            "unit/capture/sources/test_whitelists::test_a_redirect_to_a_file_shows_nothing",
            "unit/capture/sources/test_whitelists::"
            "test_a_camera_that_answers_with_a_playlist_of_files_shows_none",
        ),
    ),
    Row(
        "what cameras send over HTTP: boundaries missing or wrong, no type, no length or a wrong "
        "one, chunks, lines without CR",
        "each is played, from one request",
        (
            f"{_HTTP}::test_every_variant_plays_from_one_request",
            "unit/capture/network/test_multipart::test_what_cameras_put_between_pictures",
            "unit/capture/network/test_multipart::test_any_split_of_the_bytes_gives_the_same_pictures",
        ),
    ),
    Row(
        "a picture over HTTP is cut off, is not a picture or never ends; bytes arrive singly",
        "only that picture is lost, memory is bounded, time limits hold",
        (
            "unit/capture/network/test_multipart::test_a_part_that_is_cut_off_costs_itself_only",
            "unit/capture/network/test_multipart::test_parts_without_a_picture_are_counted",
            "unit/capture/network/test_multipart::test_no_more_is_kept_than_a_picture_may_have",
            f"{_HTTP}::test_a_snapshot_is_whole_or_bad",
            f"{_HTTP}::test_a_drip_is_a_silence",
        ),
    ),
    Row(
        "a live playlist (HLS) delivers seconds of video at once",
        "it is played smoothly, no frame is lost",
        (f"{_HTTP_VIDEO}::test_a_live_playlist_plays_smoothly",),
        (f"{_HTTP_VIDEO}::test_without_a_pace_a_playlist_comes_in_bursts",),
    ),
    Row(
        "the connection to a recorded video breaks",
        "reading resumes where it stopped",
        (f"{_HTTP_VIDEO}::test_a_connection_that_breaks_costs_no_frame",),
    ),
    Row(
        "a picture of a pattern crashes the decoder, or its process is killed",
        "the picture that crashes it is counted as bad and the others follow; after a kill none is",
        (
            "process/test_deadly_pictures::test_deadly_pictures_are_bad_and_the_rest_follows",
            "process/test_deadly_pictures::"
            "test_a_picture_is_not_bad_because_its_process_was_killed",
            "unit/framefan/supervisor/test_lifecycle::test_the_first_of_repeated_deaths_is_logged_and_the_others_are_summed_up",
        ),
        ("process/test_deadly_pictures::test_without_skipping_the_rest_is_never_reached",),
    ),
)
