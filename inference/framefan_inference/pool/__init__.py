"""The pool's process: leases frames to workers and publishes each outcome once, in order."""
