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
    "unit/gateway/test_web",
    "unit/gateway/test_token",
)
_SESSION, _SESSION_TOKEN = "unit/gateway/test_session", "unit/gateway/test_session_token"
_CROWDS = "unit/gateway/test_crowds"
_DOOR = "unit/gateway/test_acceptor"

CLIENTS: tuple[Row, ...] = (
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
        "hundreds that connect at the same moment",
        "all are let in, nobody is refused",
        (f"{_DOOR}::test_hundreds_at_the_same_moment_are_all_in_and_nobody_is_refused",),
    ),
    Row(
        "one of several gateways is killed",
        "only its clients notice, they are back in 2 s, no counter falls",
        ("process/test_gateways::test_one_is_killed_and_only_its_clients_notice",),
    ),
    Row(
        "one of several gateways stands still",
        "newcomers are not left to it",
        ("process/test_gateways::test_newcomers_are_not_left_to_a_gateway_that_stands_still",),
    ),
    Row(
        "all clients lose their gateway at the same moment",
        "all are back in 3 s, nobody is refused",
        (
            "process/test_gateways"
            "::test_all_clients_of_a_gateway_that_is_killed_are_back_and_none_is_refused",
        ),
    ),
    Row(
        "connections that say nothing, clients above the cap",
        "closed at the deadline or as the oldest of too many, 503 above the cap; good ones get in",
        (
            f"{_SERVER}::test_idle_connections_are_closed_at_the_deadline_and_good_ones_get_in",
            f"{_DOOR}::test_idle_connections_keep_nobody_out",
            f"{_SERVER}::test_clients_above_the_cap_get_503_and_the_others_stay",
            "unit/gateway/test_limits::test_an_address_has_so_many_clients_and_no_more",
        ),
    ),
    Row(
        "thousands of idle clients",
        "20 KiB each at most",
        (f"{_CROWDS}::test_idle_clients_cost_next_to_nothing",),
    ),
    Row(
        "many connect and leave, in any way",
        "nothing is left of them",
        (f"{_CROWDS}::test_a_hundred_come_and_go_and_leave_nothing",),
    ),
    Row(
        "one vanishes without a word",
        "dropped after a ping without its answer",
        (f"{_CROWDS}::test_who_went_without_a_word_is_dropped",),
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
        "no start on a network without one; 401, 4401 or 400, and the token in no log",
        (
            "unit/framefan/test_configure::test_values_that_cannot_be",
            f"{_TOKEN}::test_without_the_token_it_is_401",
            f"{_TOKEN}::test_a_token_in_the_address_is_refused",
            f"{_SESSION_TOKEN}::test_no_token_in_time_closes_with_4401",
            f"{_SESSION_TOKEN}::test_the_token_and_guesses_are_in_no_answer_and_no_log",
            "unit/framefan/test_secret::test_records_that_hold_secrets_may_be_printed",
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
        "shown as text, on a page that runs no script but its own",
        (
            "browser/test_page::test_a_hostile_label_stays_text",
            f"{_WEB}::test_the_page_and_its_files",
        ),
    ),
    Row(
        "a slow reader of `latest`",
        "it never reads anything old",
        (
            "process/test_slow_reader::test_slow_readers_read_nothing_old",
            f"{_SERVER}::test_a_slow_reader_reads_what_is_new",
        ),
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
)
