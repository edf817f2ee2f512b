"""The search through levels: the combination of the least loss that keeps what is asked."""
