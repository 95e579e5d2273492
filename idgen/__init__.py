"""Identity and time, the bottom layer: ids, clocks, worker leases, errors and the IDL loader."""
