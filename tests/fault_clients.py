"""The rows of docs/faults.md that are about clients: see fault_table.py."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    fault: str
    promise: str
    tests: tuple[str, ...]
    red: tuple[str, ...] = ()


_SERVER, _WEB, _TOKEN = (
    "unit/gateway/test_server",
    "unit/gateway/http/test_web",
    "unit/gateway/connection/test_token",
)
_SESSION, _SESSION_TOKEN = (
    "unit/gateway/connection/test_session",
    "unit/gateway/connection/test_session_token",
)
_ORDINARY, _ACKS = "process/test_ordinary_clients", "unit/gateway/delivery/test_acks"
_CROWDS = "unit/gateway/connection/test_crowds"
_DOOR = "unit/gateway/connection/test_acceptor"

CLIENTS: tuple[Row, ...] = (
    Row(
        "a client stops reading",
        "disconnected at the stall deadline; its backlog is bounded, other clients are served",
        (
            f"{_SERVER}::test_a_stalled_client_is_aborted_in_time_and_the_others_are_served",
            f"{_SERVER}::test_what_waits_for_a_stalled_client_does_not_grow",
        ),
    ),
    Row(
        "a slow handler with a common library, with and without `ack`",
        "never disconnected; results are fresh (two handler times old with `ack`), `missed` exact",
        (
            f"{_ORDINARY}::test_a_slow_handler_is_never_cut_and_handles_what_is_new",
            f"{_SERVER}::test_a_slow_reader_reads_what_is_new",
            "unit/gateway/delivery/test_read_window::"
            "test_what_a_slow_handler_gets_is_as_old_as_its_queue_is_long",
        ),
    ),
    Row(
        "a client stops for seconds, as in a debugger",
        "not disconnected; then it handles fresh results, and the gap is reported",
        (f"{_ORDINARY}::test_a_client_that_is_stopped_resumes_with_fresh_results",),
    ),
    Row(
        "a long round trip, and a pause in it",
        "the full rate within 4 s",
        (
            f"{_ORDINARY}::test_a_fast_client_far_away_has_the_full_rate_within_four_seconds",
            "unit/gateway/delivery/test_read_window::"
            "test_a_fast_one_far_away_has_the_full_rate_within_four_seconds",
        ),
    ),
    Row(
        "a client acknowledges more than was sent, or without end",
        "closed with 4400; counted like any message",
        (
            f"{_ACKS}::test_more_than_was_sent_closes_with_4400",
            f"{_ACKS}::test_repeated_acknowledgements_count_towards_the_message_rate",
        ),
    ),
    Row(
        "the largest replay, a new client with filters, quick changes of a subscription",
        "replays are made in slices, and other clients get their turn",
        (
            "unit/gateway/delivery/test_hub::test_a_long_past_is_made_in_slices_and_others_have_their_turn",
            "unit/gateway/delivery/test_replay::"
            "test_a_filter_that_nothing_passes_is_applied_in_slices",
            f"{_ACKS}::test_only_the_clients_own_command_waits_for_its_replay",
        ),
    ),
    Row(
        "`since` for a camera that delivers nothing",
        "the client is live in all other cameras until it does",
        (
            "unit/gateway/delivery/test_hub::test_a_client_waiting_for_a_silent_camera_is_live_until_it_delivers",
        ),
    ),
    Row(
        "the run stops while a client does not read",
        "it ends in time",
        (f"{_SERVER}::test_shutdown_with_a_stalled_client_is_bounded",),
    ),
    Row(
        "a flood of pings or messages",
        "closed or disconnected at the limit",
        (
            f"{_SERVER}::test_a_ping_flood_of_a_client_that_does_not_read_is_aborted_at_the_cap",
            f"{_SERVER}::test_a_flood_of_messages_closes_with_1008",
        ),
    ),
    Row(
        "WebSocket frames that break the protocol, are too large or compressed",
        "closed with the right code; compression is not negotiated",
        (
            f"{_SERVER}::test_frames_against_the_protocol_close_with_the_right_code",
            f"{_SERVER}::test_a_message_too_big_closes_with_1009",
            f"{_SERVER}::test_compression_is_not_negotiated_and_a_subprotocol_not_demanded",
        ),
    ),
    Row(
        "hundreds of clients connect at the same moment",
        "all are admitted, none is refused",
        (f"{_DOOR}::test_hundreds_at_the_same_moment_are_all_admitted",),
    ),
    Row(
        "one of several gateways is killed",
        "only its clients notice, they are reconnected within 2 s, no counter falls",
        ("process/test_gateways::test_one_is_killed_and_only_its_clients_notice",),
    ),
    Row(
        "one of several gateways hangs",
        "new clients are not left to it",
        ("process/test_gateways::test_new_clients_are_not_left_to_a_gateway_that_hangs",),
    ),
    Row(
        "all clients lose their gateway at the same moment",
        "all are reconnected within 3 s, none is refused",
        (
            "process/test_gateways"
            "::test_all_clients_of_a_gateway_that_is_killed_are_back_and_none_is_refused",
        ),
    ),
    Row(
        "connections that send nothing, clients above the limit",
        "closed at the deadline, or the oldest of too many; 503 above the limit; others get in",
        (
            f"{_SERVER}::test_idle_connections_are_closed_at_the_deadline_and_good_ones_get_in",
            f"{_DOOR}::test_idle_connections_do_not_block_new_ones",
            f"{_SERVER}::test_clients_above_the_cap_get_503_and_the_others_stay",
            "unit/gateway/delivery/test_limits::test_an_address_has_so_many_clients_and_no_more",
        ),
    ),
    Row(
        "thousands of idle clients",
        "20 KiB each at most",
        (f"{_CROWDS}::test_idle_clients_cost_next_to_nothing",),
    ),
    Row(
        "many clients connect and leave, in any way",
        "nothing of them remains in memory",
        (f"{_CROWDS}::test_a_hundred_come_and_go_and_leave_nothing",),
    ),
    Row(
        "a client vanishes without closing, or never answers a ping",
        "closed with 4409 and a reason when nothing has arrived from it for `silence_s`",
        (f"{_CROWDS}::test_a_client_that_vanished_is_dropped",),
    ),
    Row(
        "pages of other sites, DNS rebinding",
        "403 on every path",
        (
            f"{_WEB}::test_a_foreign_origin_gets_the_pages_files_and_nothing_else",
            f"{_WEB}::test_a_foreign_host_is_refused_everywhere",
            f"{_WEB}::test_a_doubled_host_is_refused_and_an_absent_one_but_for_probes",
        ),
    ),
    Row(
        "no token, a wrong one, one in the address",
        "without one no start on a non-loopback address; 401, 4401 or 400; the token is in no log",
        (
            "unit/framefan/config/test_configure::test_values_that_cannot_be",
            f"{_TOKEN}::test_without_the_token_it_is_401",
            f"{_TOKEN}::test_a_token_in_the_address_is_refused",
            f"{_SESSION_TOKEN}::test_no_token_in_time_closes_with_4401",
            f"{_SESSION_TOKEN}::test_the_token_and_guesses_are_in_no_answer_and_no_log",
            "unit/framefan/settings/test_secret::test_records_that_hold_secrets_may_be_printed",
        ),
    ),
    Row(
        "wrong options and commands of any kind",
        "an answer that names the error, or a close",
        (
            f"{_SESSION}::test_what_is_wrong_is_named_and_changes_nothing",
            f"{_SESSION}::test_a_million_cameras_are_refused_by_their_size",
            f"{_SESSION}::test_each_depth_of_nesting_is_answered",
            "unit/gateway/connection/test_options::test_no_command_raises_anything_but_a_refusal",
        ),
    ),
    Row(
        "a label contains markup",
        "it is shown as text, on a page that runs only its own scripts",
        (
            "browser/test_page::test_a_hostile_label_stays_text",
            f"{_WEB}::test_the_page_and_its_files",
        ),
    ),
    Row(
        "a client of `latest` reads slowly",
        "it never reads an old result",
        (
            "process/test_slow_reader::test_slow_readers_read_nothing_old",
            f"{_SERVER}::test_a_slow_reader_reads_what_is_new",
        ),
    ),
    Row(
        "clients watch the pictures",
        "no result waits for a picture, and one that cannot be encoded affects nothing else",
        (
            "process/test_watched_pictures::test_no_result_waits_for_a_picture",
            "process/test_watched_pictures::test_a_picture_that_cannot_be_encoded_affects_nothing_else",
        ),
        ("process/test_watched_pictures::test_no_result_waits_for_a_picture",),
    ),
)
