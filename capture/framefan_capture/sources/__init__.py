"""Sources on this machine: files, pipes, webcams, images, functions, the demo."""
