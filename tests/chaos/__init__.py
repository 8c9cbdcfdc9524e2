"""The whole system under random faults: `make chaos`, a short form in the tests."""
