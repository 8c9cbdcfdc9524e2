// The texts of framefan/settings/states.py; a test compares them.

export const REASONS = {
  refused: "nobody listens at that port",
  unauthorised: "the user name or password is wrong or missing",
  not_found: "there is no such stream, file, image or device",
  dns: "there is no such host, or no name server answers",
  timeout: "the camera cannot be reached, does not answer, or sends nothing any more",
  closed: "the camera ended the stream, or takes a connection and closes it",
  corrupt: "picture after picture cannot be decoded",
  unreadable: "it answers, but not with a video that can be played",
  unsupported: "its pictures have a format that cannot be turned into BGR",
  too_large: "its pictures do not fit into the memory that is there",
  source_failed: "the function of a py: source raised, or gave something that is no picture",
  decoder_died: "its process ended, usually inside the decoder",
  no_progress: "its process stood still and was killed",
  unknown: "an error without a better name; the message says more",
  restarting: "its process is being replaced by a new one",
  size_changed: "frames have another size than before",
  no_frame: "no frame within stalled_s",
  same_picture: "the same picture for frozen_s",
  crash_loop: "its process ended too often within a minute",
  unplayable: "what it names cannot be played at all; the message says why",
  removed: "the configuration does not hold it any more",
};

// Texts for the states of cameras and workers whose names do not explain themselves.
export const STATES = {
  stalled: "no new picture",
  backoff: "down",
};

export const WORKER_STATES = {
  backoff: "waiting to restart",
};

// Why frames were left out or lost, and why a client was not sent a result.
export const CAUSES = {
  newer: "workers busy",
  no_worker: "no worker",
  no_slot: "no room in memory",
  max_fps: "over max_fps",
  circuit: "left out",
  removed: "camera removed",
  worker_died: "worker died",
  predict_timeout: "predict too slow",
  late: "too late",
  no_outcome: "no answer of the worker",
  stopped: "run stopped",
  conflated: "client too slow",
  lost: "lost",
  bus: "lost on the bus",
  filtered: "filtered",
  history: "while it was away",
};
