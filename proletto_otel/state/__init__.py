"""One host's shared state: lifecycle, leader, ticker, snapshots, store."""
