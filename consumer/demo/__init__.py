"""The main job on one machine: real Kafka, a made-up shop, emulated platforms, and a report that must hold."""
