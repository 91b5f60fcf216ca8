"""Keyed state of one input partition: an overlay while a transaction is open, RocksDB behind it, Kafka behind that."""
