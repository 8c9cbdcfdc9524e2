"""framefan on models and footage that nobody made for it: `make prove-real`."""
