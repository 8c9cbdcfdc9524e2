"""The switches of guards.py: what each takes away, which tests miss it, and what they see then."""

from __future__ import annotations

from guard_clients import CLIENTS
from guards import HERE, Switch

_INTAKE, _RING = "unit/gateway/test_intake", "unit/framefan/ipc/test_ring"
_PICTURE_BUS = "unit/inference/pool/test_picture_bus"

_BUS = (
    Switch(
        "record-numbers",
        "framefan_gateway.intake:_check_outcome",
        "lambda record: None",
        "what no pool of ours says is told to clients",
        "==",
        (f"{_INTAKE}::test_what_is_not_ours_is_dropped_and_counted[message11]",),
    ),
    Switch(
        "epochs",
        "framefan_gateway.intake:Intake._in_epoch",
        "lambda self, epoch, n: True",
        "results of a pool that is dead are told among those of the next one",
        "==",
        (f"{_INTAKE}::test_a_new_epoch_starts_at_0_and_ends_the_old_one_for_good",),
    ),
    Switch(
        "gap-count",
        "framefan_gateway.delivery.history:Found",
        "lambda recovered, epoch, items, gone: real(True, epoch, items, 0)",
        "who comes back is told that nothing is missing",
        "recovered",
        ("unit/gateway/delivery/test_session_since::test_what_was_not_kept_is_counted_as_history",),
    ),
    Switch(
        "settled-once",
        "framefan_inference.leases.sequencer:Sequencer.outcome",
        "lambda *a: real(*a) or True",
        "an outcome whose seq is settled counts as news",
        "assert not True",
        (
            "unit/inference/leases/test_sequencer::"
            "test_a_settled_seq_is_not_settled_again[settle_by_outcome]",
        ),
    ),
    Switch(
        "lease-holder",
        "framefan_inference.leases.schedule:Schedule.returned",
        "lambda self, worker, lease: real(self, self._grants[lease].worker, lease)",
        "one worker gives back the slot that another one reads",
        "is None",
        (
            "unit/inference/leases/test_schedule::test_a_return_that_does_not_fit_changes_nothing[another's]",
        ),
    ),
    Switch(
        "bus-message-size",
        "framefan.ipc.bus:MESSAGE_BYTES",
        "-1",
        "who subscribes takes a message of any size in",
        "it was taken in",
        ("unit/framefan/ipc/test_bus::test_a_message_too_large_is_never_taken_in",),
    ),
    Switch(
        "picture-queues",
        "framefan.ipc.bus:PICTURE_QUEUES",
        "tuple(each._replace(hwm=10_000) for each in real)",
        "pictures for a reader that stands still heap up in the pool",
        r"< \(16777216",
        (f"{_PICTURE_BUS}::test_a_reader_that_stands_still_costs_a_bounded_amount[pictures-1.2M]",),
    ),
    Switch(
        "picture-share",
        "framefan_inference.pool.picture_bus:_Shared.has_room",
        "lambda self, size: True",
        "so they do where results are, and results find no room among them",
        r"< \(16777216|did not come true",
        (
            f"{_PICTURE_BUS}::test_a_reader_that_stands_still_costs_a_bounded_amount[results-1.2M]",
            f"{_PICTURE_BUS}::test_pictures_leave_results_their_room",
        ),
    ),
    Switch(
        "picture-order",
        "framefan_gateway.intake:Intake._is_early",
        "lambda self, record: False",
        "a picture that is here before its result is shown to nobody",
        "==",
        (
            "unit/gateway/http/test_pictures::test_a_picture_that_arrives_before_its_result_is_sent_after_it",
        ),
    ),
)

_WORKERS = (
    Switch(
        "start-deadline",
        "framefan_inference.pool.worker_handle:WorkerHandle.hangs",
        "lambda self, now: False",
        "the one that never gets ready is waited for",
        "did not come true",
        (
            "unit/inference/pool/test_pool_workers::"
            "test_a_slow_setup_is_not_killed_before_its_deadline_and_then_is",
        ),
        process="framefan_inference.main",
        patience=0.25,
    ),
    Switch(
        "restart-budget",
        "framefan.settings.restart:RestartPolicy.failed",
        "property(lambda self: False)",
        "what crashes at every start is started for ever",
        "60.0",
        ("unit/framefan/settings/test_restart::test_waits_double_and_then_it_failed",),
    ),
    Switch(
        "memory-limit",
        "framefan_inference.pool.changes:Changes._look_at_memory",
        "lambda self: None",
        "a worker that leaks takes all the memory there is",
        "did not come true",
        (
            "unit/inference/pool/test_pool_workers::"
            "test_a_worker_that_leaks_is_replaced_and_loses_nothing",
        ),
        process="framefan_inference.main",
        patience=0.2,
    ),
    Switch(
        "endings",
        "framefan_inference.pool.worker_handle:_explained",
        "lambda ending: 'ended'",
        "how a worker ended is not told",
        "SIGKILL",
        ("unit/inference/pool/test_worker_handle::test_its_end_is_told_in_words[it was killed]",),
    ),
)

_SUPERVISOR = (
    Switch(
        "run-lock",
        "framefan.supervisor.rundir:_try",
        "lambda fd, kind: True",
        "a second run takes the folder of the first one, and empties it",
        "DID NOT RAISE",
        (
            "unit/framefan/supervisor/test_rundir::test_the_second_is_refused_and_the_first_unharmed",
        ),
    ),
    Switch(
        "leftovers",
        "framefan.supervisor.rundir:RunDir._empty",
        "lambda self: None",
        "what a killed run left is in the way of the next one",
        "==",
        ("unit/framefan/supervisor/test_rundir::test_leftovers_are_removed_only_under_the_lock",),
    ),
    Switch(
        "same-signal",
        "framefan.supervisor.signals:_SAME_SIGNAL_S",
        "-1.0",
        "a signal that came twice, as timeout(1) sends it, is a stop at once",
        "1 == 0",
        (
            "unit/framefan/supervisor/test_signals::"
            "test_the_same_request_twice_is_one_and_a_later_one_is_another",
        ),
    ),
    Switch(
        "restarts",
        "framefan.supervisor.lifecycle:ChildLifecycle.due",
        "lambda self, now: self.state.value == 'backoff' and not self.restarts",
        "what has died stays away",
        "gateway 1 died: .*; starts again",
        (
            "unit/framefan/supervisor/test_supervisor::"
            "test_a_lost_child_comes_back_and_the_others_stay[1-crash_once]",
        ),
        process=str(HERE / "fake_stage.py"),
        patience=0.08,
    ),
    Switch(
        "ring-size",
        "framefan.ipc.ring:host",
        "SimpleNamespace(**(vars(real) | {'available_bytes': lambda: 1 << 60}))",
        "the memory is taken, and the machine may have no other",
        "DID NOT RAISE",
        (f"{_RING}::test_a_ring_that_does_not_fit_names_both_numbers",),
    ),
    Switch(
        "ring-header",
        "framefan.ipc.ring:check_header",
        "lambda *_: None",
        "memory of any content is read as a ring",
        "DID NOT RAISE",
        (
            f"{_RING}::test_one_changed_byte_is_refused",
            f"{_RING}::test_attach_refuses_foreign_memory",
        ),
    ),
)

_CAMERAS = (
    Switch(
        "bgr",
        "framefan_capture.sources.pixels:as_bgr",
        "lambda image: image",
        "grey, alpha and 16 bits come to predict as they are",
        "127",
        ("unit/capture/sources/test_source::test_pictures_of_any_depth_become_eight_bits",),
    ),
    Switch(
        "masks",
        "framefan.settings.source_spec:mask_source",
        "lambda text: text",
        "the password is in what is shown",
        "admin",
        ("unit/framefan/settings/test_secret::test_a_source_is_shown_without_its_secrets",),
    ),
    Switch(
        "redaction",
        "framefan.settings.secret:Redaction.clean",
        "lambda self, text: text",
        "it is in logs and errors of others, which quote it",
        r"\*\*\*",
        (
            "unit/framefan/settings/test_secret::test_redaction_removes_every_spelling"
            "[login with hunter2 failed]",
        ),
    ),
    Switch(
        "schemes",
        "framefan.settings.source_spec:_SCHEME",
        "real.__class__ and __import__('re').compile('(no scheme at all):')",
        "a file of the machine is shown as a camera",
        "DID NOT RAISE",
        ("unit/framefan/settings/test_source_spec::test_refused[file:///etc/passwd]",),
    ),
    Switch(
        "whitelists",
        "framefan_capture.network.opencv_stream:WHITELISTS",
        "dict.fromkeys(real, 'file,http,https,tcp,udp,rtp,crypto,data,concat,subfile,pipe')",
        "a camera that answers with a playlist of files shows them",
        "False",
        (
            "unit/capture/sources/test_whitelists::test_a_camera_that_answers_with_a_playlist_of_files_shows_none[False]",
        ),
    ),
)

_MODELS = (
    Switch(
        "output-checks",
        "framefan_inference.predictors.onnx_models.validity:check",
        "lambda *_: None",
        "what no detector can have seen is told as seen",
        "DID NOT RAISE",
        (
            "unit/inference/predictors/test_onnx_recognition"
            "::test_what_cannot_be_is_an_error_of_its_frame[a score of 30]",
        ),
    ),
    Switch(
        "rows-that-vary",
        "framefan_inference.predictors.onnx_models.file:_VARYING",
        "frozenset()",
        "OpenCV leaves out boxes in silence, or ends the worker",
        "DID NOT RAISE|cannot be loaded",  # the latter from OpenCV 4, which knows no NonZero
        (
            "unit/inference/predictors/test_onnx_models"
            "::test_opencv_gets_no_graph_of_which_it_would_lose_rows[cv2.dnn-NonZero]",
        ),
    ),
    Switch(
        "suppression",
        "framefan_inference.predictors.onnx_models.suppress:suppress",
        "lambda found, *_: found",
        "one thing is told as several",
        "==",
        (
            "unit/inference/predictors/test_onnx_inputs::test_which_boxes_are_kept[agnostic=1-scores1]",
        ),
    ),
    Switch(
        "spinning",
        "framefan_inference.predictors.onnx_models.backends:SPINNING",
        "'1'",
        "threads that wait burn a core each",
        "==",
        (
            "unit/inference/predictors/test_onnx_backends"
            "::test_threads_are_this_workers_share_and_do_not_spin[2-2]",
        ),
    ),
)

SWITCHES: tuple[Switch, ...] = (*CLIENTS, *_BUS, *_WORKERS, *_SUPERVISOR, *_CAMERAS, *_MODELS)
