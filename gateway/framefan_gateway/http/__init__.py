"""What is answered over HTTP: the page, tables, metrics, pictures."""
