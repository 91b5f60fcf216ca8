"""Real Apache Kafka and a real schema registry on loopback, for the demo, the tests and the bench.

Everything comes from ordinary package registries, checked against `artifacts.lock`, into one cache folder.
"""
