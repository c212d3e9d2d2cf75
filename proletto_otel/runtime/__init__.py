"""How our own threads live: start, fork, exit; workers with queues, tickers, breakers."""
