"""The words of the domain: tasks, batches, headers, events, errors. Knows no Kafka, database, clock or environment."""
