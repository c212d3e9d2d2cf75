"""The table `error_logs` in the application's database."""
