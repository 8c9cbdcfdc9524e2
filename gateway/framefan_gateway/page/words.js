// The texts of framefan/settings/states.py; a test compares them.

export const REASONS = {
  refused: "nothing listens on that port",
  unauthorised: "the user name or password is wrong or missing",
  not_found: "the stream, file, image or device does not exist",
  dns: "the host does not exist, or no name server answers",
  timeout: "the camera cannot be reached, does not answer, or has stopped sending",
  closed: "the camera ended the stream, or accepts a connection and closes it",
  corrupt: "pictures cannot be decoded, one after another",
  unreadable: "it answers, but not with a playable video",
  unsupported: "its pictures have a format that cannot be converted to BGR",
  too_large: "its pictures do not fit into the available memory",
  source_failed: "the function of a py: source raised, or returned no picture",
  decoder_died: "its process ended, usually inside the decoder",
  no_progress: "its process made no progress and was killed",
  unknown: "any other error; see the message",
  restarting: "its process is being restarted",
  size_changed: "frames have another size than before",
  still: "nothing moves, so its frames are not predicted",
  no_frame: "no frame within stalled_s",
  same_picture: "the same picture for frozen_s",
  crash_loop: "its process ended too often within a minute",
  unplayable: "the source cannot be played at all; see the message",
  removed: "it was removed from the configuration",
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
  still: "nothing moves",
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
