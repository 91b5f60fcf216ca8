"""Stand-ins for what lies outside: platforms, a registry, a shop. They import nothing else of ours."""
