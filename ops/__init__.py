"""People and processes: configuration, wiring, servers, cellctl and the real stack."""
