"""HTTP answers: the page, tables, metrics, pictures."""
