"""What must not break the record: kills, full disks, clocks, old copies, and attacks."""
