"""The pool: who predicts on which frame and when, what became of it, and who is told."""
