"""The words of the domain: tasks, batches, headers, events and errors. Knows no Kafka, database, clock or environment."""
