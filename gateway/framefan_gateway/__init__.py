"""Gateway: from the bus to any number of WebSocket clients and a web page."""
