"""Stand-ins for what lies outside: platforms, a registry and a shop. Second opinions: they import nothing of ours."""
