"""framefan: cameras and a predict function in, a live feed of results out."""
