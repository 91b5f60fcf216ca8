"""Kafka's clients, topics and registry: the only importer of confluent_kafka."""
