"""What processes exchange: shared memory, links, messages, the bus, the clients' protocol."""
