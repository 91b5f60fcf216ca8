"""What people and probes see of a process: log lines, metrics, traces, health."""
