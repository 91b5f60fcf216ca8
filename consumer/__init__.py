"""Delivers a shop's conversions from Kafka to the advertising platforms' Conversion APIs."""
