"""What a camera can be on this machine: files, pipes, webcams, images, functions, the demo."""
