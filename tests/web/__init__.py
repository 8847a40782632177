"""The admin API over real loopback HTTP, on SQLite in memory."""
