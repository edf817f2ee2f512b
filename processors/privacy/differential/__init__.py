"""What is told with noise, and what may still be told."""
