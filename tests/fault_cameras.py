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
        "files and pictures of every kind: grey, 4 channels, 1x1, 500 fps, a lying header",
        "exactly their pictures, or a reason",
        (
            f"{_FILES}::test_each_file_gives_exactly_its_pictures_and_the_run_ends_well",
            f"{_FILES}::test_a_file_that_is_no_video_ends_the_run_that_begins_with_it",
            "unit/capture/sources/test_source::test_pictures_of_any_depth_become_eight_bits",
            "unit/capture/sources/test_source::test_other_formats_are_refused_by_name",
            f"{_VIDEO}::test_a_header_that_lies_changes_no_count",
            f"{_VIDEO}::test_pictures_of_any_size",
            f"{_VIDEO}::test_500_frames_a_second",
            f"{_VIDEO}::test_a_file_without_pictures_cannot_be_played",
        ),
    ),
    Row(
        "a password in an address, and anything fails",
        "it is seen nowhere",
        (
            "process/test_camera_security::test_a_password_is_seen_nowhere_whatever_fails",
            "unit/framefan/settings/test_secret::test_a_source_is_shown_without_its_secrets",
            "unit/framefan/settings/test_secret::test_redaction_takes_every_spelling_out",
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
        "the habits of cameras over HTTP: boundaries missing or wrong, no type, no length or "
        "a wrong one, chunks, lines without CR",
        "each plays, from one request",
        (
            f"{_HTTP}::test_every_habit_plays_from_one_request",
            "unit/capture/network/test_multipart::test_what_cameras_put_between_pictures",
            "unit/capture/network/test_multipart::test_any_split_of_the_bytes_gives_the_same_pictures",
        ),
    ),
    Row(
        "a picture over HTTP is cut off, is none or never ends; a byte now and then",
        "it costs itself only, memory is bounded, time limits hold",
        (
            "unit/capture/network/test_multipart::test_a_part_that_is_cut_off_costs_itself_only",
            "unit/capture/network/test_multipart::test_parts_without_a_picture_are_counted",
            "unit/capture/network/test_multipart::test_no_more_is_kept_than_a_picture_may_have",
            f"{_HTTP}::test_a_snapshot_is_whole_or_bad",
            f"{_HTTP}::test_a_drip_is_a_silence",
        ),
    ),
    Row(
        "a live playlist (HLS) brings seconds of video at once",
        "it plays smoothly, no frame is lost",
        (f"{_HTTP_VIDEO}::test_a_live_playlist_plays_smoothly",),
        (f"{_HTTP_VIDEO}::test_without_a_pace_a_playlist_comes_in_bursts",),
    ),
    Row(
        "the connection to a recorded video breaks",
        "it is read on from where it was",
        (f"{_HTTP_VIDEO}::test_a_connection_that_breaks_costs_no_frame",),
    ),
    Row(
        "a picture of a pattern crashes the decoder, or its process is killed",
        "the picture that crashes is counted bad, the rest follows; a kill makes none bad",
        (
            "process/test_deadly_pictures::test_deadly_pictures_are_bad_and_the_rest_follows",
            "process/test_deadly_pictures::"
            "test_a_picture_is_not_bad_because_its_process_was_killed",
            "unit/framefan/supervisor/test_lifecycle::test_repeated_deaths_are_told_first_and_then_summed_up",
        ),
        ("process/test_deadly_pictures::test_without_passing_over_the_rest_is_never_reached",),
    ),
)
